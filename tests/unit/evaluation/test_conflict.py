"""Conflict: divergences by hand, detection against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from builders import repeatable
from tricord.evaluation import conflict as c

A, B, EVEN = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1 / 3] * 3
scored = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: len({positive for _, positive in rows}) == 2
)


def score(votes: list[list[float]], weights: list[float], present: list[bool]) -> float:
    return float(c.jensen_shannon([votes], [weights], [present])[0])


def test_divergence_by_hand() -> None:
    all_there = [True] * 3
    third = [1 / 3] * 3
    assert score([A, B, [0.0, 0.0, 1.0]], third, all_there) == pytest.approx(1)
    assert score([A, A, A], third, all_there) == 0
    assert score([A, B, B], [0.5, 0.25, 0.25], all_there) == pytest.approx(np.log(2) / np.log(3))
    assert score([A, B, B], [1.0, 0.0, 0.0], all_there) == 0  # the rest has no say
    half = (np.log(2) - 0.5 * np.log(1)) / np.log(2)
    assert score([A[:2], B[:2]], [0.5, 0.5], [True, True]) == pytest.approx(half)
    assert score([A, EVEN], [0.5, 0.5], [True, True]) == pytest.approx(
        (-(2 / 3) * np.log(2 / 3) - 2 * (1 / 6) * np.log(1 / 6) - 0.5 * np.log(3)) / np.log(2)
    )


def test_absent_votes_say_nothing() -> None:
    nothing = [float("nan")] * 3
    assert score([A, B, B], [0.2, 0.4, 0.4], [True, True, False]) == pytest.approx(
        score([A, B], [1 / 3, 2 / 3], [True, True]) * np.log(2) / np.log(3)
    )
    assert score([A, B, B], [0.5, 0.25, 0.25], [True, False, False]) == 0
    assert score([A, B, B], [0.0, 0.0, 0.0], [False] * 3) == 0
    assert score([A, B, B], [0.0, 0.0, 1.0], [True, True, False]) > 0  # evenly where no weight
    assert score([A, B, nothing], [0.5, 0.5, 0.0], [True, True, False]) > 0
    assert c.jensen_shannon(np.zeros((2, 0, 3)), np.zeros((2, 0)), np.zeros((2, 0))).tolist() == [
        0,
        0,
    ]


@repeatable
@given(st.integers(0, 9**6), st.integers(1, 5), st.integers(2, 5))
def test_between_0_and_1_and_blind_to_the_order_of_modalities(
    seed: int, modalities: int, classes: int
) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.1), (20, modalities))
    weights, present = rng.random((20, modalities)), rng.random((20, modalities)) < 0.8
    found = c.jensen_shannon(p, weights, present)
    assert ((found >= 0) & (found <= 1)).all()
    order = rng.permutation(modalities)
    np.testing.assert_allclose(
        found, c.jensen_shannon(p[:, order], weights[:, order], present[:, order]), atol=1e-12
    )


@repeatable
@given(scored)
def test_areas_and_threshold_agree_with_sklearn(rows: list[tuple[int, bool]]) -> None:
    scores, truth = (np.array(column) for column in zip(*rows, strict=True))
    assert c.auroc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))
    assert c.auprc(scores, truth) == pytest.approx(average_precision_score(truth, scores))
    false, true, cuts = roc_curve(truth, scores, drop_intermediate=False)
    best = (true - false)[1:].argmax()
    assert c.youden_threshold(scores, truth) == cuts[1:][best]


@pytest.mark.parametrize("truth", [[True, True], [False, False]])
def test_without_both_kinds_there_is_nothing_to_say(truth: list[bool]) -> None:
    for function in (c.auroc, c.auprc, c.youden_threshold):
        assert function([0.1, 0.9], truth) is None
