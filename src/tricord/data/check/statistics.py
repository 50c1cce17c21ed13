"""Small statistics that the rules share: correlations resampled by video, a ridge probe."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 200  # a standard error to within 5 %
_SEED = 0
FOLDS = 5
# Beyond this many deviations a column's value is an accident of the extractor.
_CLIP = 5.0


def groups_of(names: NDArray[np.str_]) -> Ints:
    """(N,) numbers from 0 of equal names."""
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def standard_error(
    x: Floats, y: Floats, groups: Ints, statistic: Callable[[Floats], Floats | float]
) -> float:
    """Bootstrap standard error of a statistic of the correlations of x and y, groups resampled.

    x, y: (N, A) and (N, B). statistic: takes (A, B) correlations. Clips of a group, such as a
    video, are drawn together, as they are not independent.
    """
    count = int(groups.max()) + 1
    parts = _moments(x, y, groups, count)
    draws = np.random.default_rng(_SEED).multinomial(count, np.full(count, 1 / count), DRAWS)
    values = [float(statistic(_correlations(_weighted(parts, w.astype(float))))) for w in draws]
    return float(np.nanstd(values))


def correlations(x: Floats, y: Floats) -> Floats:
    """(A, B) Pearson correlations of (N, A) and (N, B); 0 for constant columns."""
    ones = np.zeros(len(x), dtype=np.int64)
    return _correlations(_weighted(_moments(x, y, ones, 1), np.ones(1)))


def _moments(x: Floats, y: Floats, groups: Ints, count: int) -> tuple[Floats, ...]:
    """Per group: size, sums of x, of y, of their squares and of their products."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    products = (x[:, :, None] * y[:, None, :]).reshape(len(x), -1)

    def total(values: Floats) -> Floats:
        out = np.zeros((count, values.shape[1]))
        np.add.at(out, groups, values)
        return out

    ones = np.ones((len(x), 1))
    return total(ones), total(x), total(y), total(x**2), total(y**2), total(products)


def _weighted(parts: tuple[Floats, ...], weights: Floats) -> tuple[Floats, ...]:
    return tuple(weights @ part for part in parts)


def _correlations(sums: tuple[Floats, ...]) -> Floats:
    size, x, y, xx, yy, xy = sums
    cov = xy.reshape(len(x), len(y)) / size - np.outer(x, y) / size**2
    # A constant column of a resample has a variance of 0 give or take rounding.
    spread = (np.maximum(square / size - (s / size) ** 2, 0) for s, square in ((x, xx), (y, yy)))
    scale = np.sqrt(np.outer(*spread))
    return np.divide(cov, scale, out=np.zeros_like(cov), where=scale > 1e-12)


def out_of_fold(features: NDArray[np.floating], targets: Floats, groups: Ints) -> Floats:
    """(N, B) ridge predictions of (N, B) targets from (N, D) features, each group left out once."""
    fold = np.random.default_rng(_SEED).permutation(int(groups.max()) + 1)[groups] % FOLDS
    predictions = np.zeros_like(targets)
    for held in np.unique(fold):
        test = fold == held
        if test.all():
            continue
        predictions[test] = predict(features[~test], targets[~test], features[test])
    return predictions


def predict(train: NDArray[np.floating], targets: Floats, test: NDArray[np.floating]) -> Floats:
    """Ridge regression on standardised columns.

    The penalty is the number of columns: the weights' prior then expects as much signal as noise.
    """
    mean, deviation = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    usable = deviation > 1e-9 * (1 + np.abs(mean))
    x, z = (
        np.clip((part[:, usable] - mean[usable]) / deviation[usable], -_CLIP, _CLIP)
        for part in (train, test)
    )
    centre = targets.mean(axis=0)
    gram = x.T @ x + max(1, x.shape[1]) * np.eye(x.shape[1])
    return np.asarray(z @ np.linalg.solve(gram, x.T @ (targets - centre)) + centre)
