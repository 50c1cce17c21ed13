from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tricord.evaluation import statistics as s
from tricord.evaluation.metrics import weighted_f1

quick = settings(max_examples=30, deadline=None)
# (right by a, right by b, video) per clip
clips = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(0, 6)), min_size=1, max_size=40
).map(lambda rows: tuple(np.array(column) for column in zip(*rows, strict=True)))


def clustered(rng: np.random.Generator, videos: int, strength: float) -> tuple[np.ndarray, ...]:
    """0/1 values of mean 1/2 in videos of 2 to 14 clips that share a probability."""
    names = np.repeat(np.arange(videos), rng.integers(2, 15, videos))
    chance = 0.5 + strength * rng.uniform(-0.5, 0.5, videos)
    return rng.random(len(names)) < chance[names], names


def test_wilson_known_values() -> None:
    found = s.wilson(8, 10)
    assert (found.low, found.high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert (s.wilson(0, 10).low, s.wilson(10, 10).high) == (0, 1)
    assert s.wilson(0, 10).high == pytest.approx(1 - s.wilson(10, 10).low)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy_and_contains_the_estimate(case: tuple[int, int]) -> None:
    found = s.wilson(*case, level=0.9)
    theirs = stats.binomtest(*case).proportion_ci(0.9, method="wilson")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert 0 <= found.low <= found.estimate <= found.high <= 1


@quick
@given(clips, st.integers(0, 99))
def test_bootstrap_contains_its_estimate_whatever_the_order(
    case: tuple[np.ndarray, ...], seed: int
) -> None:
    a, b, videos = case
    order = np.random.default_rng(seed).permutation(len(a))
    found = s.cluster_bootstrap(a, videos, seed=seed, resamples=200)
    assert found.low <= found.estimate == a.mean() <= found.high
    assert found == s.cluster_bootstrap(a[order], videos[order], seed=seed, resamples=200)
    pair = s.paired_cluster_bootstrap(a, b, videos, seed=seed, resamples=200)
    assert pair.difference.low <= pair.difference.estimate <= pair.difference.high
    assert pair == s.paired_cluster_bootstrap(
        a[order], b[order], videos[order], seed=seed, resamples=200
    )


@quick
@given(clips)
def test_identical_models_do_not_differ(case: tuple[np.ndarray, ...]) -> None:
    a, _, videos = case
    compared = [
        s.paired_cluster_bootstrap(a, a, videos, resamples=50),
        s.over_seeds([a, ~a], [a, ~a], videos, resamples=50).decision,
        s.over_datasets([(a, a, videos)] * 3, resamples=50).decision,
    ]
    for found in compared:
        interval = found.difference
        assert (interval.estimate, interval.low, interval.high, found.p) == (0, 0, 0, 1)
    assert s.mcnemar(a, a) == 1


def test_swapping_the_models_mirrors_the_comparison() -> None:
    rng = np.random.default_rng(0)
    a, videos = clustered(rng, 30, 0.5)
    b = np.where(rng.random(len(a)) < 0.2, False, a)
    there = s.paired_cluster_bootstrap(a, b, videos)
    back = s.paired_cluster_bootstrap(b, a, videos)
    assert there.difference.low == pytest.approx(-back.difference.high)
    assert there.p == back.p < 0.01
    assert there.p_greater < 0.01 < 0.99 < back.p_greater


def test_same_seed_same_interval_other_seed_another() -> None:
    values, videos = clustered(np.random.default_rng(3), 20, 0.5)
    first = s.cluster_bootstrap(values, videos, seed=1)
    assert first == s.cluster_bootstrap(values, videos, seed=1)
    assert first != s.cluster_bootstrap(values, videos, seed=2)


def test_names_of_clusters_do_not_matter() -> None:
    values, videos = clustered(np.random.default_rng(3), 9, 0.5)
    names = np.array([f"video_{v}" for v in videos])
    assert s.cluster_bootstrap(values, names) == s.cluster_bootstrap(values, videos)


def test_the_vectorised_mean_has_the_spread_of_the_plain_loop() -> None:
    values, videos = clustered(np.random.default_rng(4), 25, 0.8)
    fast = s.cluster_bootstrap(values, videos, resamples=4000)
    slow = s.cluster_bootstrap(values, videos, resamples=4000, statistic=np.mean)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=0.01)


