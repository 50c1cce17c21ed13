"""Intervals and tests for every table: how far a number can be trusted.

Clips of one video resemble each other, so whole videos are resampled, never single clips. What
else varies decides the unit:

* One model, one test set: videos (`cluster_bootstrap`); two models on it: the same resamples for
  both (`paired_cluster_bootstrap`).
* Several data sets, each with its own models (`over_datasets`): the sets' differences are
  independent draws that already hold the noise of clips and of training, so the t test over them
  **decides**. Resampling sets and then videos within counts the noise of clips twice and that
  between sets (S - 1) / S times: it stands beside the test as a second opinion.
* One test set, several training seeds (`over_seeds`): every seed meets the same clips, so seeds
  are not independent and a t test over them speaks of these clips only. Resampling seeds and
  videos, crossed, **decides**; the t test over seeds stands beside it.

How often a true null is rejected at the nominal 5 % (simulated: S = 5, 60 videos of 8 clips, from
no noise between blocks to much of it): over data sets t 5-6 %, sets and videos 1-15 %, videos
only 5-69 %, pooled clips 5-72 %; over seeds crossed 0-6 %, videos only 7-17 %, t 6-46 %, pooled
clips 6-55 %. Where seeds differ far more than videos do, the crossed one too rejects too often.
Few videos (under about 20) make every percentile interval too narrow; nothing here mends that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 2000
LEVEL = 0.95
_CHUNK = 2**20  # cells drawn at once: bounds memory


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval, low <= estimate <= high.

    method: how the interval was made. n: what was counted: clips, or blocks for a t interval.
    """

    estimate: float
    low: float
    high: float
    level: float
    method: str
    n: int


@dataclass(frozen=True)
class Comparison:
    """The mean of a - b with p values for "no difference".

    p is two-sided; p_greater is one-sided, small where a is above b.
    """

    difference: Interval
    p: float
    p_greater: float


@dataclass(frozen=True)
class BlockComparison:
    """A comparison over data sets or seeds.

    means: the difference within each block. resampled: blocks and videos resampled. t_test: over
    the block means, None for a single block. decision: the one of the two that a table states
    (the module's docstring says why).
    """

    means: tuple[float, ...]
    resampled: Comparison
    t_test: Comparison | None
    decision: Comparison


def wilson(successes: float, n: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a proportion, for independent clips.

    Raises ValueError where n < 1 or successes are not from 0 to n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} found")
    p, z = successes / n, stats.norm.isf((1 - level) / 2)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return _interval(p, (max(centre - half, 0), min(centre + half, 1)), level, "wilson", n)


