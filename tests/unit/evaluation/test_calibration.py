"""Calibration: measures by hand, and scalings that find what was done to the logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import softmax
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from builders import repeatable
from tricord.evaluation import calibration as c

METHODS = ["temperature", "vector", "none"]


def drawn(n: int = 4000, seed: int = 0, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) logits that are right about themselves, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (n, 3))
    steps = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > steps[:, :2]).sum(axis=1)


small = st.builds(
    drawn, st.integers(1, 40), st.integers(0, 9**6), st.sampled_from([0.0, 0.5, 3.0, 40.0])
)


# ------------------------------------------------------------------------------------- measures


def test_ece_by_hand() -> None:
    """Sure .9 and right once of twice, sure .6 and right: 2/3 * .4 + 1/3 * .4."""
    p = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]])
    assert c.ece(p, [0, 0, 0], bins=10) == pytest.approx(2 / 3 * 0.4 + 1 / 3 * 0.4)
    found = c.reliability(*c.top_label(p, [0, 0, 0]), bins=10)
    assert found.count.tolist() == [1, 2]
    assert found.probability.tolist() == pytest.approx([0.6, 0.9])
    assert found.frequency.tolist() == [1.0, 0.5]


def test_bins_of_equal_mass_by_hand() -> None:
    """Four clips in two bins: (.5, .6) right once, (.7, .8) never."""
    confidence, right = np.array([0.8, 0.5, 0.7, 0.6]), [False, True, False, False]
    found = c.reliability(confidence, right, c.equal_mass, bins=2)
    assert found.count.tolist() == [2, 2]
    assert found.gap == pytest.approx((0.05 + 0.75) / 2)


def test_equals_share_a_bin_and_the_ends_are_inside() -> None:
    first, *rest, last = c.equal_mass(np.array([0.5, 0.5, 0.5, 0.9]), 4)
    assert rest == [first, first]
    assert last > first
    assert c.equal_width(np.array([0.0, 0.5, 0.51, 1.0]), 2).tolist() == [0, 0, 1, 1]


def test_classwise_by_hand() -> None:
    """Class 0 is given 1/2 always and never comes; class 2 is given 0 and never comes."""
    p = np.array([[0.5, 0.5, 0.0]] * 4)
    assert c.classwise_ece(p, [1, 1, 1, 1]).tolist() == [0.5, 0.5, 0.0]


@repeatable
@given(small)
def test_brier_and_log_loss_agree_with_sklearn(case: tuple[np.ndarray, np.ndarray]) -> None:
    logits, truth = case
    p = softmax(logits, axis=1)
    found = c.scores(p, truth)
    assert found["brier"] == pytest.approx(
        brier_score_loss(truth, p, labels=[0, 1, 2], scale_by_half=False)
    )
    assert found["log_loss"] == pytest.approx(sklearn_log_loss(truth, p, labels=[0, 1, 2]))
    assert 0 <= found["ece"] <= 1
    assert 0 <= found["ece_mass"] <= 1


def test_a_class_ruled_out_that_comes_is_finite() -> None:
    assert np.isfinite(c.log_loss([[1.0, 0.0]], [1]))


# -------------------------------------------------------------------------------------- scalings


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_is_found(temperature: float) -> None:
    logits, truth = drawn()
    found = c.fit_scaling(temperature * logits, truth)
    assert found.scale == pytest.approx([1 / temperature] * 3, rel=0.06)
    assert found.shift == (0.0, 0.0, 0.0)
    after = c.ece(found.apply(temperature * logits), truth)
    assert after < 0.02
    if temperature != 1:
        assert c.ece(softmax(temperature * logits, axis=1), truth) > 3 * after


def test_vector_scaling_finds_scales_and_shifts() -> None:
    logits, truth = drawn(20000)
    scale, shift = np.array([2.0, 0.5, 1.0]), np.array([1.0, -1.0, 0.0])
    found = c.fit_scaling((logits - shift) / scale, truth, "vector")
    assert found.scale == pytest.approx(scale, rel=0.1)
    assert np.subtract(found.shift, np.mean(found.shift)) == pytest.approx(shift, abs=0.1)


@repeatable
@given(small, st.sampled_from(METHODS))
def test_never_worse_than_it_was_and_never_absurd(
    case: tuple[np.ndarray, np.ndarray], method: Any
) -> None:
    logits, truth = case
    found = c.fit_scaling(logits, truth, method)
    identity = c.fit_scaling(logits, truth, "none")
    assert found.log_loss(logits, truth) <= identity.log_loss(logits, truth)
    np.testing.assert_array_equal(identity.apply(logits), softmax(logits, axis=1))
    p = found.apply(logits)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    if method == "temperature":
        np.testing.assert_array_equal(p.argmax(axis=1), softmax(logits, axis=1).argmax(axis=1))


def test_without_a_mistake_there_is_no_certainty() -> None:
    logits = np.eye(3)[[0, 1, 2, 0]]
    found = c.fit_scaling(logits, np.array([0, 1, 2, 0]))
    assert found.scale[0] < 5
    assert found.apply(logits).max() < 0.99


def test_a_class_that_never_comes_does_not_explode() -> None:
    logits, truth = drawn(300)
    found = c.fit_scaling(logits, np.minimum(truth, 1), "vector")
    assert np.abs(found.shift).max() < 5
    assert found.apply(logits)[:, 2].min() > 0


# ------------------------------------------------------------------------------- what is kept


def fitted(n: int = 60, **options: Any) -> c.Calibration:
    logits, truth = drawn(n)
    present = np.ones((n, 2), bool)
    present[: n // 2, 1] = False
    votes = np.stack([3 * logits, np.where(present[:, 1:], logits / 2, np.nan)], axis=1)
    names = {"modalities": ("text", "audio"), "videos": [f"v{i // 3}" for i in range(n)]}
    return c.fit(2 * logits, truth, votes=votes, present=present, **names, **options)


def test_a_fit_holds_each_vote_by_its_own_and_absent_ones_are_no_part() -> None:
    found = fitted(600)
    assert (found.clips, found.votes["text"].clips, found.votes["audio"].clips) == (600, 600, 300)
    scales = [s.scale[0] for s in (found.consensus, *found.votes.values())]
    assert scales == pytest.approx([1 / 2, 1 / 3, 2], rel=0.2)
    assert found.videos[:4] == (0, 0, 0, 1)


def test_confidence_right_and_own_are_those_of_the_calibrated_probabilities() -> None:
    logits, truth = drawn(60)
    found = fitted(60)
    p = found.consensus.apply(2 * logits)
    assert found.confidence == tuple(p.max(axis=1))
    assert found.right == tuple(p.argmax(axis=1) == truth)
    assert found.own == tuple(p[np.arange(60), truth])


@pytest.mark.parametrize("method", METHODS)
def test_json_and_back(method: Any) -> None:
    found = fitted(method=method)
    assert c.Calibration.model_validate_json(found.model_dump_json()) == found
    assert ("calibrated on 60 clips of valid" in c.described(found)) == (method != "none")
    assert c.described(None) == "probabilities not calibrated"


@pytest.mark.parametrize(
    "change",
    [
        {"method": "platt"},
        {"confidence": [0.5]},
        {"consensus": {"scale": [0.0], "shift": [0.0], "clips": 60}},
        {"consensus": {"scale": [1.0, 1.0], "shift": [0.0], "clips": 60}},
        {"votes": {"text": {"scale": [1.0], "shift": [float("nan")], "clips": 60}}},
        {"more": 1},
    ],
)
def test_what_is_no_calibration_is_refused(change: dict[str, Any]) -> None:
    content = {**fitted().model_dump(mode="json"), **change}
    with pytest.raises(ValidationError):
        c.Calibration.model_validate(content)


def test_no_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="no clip"):
        fitted(0)