def test_memory_chunks_are_complete() -> None:
    table = np.ones((2, 5000))  # more cells than are drawn at once
    assert (s._resample_totals(table, 300, np.random.default_rng(0)) == 5000).all()


def test_any_statistic_of_several_columns() -> None:
    rng = np.random.default_rng(5)
    truth, videos = clustered(rng, 30, 0.2)
    predicted = truth ^ (rng.random(len(truth)) < 0.25)
    rows = np.stack([truth, predicted], axis=1)
    found = s.cluster_bootstrap(
        rows, videos, statistic=lambda r: weighted_f1(r[:, 0], r[:, 1], 2), resamples=300
    )
    assert found.estimate == weighted_f1(truth, predicted, 2)
    assert 0.6 < found.low < found.estimate < found.high < 0.9


def test_one_video_and_constant_values_fall_back_and_say_so() -> None:
    values = np.array([True, True, False, True])
    one = s.cluster_bootstrap(values, np.zeros(4))
    assert one == s.wilson(3, 4)
    assert one.method == "wilson"
    assert s.cluster_bootstrap(np.ones(4), np.arange(4)) == s.wilson(4, 4)
    assert s.cluster_bootstrap(values / 2, np.zeros(4)).method == "clip bootstrap"
    assert s.cluster_bootstrap(values, np.arange(4)).method == "cluster bootstrap"
    assert "clip" in s.paired_cluster_bootstrap(values, ~values, np.zeros(4)).difference.method


def test_order_of_clips_in_one_video_does_not_matter() -> None:
    rng = np.random.default_rng(12)
    a, b = rng.random((2, 30)).round(2)
    for one in (np.zeros(30), np.full(30, "v")):
        there = s.paired_cluster_bootstrap(a, b, one).difference
        back = s.paired_cluster_bootstrap(a[::-1], b[::-1], one).difference
        assert (there.low, there.high) == pytest.approx((back.low, back.high))


def test_cluster_bootstrap_covers_where_wilson_does_not() -> None:
    rng = np.random.default_rng(6)
    covered = np.zeros(2)
    for seed in range(300):
        values, videos = clustered(rng, 40, 0.9)
        by_video = s.cluster_bootstrap(values, videos, resamples=400, seed=seed)
        by_clip = s.wilson(values.sum(), len(values))
        covered += [i.low <= 0.5 <= i.high for i in (by_video, by_clip)]
    share = covered / 300
    assert 0.9 <= share[0] <= 0.98
    assert share[1] < 0.85


def test_paired_comparison_rejects_a_true_null_at_its_level() -> None:
    rng = np.random.default_rng(7)
    p = []
    for seed in range(300):
        a, videos = clustered(rng, 40, 0.9)
        side = rng.random(40) < 0.5  # whole videos favour one model or the other
        b = np.where((rng.random(len(a)) < 0.3) & side[videos], ~a, a)
        c = np.where((rng.random(len(a)) < 0.3) & ~side[videos], ~a, a)
        p.append(s.paired_cluster_bootstrap(b, c, videos, resamples=400, seed=seed).p)
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.09


