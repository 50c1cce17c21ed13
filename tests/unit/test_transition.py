"""Labels of a modality from the multimodal one: cases whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from builders import repeatable
from tricord import transition as module
from tricord.transition import moved, own_class, posterior, transition

CHANCES = np.array([[0.8, 0.1, 0.1], [0.4, 0.3, 0.3], [0.2, 0.1, 0.7]])
POSITIVE = {"allow_nan": False, "allow_infinity": False}


def test_transition_is_the_mean_of_the_clips_most_like_a_class() -> None:
    q = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.5, 0.5], [0.2, 0.8], [0.4, 0.6]])
    labels = np.array([0, 0, 0, 0, 1, 1])  # two anchors for class 0, one for class 1
    assert transition(q, labels) == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8]]))


def test_a_class_without_clips_keeps_its_own_row() -> None:
    found = transition(np.full((4, 3), 1 / 3), np.array([0, 0, 2, 2]))
    assert found[1].tolist() == [0, 1, 0]
    assert found[0] == pytest.approx(np.full(3, 1 / 3))


def test_own_class_undoes_the_transition(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.2, 0.5, 0.3]])
    early = own_class(truth @ CHANCES, CHANCES)
    assert early[:3].argmax(axis=1).tolist() == [0, 1, 2]
    monkeypatch.setattr(module, "STEPS", 5000)
    assert own_class(truth @ CHANCES, CHANCES) == pytest.approx(truth, abs=0.05)


def test_noise_moves_no_label_of_a_modality_that_says_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 900, p=[0.5, 0.2, 0.3])
    q = np.array([0.5, 0.2, 0.3]) * np.exp(rng.normal(0, 0.1, (900, 3)))
    q /= q.sum(axis=1, keepdims=True)
    found = moved(posterior(q, labels, transition(q, labels)), labels)
    assert (found == labels).mean() > 0.98


def test_what_no_mixture_explains_is_put_on_the_nearest_face() -> None:
    surer = np.array([[0.98, 0.01, 0.01]])  # than any clip of class 0 should make a classifier
    assert own_class(surer, CHANCES) == pytest.approx(np.array([[1, 0, 0]]), abs=0.02)


def test_posterior_by_hand() -> None:
    """A clip that looks half like class 0 and half like class 2, labelled 0 and 2."""
    chances = np.array([[0.9, 0, 0.1], [0, 1, 0], [0.3, 0, 0.7]])
    mixed = 0.5 * chances[0] + 0.5 * chances[2]
    found = posterior(np.tile(mixed, (2, 1)), np.array([0, 2]), chances)
    assert found == pytest.approx(np.array([[0.75, 0, 0.25], [0.125, 0, 0.875]]), abs=0.02)


def test_a_label_moves_only_against_twice_its_chance() -> None:
    p = np.array([[0.34, 0.66, 0], [0.32, 0.68, 0], [0, 0.1, 0.9]])
    assert moved(p, np.array([0, 0, 2])).tolist() == [0, 1, 2]


def test_labels_of_a_conflicting_modality_are_found() -> None:
    """Own classes are drawn, labels by CHANCES, and a perfect classifier tells the labels."""
    rng = np.random.default_rng(0)
    own = rng.choice(3, 4000, p=[0.5, 0.2, 0.3])
    labels = np.array([rng.choice(3, p=CHANCES[u]) for u in own])
    seen = np.exp(rng.normal(0, 0.1, (4000, 3))) * CHANCES[own]
    seen /= seen.sum(axis=1, keepdims=True)
    chances = transition(seen, labels)
    assert chances == pytest.approx(CHANCES, abs=0.07)
    found = moved(posterior(seen, labels, chances), labels)
    assert (labels == own).mean() < 0.68
    assert (found == own).mean() > 0.9


@repeatable
@given(
    q=hnp.arrays(np.float64, (7, 3), elements=st.floats(1e-6, 1, **POSITIVE)),
    labels=hnp.arrays(np.int64, 7, elements=st.integers(0, 2)),
)
def test_everything_stays_a_distribution(q: np.ndarray, labels: np.ndarray) -> None:
    q = q / q.sum(axis=1, keepdims=True)
    chances = transition(q, labels)
    for found in (chances, own_class(q, chances), posterior(q, labels, chances)):
        assert np.isfinite(found).all()
        assert (found >= 0).all()
        assert found.sum(axis=1) == pytest.approx(np.ones(len(found)))


def test_one_clip() -> None:
    q, label = np.array([[0.2, 0.5, 0.3]]), np.array([1])
    chances = transition(q, label)
    assert moved(posterior(q, label, chances), label).tolist() == [1]