def cluster_bootstrap(
    values: ArrayLike,
    clusters: ArrayLike,
    *,
    statistic: Callable[[NDArray[np.generic]], float] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Percentile interval of a statistic of clips, videos resampled with replacement.

    values: (N,), or (N, ...) for a statistic of several columns. clusters: (N,) video names or
    numbers. statistic: rows -> number; None is the mean, which is vectorised.

    With one video, or where all values are equal, resampling sees no variation: the mean of 0/1
    values then gets a Wilson interval (`method` says so), which takes clips as independent; for
    other values of one video the clips are resampled. Raises ValueError on empty or unequal input.
    """
    rows = np.asarray(values)
    groups, several = _groups(rows, clusters)
    rng = np.random.default_rng(seed)
    if statistic is not None:
        estimate = float(statistic(rows))
        found = _resample_statistic(rows, groups, statistic, resamples, rng)
    else:
        numbers = _numbers(rows)
        binary = bool(np.isin(numbers, (0, 1)).all())
        if binary and (not several or np.ptp(numbers) == 0):
            return wilson(float(numbers.sum()), len(numbers), level)
        estimate = float(numbers.mean())
        found = _resample_mean(numbers, groups, resamples, rng)
    method = f"{_unit(several)} bootstrap"
    return _interval(estimate, _percentiles(found, level), level, method, len(rows))


def paired_cluster_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Comparison:
    """The mean of a - b on the same clips, the same videos resampled for both.

    a, b: (N,) values, such as whether each model is right; clusters: (N,) videos. p values
    invert the interval. With one video the clips are resampled (`method` says so).
    Raises ValueError on empty or unequal input.
    """
    difference = _difference(a, b)
    groups, several = _groups(difference, clusters)
    found = _resample_mean(difference, groups, resamples, np.random.default_rng(seed))
    method = f"paired {_unit(several)} bootstrap"
    return _compare(float(difference.mean()), found, level, method, len(difference))


def over_datasets(
    data: Sequence[tuple[ArrayLike, ArrayLike, ArrayLike]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> BlockComparison:
    """The mean over data sets of the difference within each; every set has its own clips.

    data: per set (a, b, clusters), each (N_s,). Each resample draws sets with replacement and,
    anew for every set drawn, its videos. The t test over sets decides, where there are several.
    Raises ValueError on empty or unequal input.
    """
    rng = np.random.default_rng(seed)
    differences = [_difference(a, b) for a, b, _ in data]
    means = tuple(float(d.mean()) for d in differences)
    drawn = rng.integers(len(data), size=(resamples, len(data)))
    found = np.empty(drawn.shape)
    for s, (difference, (_, _, clusters)) in enumerate(zip(differences, data, strict=True)):
        groups, _several = _groups(difference, clusters)
        chosen = drawn == s
        found[chosen] = _resample_mean(difference, groups, int(chosen.sum()), rng)
    n = sum(map(len, differences))
    resampled = _compare(
        float(np.mean(means)), found.mean(axis=1), level, "bootstrap over data sets and videos", n
    )
    t_test = _t_test(means, level)
    return BlockComparison(means, resampled, t_test, decision=t_test or resampled)


def over_seeds(
    a: ArrayLike,
    b: ArrayLike,
    clusters: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> BlockComparison:
    """The mean of a - b over training seeds on the same clips.

    a, b: (S, N), one row per training seed; clusters: (N,) videos. Each resample draws seeds and,
    independently, videos, the same videos for every seed; this decides. The t test over seeds
    says only whether other seeds would agree on these very clips.
    Raises ValueError on empty or unequal input.
    """
    differences = _difference(a, b, ndim=2)
    groups, several = _groups(differences.T, clusters)
    rng = np.random.default_rng(seed)
    *sums, sizes = _resample_totals(_totals(differences, groups), resamples, rng)
    count = len(differences)
    drawn = rng.multinomial(count, [1 / count] * count, size=resamples)
    found = (drawn.T * np.array(sums)).sum(axis=0) / (count * sizes)
    means = tuple(differences.mean(axis=1).tolist())
    method = f"bootstrap over seeds and {'videos' if several else 'clips'}"
    resampled = _compare(float(differences.mean()), found, level, method, differences.shape[1])
    return BlockComparison(means, resampled, _t_test(means, level), decision=resampled)


def mcnemar(a_correct: ArrayLike, b_correct: ArrayLike) -> float:
    """Exact two-sided p value of McNemar's test on (N,) right or wrong decisions.

    Takes clips as independent: with several clips per video prefer `paired_cluster_bootstrap`.
    """
    a, b = np.asarray(a_correct, bool), np.asarray(b_correct, bool)
    if a.shape != b.shape:
        raise ValueError(f"shapes {a.shape} and {b.shape} found, expected equal ones")
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b).pvalue)


def spread(values: ArrayLike) -> float | None:
    """Sample standard deviation over seeds; None for a single value, which has none."""
    numbers = _numbers(values)
    return float(numbers.std(ddof=1)) if len(numbers) > 1 else None


def mean_t_interval(values: ArrayLike, level: float = LEVEL) -> Interval | None:
    """Student's t interval of the mean over seeds; None for a single value, which has none."""
    numbers = _numbers(values)
    if len(numbers) == 1:
        return None
    mean, error = float(numbers.mean()), float(stats.sem(numbers))
    half = float(stats.t.isf((1 - level) / 2, len(numbers) - 1)) * error
    return _interval(mean, (mean - half, mean + half), level, "t over blocks", len(numbers))


def holm(p_values: ArrayLike) -> Floats:
    """Holm's adjusted p values, in the order given: compare each with the level itself."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def _resample_mean(
    values: Floats, groups: Ints, resamples: int, rng: np.random.Generator
) -> Floats:
    """(resamples,) means of (N,) values, groups drawn with replacement."""
    sums, sizes = _resample_totals(_totals(values[None], groups), resamples, rng)
    return np.asarray(sums / sizes)


def _totals(values: Floats, groups: Ints) -> Floats:
    """(F + 1, G): the sum per group of each of F rows of values (F, N), then the group sizes."""
    rows = [*values, np.ones(values.shape[1])]
    return np.stack([np.bincount(groups, weights=row) for row in rows])


def _resample_totals(table: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """(F, resamples) sums over G columns of (F, G), drawn with replacement; one draw for all F."""
    height, width = table.shape
    step = max(1, _CHUNK // (height * width))
    found = np.empty((height, resamples))
    for start in range(0, resamples, step):
        part = found[:, start : start + step]
        part[:] = table[:, rng.integers(width, size=(part.shape[1], width))].sum(axis=-1)
    return found


def _resample_statistic(
    rows: NDArray[np.generic],
    groups: Ints,
    statistic: Callable[[NDArray[np.generic]], float],
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """(resamples,) values of any statistic of the rows, groups drawn with replacement."""
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    drawn = rng.integers(len(members), size=(resamples, len(members)))
    return np.array([statistic(rows[np.concatenate([members[g] for g in d])]) for d in drawn])


def _groups(rows: NDArray[np.generic], clusters: ArrayLike) -> tuple[Ints, bool]:
    """(N,) group numbers from 0, and whether there are several videos.

    A single video makes every clip its own group, ordered by value so that the order of the clips
    does not matter.
    """
    names = np.asarray(clusters)
    if names.shape != rows.shape[:1] or not len(names):
        raise ValueError(
            f"{rows.shape[:1]} values and {names.shape} clusters found, expected (N,) twice, N > 0"
        )
    found, groups = np.unique(names, return_inverse=True)
    if len(found) > 1:
        return groups, True
    order = np.lexsort(rows.reshape(len(rows), -1).T)
    return np.argsort(order, kind="stable"), False


def _unit(several: bool) -> str:
    return "cluster" if several else "clip"


def _compare(estimate: float, found: Floats, level: float, method: str, n: int) -> Comparison:
    """An interval and p values from resampled differences; p is never 0, as resamples are few."""
    greater = (1 + int(np.sum(found <= 0))) / (1 + len(found))
    less = (1 + int(np.sum(found >= 0))) / (1 + len(found))
    interval = _interval(estimate, _percentiles(found, level), level, method, n)
    return Comparison(interval, min(1.0, 2 * min(greater, less)), greater)


def _t_test(means: Sequence[float], level: float) -> Comparison | None:
    """Student's t test of the mean of the blocks against 0; None for a single block."""
    interval = mean_t_interval(means, level)
    if interval is None:
        return None
    error = float(stats.sem(means))
    t = interval.estimate / error if error else np.copysign(np.inf, interval.estimate)
    if interval.estimate == 0:
        t = 0.0
    p, greater = 2 * stats.t.sf(abs(t), len(means) - 1), stats.t.sf(t, len(means) - 1)
    return Comparison(interval, float(p), float(greater))


def _percentiles(found: Floats, level: float) -> tuple[float, float]:
    tail = (1 - level) / 2
    low, high = np.quantile(found, (tail, 1 - tail))
    return float(low), float(high)


def _interval(
    estimate: float, ends: tuple[float, float], level: float, method: str, n: int
) -> Interval:
    """The interval, widened to its estimate where rounding or a skew left it just outside."""
    low, high = min(ends[0], estimate), max(ends[1], estimate)
    return Interval(estimate, float(low), float(high), level, method, n)


def _numbers(values: ArrayLike, ndim: int = 1) -> Floats:
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != ndim or not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(f"shape {numbers.shape} found, expected {ndim} dimensions, finite values")
    return numbers


def _difference(a: ArrayLike, b: ArrayLike, ndim: int = 1) -> Floats:
    first, second = _numbers(a, ndim), _numbers(b, ndim)
    if first.shape != second.shape:
        raise ValueError(f"shapes {first.shape} and {second.shape} found, expected equal ones")
    return first - second