def null_seeds(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Differences over 5 seeds on the same clips, which favour one model by chance."""
    videos = np.repeat(np.arange(50), 6)
    shared = 0.15 * rng.normal(size=50)[videos] + 0.3 * rng.normal(size=300)
    return shared + 0.2 * rng.normal(size=(5, 300)), videos


def test_over_seeds_keeps_its_level_where_pooling_and_the_t_test_do_not() -> None:
    rng = np.random.default_rng(8)
    rejected = np.zeros(3)
    for seed in range(300):
        d, videos = null_seeds(rng)
        found = s.over_seeds(d, 0 * d, videos, resamples=400, seed=seed)
        assert found.decision is found.resampled
        assert found.t_test is not None
        pooled = stats.ttest_1samp(d.ravel(), 0).pvalue
        rejected += [found.decision.p < 0.05, found.t_test.p < 0.05, pooled < 0.05]
    share = rejected / 300
    assert share[0] <= 0.08
    assert (share[1:] > 0.25).all()


def test_over_datasets_keeps_its_level_where_pooling_does_not() -> None:
    rng = np.random.default_rng(9)
    rejected = np.zeros(3)
    videos = np.repeat(np.arange(40), 5)
    for seed in range(300):
        sets = [
            0.08 * rng.normal() + 0.1 * rng.normal(size=40)[videos] + 0.4 * rng.normal(size=200)
            for _ in range(5)
        ]
        found = s.over_datasets([(d, 0 * d, videos) for d in sets], resamples=200, seed=seed)
        assert found.decision is found.t_test
        pooled = stats.ttest_1samp(np.concatenate(sets), 0).pvalue
        rejected += [found.decision.p < 0.05, found.resampled.p < 0.05, pooled < 0.05]
    share = rejected / 300
    assert 0.02 <= share[0] <= 0.09
    assert share[1] < 0.25 < share[2]


def test_blocks_by_hand() -> None:
    sets = [(np.ones(4), np.array([1, 1, 1, 0]), np.arange(4)), ([1, 1], [0, 1], [0, 1])]
    found = s.over_datasets(sets)
    assert found.means == (0.25, 0.5)
    assert found.resampled.difference.estimate == 0.375  # sets count alike, whatever their size
    assert found.resampled.difference.n == 6
    assert found.t_test is not None
    theirs = stats.ttest_1samp([0.25, 0.5], 0)
    assert found.t_test.p == pytest.approx(theirs.pvalue)
    assert found.t_test.p_greater == pytest.approx(theirs.pvalue / 2)
    assert found.t_test.difference.n == 2


def test_blocks_that_add_nothing_leave_the_paired_comparison() -> None:
    rng = np.random.default_rng(10)
    a, videos = clustered(rng, 30, 0.5)
    b = rng.random(len(a)) < 0.4
    plain = s.paired_cluster_bootstrap(a, b, videos, resamples=4000)
    for found in (
        s.over_datasets([(a, b, videos)], resamples=4000),
        s.over_seeds([a], [b], videos, resamples=4000),
        s.over_seeds([a] * 3, [b] * 3, videos, resamples=4000),  # seeds that agree add nothing
    ):
        assert (found.t_test is None) == (len(found.means) == 1)
        assert found.decision is found.resampled
        ours, theirs = found.decision.difference, plain.difference
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_blocks_without_spread_are_decided_without_a_division_by_zero() -> None:
    same = s.over_datasets([([1, 1], [0, 1], [0, 1])] * 3).t_test
    assert same is not None
    assert (same.difference.low, same.difference.high, same.p) == (0.5, 0.5, 0)


def test_mcnemar_by_hand() -> None:
    a = np.array([1] * 6 + [0] * 1 + [1] * 5)
    b = np.array([0] * 6 + [1] * 1 + [1] * 5)
    assert s.mcnemar(a, b) == pytest.approx(2 * (1 + 7) / 2**7)  # 6 against 1
    assert s.mcnemar(a, b) == s.mcnemar(b, a)


def test_holm_by_hand() -> None:
    assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert s.holm([0.6, 0.5]).tolist() == [1, 1]
    assert s.holm([]).tolist() == []


def test_mean_and_spread_over_seeds() -> None:
    found = s.mean_t_interval([80, 82, 84])
    assert found is not None
    half = 4.302653 * 2 / np.sqrt(3)  # t with 2 degrees of freedom, standard deviation 2
    assert (found.low, found.high) == pytest.approx((82 - half, 82 + half), abs=1e-4)
    assert s.spread([80, 82, 84]) == pytest.approx(2)
    assert s.mean_t_interval([80]) is s.spread([80]) is None


@pytest.mark.parametrize(
    ("a", "b", "videos"),
    [
        ([], [], []),
        ([1, 0], [1], [0, 1]),
        ([1, 0], [1, 0], [0]),
        ([1, np.nan], [1, 0], [0, 1]),
        ([[1, 0]], [[1, 0]], [0]),
    ],
)
def test_bad_input_is_refused(a: list, b: list, videos: list) -> None:
    with pytest.raises(ValueError, match="found"):
        s.paired_cluster_bootstrap(a, b, videos)
    with pytest.raises(ValueError, match="found"):
        s.over_datasets([(a, b, videos)])


def test_wilson_refuses_what_is_no_proportion() -> None:
    for successes, n in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="successes"):
            s.wilson(successes, n)
