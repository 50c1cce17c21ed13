"""What a test set can show."""

from __future__ import annotations

import numpy as np
import pytest

from tricord.evaluation.power import (
    Power,
    design_effect,
    detectable_difference,
    power_note,
    power_of,
)


def test_detectable_difference_is_found_with_its_power() -> None:
    d = detectable_difference(457, 0.2)
    assert d == pytest.approx((1.959964 + 0.841621) * np.sqrt(0.2 / 457), rel=1e-5)
    rng = np.random.default_rng(11)
    draws = rng.multinomial(457, [(0.2 + d) / 2, (0.2 - d) / 2, 0.8], size=4000)
    z = (draws[:, 0] - draws[:, 1]) / np.sqrt(draws[:, 0] + draws[:, 1])
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.03)


def test_the_note_says_what_it_assumes() -> None:
    note = power_note(457)
    assert note.startswith("Power: a difference below 4.1 points cannot be seen on these 457 clips")
    assert "assuming 10 % of clips" in note
    assert "variance" not in note
    assert "variance of 2.0 times" in power_note(457, design_effect=2)


def test_videos_whose_clips_go_together_are_like_fewer_clips() -> None:
    assert design_effect(np.array([1.0, 1, -1, -1, 1, 1, -1, -1]), np.repeat(range(4), 2)) == 2
    assert design_effect(np.array([1.0, -1, 1, -1]), [0, 0, 1, 1]) == 0
    assert design_effect(np.array([1.0, -1]), [0, 0]) == 1  # one video says nothing
    assert design_effect(np.ones(4), [0, 0, 1, 1]) == 1
    assert Power(200, 0.1, 2.0).detectable == Power(100, 0.1).detectable


def test_power_is_that_of_the_rows() -> None:
    """Two of eight clips are right in one row alone, and these share a video."""
    a, b = np.ones((2, 8)), np.ones((2, 8))
    b[:, :2] = 0
    found = power_of([(a, b)], list("aabbccdd"))
    residual = np.array([0.75, 0.75, *[-0.25] * 6])
    effect = (1.5**2 + 3 * 0.5**2) / (residual**2).sum()
    assert (found.n, found.disagreement, found.measured) == (8, 0.25, True)
    assert found.design_effect == pytest.approx(effect)
    assert found.detectable == pytest.approx(detectable_difference(8 / effect, 0.25))
    assert "as here on average" in found.note
    assert found.to_json()["detectable_difference"] == found.detectable


def test_power_is_the_mean_of_seeds() -> None:
    """The second seeds alone differ, in two of four clips; of a third only one row is there."""
    a, b = np.ones((3, 4)), np.ones((2, 4))
    b[1, :2] = 0
    assert power_of([(a, b)], list("abcd")).disagreement == 0.25


@pytest.mark.parametrize("pairs", [[], [(np.ones((1, 4)), np.ones((1, 4)))]])
def test_without_disagreement_it_is_assumed(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    found = power_of(pairs, list("abcd"))
    assert not found.measured
    assert found == Power(4)


def test_clips_that_part_within_videos_do_not_count_for_more_than_single_ones() -> None:
    a, b = np.array([[1, 0, 1, 0]]), np.array([[0, 1, 0, 1]])
    assert power_of([(a, b)], [0, 0, 1, 1]).design_effect == 1
