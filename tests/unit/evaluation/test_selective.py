"""Selective prediction: curves by hand, and promises that are kept in repeated draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import repeatable
from tricord.evaluation import selective as s

clips = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30)


def test_risk_and_coverage_by_hand() -> None:
    found = s.risk_coverage([0.9, 0.6, 0.8], [True, False, False])
    assert found.coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert found.risk.tolist() == pytest.approx([0, 1 / 2, 2 / 3])
    assert s.aurc([0.9, 0.6, 0.8], [True, False, False]) == pytest.approx((1 / 2 + 2 / 3) / 3)


def test_equal_confidences_are_in_a_random_order_on_average() -> None:
    """Of two equals one is wrong: half an error after the first."""
    assert s.risk_coverage([0.7, 0.7], [True, False]).risk.tolist() == [0.5, 0.5]


@repeatable
@given(clips, st.integers(0, 99))
def test_aurc_does_not_depend_on_the_order_and_the_best_has_no_excess(
    rows: list[tuple[int, bool]], seed: int
) -> None:
    sure, right = (np.array(column) for column in zip(*rows, strict=True))
    order = np.random.default_rng(seed).permutation(len(sure))
    assert s.aurc(sure[order], right[order]) == pytest.approx(s.aurc(sure, right))
    assert s.risk_coverage(sure, right).risk[-1] == pytest.approx(1 - right.mean())
    assert s.excess_aurc(sure, right) >= -1e-12
    assert s.excess_aurc(right, right) == 0


# ----------------------------------------------------------------------------------- abstaining


def world(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and whether right: too sure by .1, never sure below .4."""
    sure = rng.uniform(0.4, 1, n)
    return sure, rng.random(n) < sure - 0.1


def test_a_risk_is_kept_as_often_as_promised() -> None:
    """Above t, wrong are 1.1 - (1 + t) / 2: known without drawing anything."""
    rng = np.random.default_rng(0)
    found = [s.abstain_threshold(*world(rng, 300), 0.25) for _ in range(400)]
    reached = [1.1 - (1 + max(t, 0.4)) / 2 for t in found if t is not None]
    assert len(reached) > 200
    assert sum(r > 0.25 for r in reached) <= s.DELTA * 400


def test_more_is_answered_where_more_may_be_wrong() -> None:
    case = world(np.random.default_rng(1), 2000)
    found = [s.abstain_threshold(*case, risk) for risk in (0.22, 0.3, 0.5)]
    assert found[0] is not None
    assert found == sorted(found, key=lambda t: -float(t or 0))
    assert found[2] == 0.0  # everything is answered


def test_what_cannot_be_promised_is_not() -> None:
    case = world(np.random.default_rng(2), 2000)
    assert s.abstain_threshold(*case, 0.1) is None  # the surest clips are wrong that often
    sure = np.linspace(0.5, 0.9, 45)
    assert s.abstain_threshold(sure, [True] * 45, 0.05) == 0  # .95 ** 45 < .1
    assert s.abstain_threshold(sure[:44], [True] * 44, 0.05) is None


def test_equals_are_answered_all_or_none() -> None:
    sure, right = np.repeat([0.9, 0.5], 500), np.repeat([True, False], 500)
    threshold = s.abstain_threshold(sure, right, 0.1)
    assert threshold == 0.5


def test_one_clip_of_each_video_counts_where_videos_are_new() -> None:
    """20 videos whose clips are right or wrong together: 2000 clips would promise too much."""
    rng = np.random.default_rng(3)
    broken = clipwise = 0
    for _ in range(100):
        chance = rng.choice([0.0, 0.4], 20)  # risk .2 in the mean, at any confidence
        videos = np.repeat(np.arange(20), 100)
        right = rng.random(2000) >= chance[videos]
        sure = rng.uniform(0.5, 1, 2000)
        broken += s.abstain_threshold(sure, right, 0.19, groups=videos) is not None
        clipwise += s.abstain_threshold(sure, right, 0.19) is not None
    assert broken <= 10
    assert clipwise > 20


def test_one_of_each_is_one_of_each() -> None:
    videos = np.array(["b", "a", "b", "c", "a"])
    rows = s.one_of_each(videos)
    assert sorted(videos[rows]) == ["a", "b", "c"]


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, float("nan")])
def test_shares_are_between_0_and_1(value: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        s.abstain_threshold([0.5], [True], value)
    with pytest.raises(ValueError, match="between 0 and 1"):
        s.label_threshold([0.5], value)


# ----------------------------------------------------------------------------------------- sets


def test_the_bar_by_hand() -> None:
    """Nine clips: 9 of 10 places hold 90 %, 8 of 10 hold 80 %, none more than 9 of 10."""
    own = np.arange(1, 10) / 10
    assert s.label_threshold(own, 0.9) == pytest.approx(0.1)
    assert s.label_threshold(own, 0.8) == pytest.approx(0.2)
    assert s.label_threshold(own, 0.91) == 0.0


def test_sets_hold_what_is_above_the_bar_and_never_nothing() -> None:
    p = np.array([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25]])
    assert s.label_sets(p, 0.3).tolist() == [[True, True, False], [True, True, False]]
    assert s.label_sets(p, 0.6).tolist() == [[True, False, False], [True, False, False]]
    assert s.label_sets(p, 0.0).all()


@pytest.mark.parametrize("coverage", [0.6, 0.9])
def test_coverage_is_that_asked_for(coverage: float) -> None:
    """Exactly ceil(20 * coverage) / 20 in the mean, of 19 clips and a new one."""
    own = np.random.default_rng(0).random((4000, 20))
    reached = np.mean([row[0] >= s.label_threshold(row[1:], coverage) for row in own])
    assert reached == pytest.approx(coverage, abs=0.025)


def test_coverage_for_a_new_video_needs_its_weights() -> None:
    """Large videos are easy: counted by clips, a new video is covered too seldom."""
    rng = np.random.default_rng(1)
    sizes = np.where(np.arange(30) % 2, 1, 9)
    videos = np.repeat(np.arange(30), sizes)
    by_video, by_clip = [], []
    for _ in range(400):
        easy = sizes[rng.integers(30)] == 9
        own = np.where(sizes[videos] == 9, 0.5, 0.0) + 0.5 * rng.random(len(videos))
        new = (0.5 if easy else 0.0) + 0.5 * rng.random()
        by_video.append(new >= s.label_threshold(own, 0.8, groups=videos))
        by_clip.append(new >= s.label_threshold(own, 0.8))
    assert np.mean(by_video) == pytest.approx(0.8, abs=0.06)
    assert np.mean(by_clip) < 0.7
