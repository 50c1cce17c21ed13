"""Correlations, their resampled errors and the ridge probe, on numbers known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from tricord.data.check.statistics import (
    correlations,
    groups_of,
    out_of_fold,
    predict,
    standard_error,
)

RNG = np.random.default_rng(3)


def test_correlations_are_pearsons() -> None:
    x, y = RNG.standard_normal((50, 2)), RNG.standard_normal((50, 3)) + 100
    full = np.corrcoef(x.T, y.T)[:2, 2:]
    np.testing.assert_allclose(correlations(x, y), full, atol=1e-9)
    assert correlations(np.ones((5, 1)), np.arange(5.0)[:, None]) == [[0.0]]


def test_the_error_of_independent_clips_is_that_of_theory() -> None:
    n = 900
    x, y = RNG.standard_normal((n, 1)), RNG.standard_normal((n, 1))
    error = standard_error(x, y, np.arange(n), lambda r: r[0, 0])
    assert error == pytest.approx(1 / np.sqrt(n), rel=0.2)


def test_clips_of_a_video_count_together() -> None:
    videos, clips = 90, 10
    x, y = (np.repeat(RNG.standard_normal((videos, 1)), clips, axis=0) for _ in range(2))
    groups = np.repeat(np.arange(videos), clips)
    error = standard_error(x, y, groups, lambda r: r[0, 0])
    assert error == pytest.approx(1 / np.sqrt(videos), rel=0.25)


def test_the_ridge_of_one_column_by_hand() -> None:
    train = np.array([[0.0], [2.0]])  # standardised to -1 and 1; the penalty is 1
    found = predict(train, np.array([[0.0], [3.0]]), np.array([[1.0], [2.0]]))
    np.testing.assert_allclose(found, [[1.5], [1.5 + 1.5 * 2 / 3]])


def test_constant_columns_do_no_harm() -> None:
    train = np.array([[1.0, 0.0], [1.0, 2.0]])
    assert np.isfinite(predict(train, np.array([[0.0], [3.0]]), np.array([[9.0, 1.0]]))).all()


def test_no_guess_saw_its_own_video() -> None:
    """The label is the video: what is left out cannot be known, what is seen can."""
    groups = groups_of(np.repeat([f"v{i}" for i in range(20)], 5))
    features = np.eye(20)[groups]
    labels = RNG.standard_normal((20, 1))[groups]
    assert correlations(predict(features, labels, features), labels)[0, 0] > 0.99
    assert correlations(out_of_fold(features, labels, groups), labels)[0, 0] < 0.2


def test_one_group_alone_is_not_guessed() -> None:
    guess = out_of_fold(np.ones((4, 1)), np.ones((4, 1)), np.zeros(4, dtype=np.int64))
    assert not guess.any()
