"""Label columns that were exchanged, and those that only look a little odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

import checked_data
from checked_data import everywhere, found, with_scores
from tricord.data.check import Severity
from tricord.data.schema import SPLITS, Dataset, FeatureTable, Ragged
from tricord.data.simulation.model import ch_sims_joint


def reordered(dataset: Dataset, order: Sequence[int]) -> Dataset:
    """Column k of the scores holds what column order[k] should."""
    return everywhere(
        dataset,
        lambda t: with_scores(t, lambda s: s.__setitem__(slice(None), s[:, list(order)])),
    )


def test_labels_of_two_modalities_exchanged() -> None:
    rules = found(reordered(checked_data.clean(), (0, 3, 2, 1)))
    assert set(rules) == {"label-order"}
    assert rules["label-order"].severity is Severity.WARNING
    assert "text features predict label vision" in rules["label-order"].found
    assert "vision features predict label text" in rules["label-order"].found


def test_labels_of_three_modalities_turned() -> None:
    rules = found(reordered(checked_data.clean(), (0, 2, 3, 1)))
    assert "audio features predict label text" in rules["label-order"].found


def test_m_among_the_others() -> None:
    rules = found(reordered(checked_data.clean(), (2, 1, 0, 3)))
    assert "label audio goes with the others better than M" in rules["label-order"].found


def test_features_that_say_nothing_leave_the_order_open() -> None:
    rng = np.random.default_rng(0)

    def noise(table: FeatureTable) -> FeatureTable:
        sequences = {
            name: replace(s, values=rng.standard_normal(s.values.shape).astype(np.float32))
            for name, s in table.sequences.items()
        }
        return replace(table, sequences=sequences)

    clean = everywhere(checked_data.clean(), noise)
    assert not found(reordered(clean, (0, 3, 2, 1)))


def test_a_few_clips_are_not_judged() -> None:
    few = everywhere(checked_data.clean(), lambda t: t.take(np.arange(60)))
    assert "label-order" not in found(reordered(few, (0, 3, 2, 1)))


def ch_sims(order: Sequence[int] = range(4)) -> Dataset:
    """Labels with the joint signs of CH-SIMS, no features."""
    cells = np.rint(ch_sims_joint() * 2281).astype(int)
    signs = np.repeat(np.argwhere(cells >= 0) - 1, cells.ravel(), axis=0)
    signs = np.random.default_rng(0).permutation(signs)[:, list(order)]
    splits, start = {}, 0
    for name, rows in zip(SPLITS, (1368, 456, 457), strict=True):
        nothing = Ragged(np.zeros((0, 0), np.float32), np.zeros(rows + 1, dtype=np.int64), 0)
        splits[name] = FeatureTable(
            name=name,
            ids=tuple(f"video_{i:04d}$_${name}" for i in range(start, start + rows)),
            sequences=dict.fromkeys(("text", "audio", "vision"), nothing),
            scores=signs[start : start + rows] * 0.4,
        )
        start += rows
    return Dataset(splits, source="label.csv")


@pytest.mark.parametrize("order", list(permutations(range(4)))[1:])
def test_every_wrong_order_of_ch_sims_is_proved(order: tuple[int, ...]) -> None:
    finding = found(ch_sims(order), known="ch-sims")["label-order"]
    assert finding.severity is Severity.ERROR
    assert " 0 % if " in finding.found
    names = ("M", "text", "audio", "vision")
    for column, label in enumerate(order):
        said = f"column {names[column]} holds {names[label]}" in finding.found
        assert said == (column != label)


def test_the_right_order_of_ch_sims_is_silent() -> None:
    assert "label-order" not in found(ch_sims(), known="ch-sims")


def test_other_labels_are_not_judged_by_ch_sims() -> None:
    """Far from the joint table in every order: nothing is proved."""
    rules = found(checked_data.clean(), known="ch-sims")
    assert "label-order" not in rules
