"""D_msc and D_msi against hand-made rows, properties, and Table I of the paper."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tricord.data.splits import is_consistent, subset_masks
from tricord.types import Subset

TABLE_I = {"train": (669, 699), "valid": (217, 239), "test": (239, 218)}  # D_msc, D_msi


def test_signs_are_compared_not_sizes() -> None:
    scores = np.array(
        [
            [0.2, 1.0, 0.4, 0.6],
            [-0.2, -1.0, -0.4, -0.6],
            [0.0, 0.0, -0.0, 0.0],
            [0.2, 1.0, 0.4, 0.0],
            [0.0, 0.2, 0.2, 0.2],
            [-0.2, 0.2, 0.2, 0.2],
        ]
    )
    assert is_consistent(scores).tolist() == [True, True, True, False, False, False]
    assert is_consistent(scores[:, :2]).tolist() == [True, True, True, True, False, False]
    assert is_consistent([[1, 2], [0, 3]]).tolist() == [True, False]
    assert is_consistent(np.zeros((0, 4))).shape == (0,)


@given(
    arrays(np.float64, (5, 4), elements=st.sampled_from([-1.0, -0.2, 0.0, 0.2, 1.0])),
    st.permutations(range(4)),
    st.floats(1e-3, 1e3),
)
def test_order_and_scale_do_not_matter(scores: np.ndarray, order: list[int], scale: float) -> None:
    found = is_consistent(scores)
    np.testing.assert_array_equal(found, is_consistent(scores[:, order]))
    np.testing.assert_array_equal(found, is_consistent(-scale * scores))


@pytest.mark.parametrize(
    "scores", [[[0.2, np.nan]], [[np.nan, 0.2]], [0.2, 0.4], [[0.2]], [[[0.2, 0.4]]]]
)
def test_what_has_no_answer_is_refused(scores: object) -> None:
    with pytest.raises(ValueError, match="scores"):
        is_consistent(scores)


def test_subsets_only_where_every_label_is_known() -> None:
    scores = np.array([[0.2, 0.4], [-0.2, 0.4], [0.6, 0.2]])
    masks = subset_masks(scores)
    assert list(masks) == [Subset.TEST, Subset.MSC, Subset.MSI]
    assert masks[Subset.TEST].all()
    assert masks[Subset.MSC].tolist() == [True, False, True]
    assert masks[Subset.MSI].tolist() == [False, True, False]
    assert list(subset_masks(scores[:, :1])) == [Subset.TEST]
    scores[2, 1] = np.nan
    assert list(subset_masks(scores)) == [Subset.TEST]


def test_table_1(shared: Path) -> None:
    with (shared / "data" / "ch_sims_v1" / "label.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    for split, expected in TABLE_I.items():
        scores = np.array(
            [
                [float(row[key]) for key in ("label", "label_T", "label_A", "label_V")]
                for row in rows
                if row["mode"] == split
            ]
        )
        masks = subset_masks(scores)
        assert (masks[Subset.MSC].sum(), masks[Subset.MSI].sum()) == expected
        assert masks[Subset.TEST].sum() == sum(expected)
