"""How far the votes of the modalities lie apart, and how well that finds clips that conflict.

N clips, K modalities, c classes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr
from scipy.stats import rankdata

Floats = NDArray[np.float64]


def jensen_shannon(probabilities: ArrayLike, weights: ArrayLike, present: ArrayLike) -> Floats:
    """(N,) weighted Jensen-Shannon divergence of the votes over its largest value, 0 to 1.

    H(sum w p) - sum w H(p) (Lin 1991), which is at most log min(K, c). probabilities: (N, K, c);
    weights: (N, K), at least 0; present: (N, K) bool. Absent votes count for nothing, the rest
    shares the weight, evenly where it has none. 0 with fewer than two.
    """
    here = np.asarray(present, bool)
    p = np.where(here[..., None], np.asarray(probabilities, np.float64), 0.0)
    share = np.where(here, np.asarray(weights, np.float64), 0.0)
    share = np.where(share.sum(axis=1, keepdims=True) > 0, share, here)
    share = share / np.maximum(share.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    most = np.log(max(min(p.shape[1:]), 2))
    mixed = entr(np.einsum("nk,nkc->nc", share, p)).sum(axis=1)
    own = (share * entr(p).sum(axis=2)).sum(axis=1)
    return np.asarray(np.clip((mixed - own) / most, 0.0, 1.0))


def auroc(scores: ArrayLike, truth: ArrayLike) -> float | None:
    """How often a positive scores above a negative, equals by half; None without both."""
    s, y = np.asarray(scores, np.float64), np.asarray(truth, bool)
    positive, negative = int(y.sum()), int((~y).sum())
    if not positive or not negative:
        return None
    above = rankdata(s)[y].sum() - positive * (positive + 1) / 2
    return float(above / (positive * negative))


def auprc(scores: ArrayLike, truth: ArrayLike) -> float | None:
    """Average precision: precision at each score, weighted by the recall gained there.

    Its floor is the share of positives. None without both.
    """
    s, y = np.asarray(scores, np.float64), np.asarray(truth, bool)
    if not 0 < y.sum() < len(y):
        return None
    found = _cuts(s, y)
    gained = np.diff(found.hits, prepend=0)
    return float((gained * found.hits / found.flagged).sum() / y.sum())


def youden_threshold(scores: ArrayLike, truth: ArrayLike) -> float | None:
    """Flag from this score on: largest sensitivity + specificity - 1; None without both.

    Of equally good ones the largest. Youden's index does not depend on how many clips conflict,
    so that the threshold holds where fewer or more do, unlike one chosen by F1.
    """
    s, y = np.asarray(scores, np.float64), np.asarray(truth, bool)
    positive, negative = int(y.sum()), int((~y).sum())
    if not positive or not negative:
        return None
    found = _cuts(s, y)
    index = found.hits / positive - (found.flagged - found.hits) / negative
    return float(found.score[index.argmax()])


class _Cuts(NamedTuple):
    """Different scores from high to low; clips from there on, and positives among them."""

    score: Floats
    flagged: Floats
    hits: Floats


def _cuts(scores: Floats, truth: NDArray[np.bool_]) -> _Cuts:
    values, group = np.unique(scores, return_inverse=True)
    size, positive = np.bincount(group), np.bincount(group, weights=truth)
    return _Cuts(values[::-1], np.cumsum(size[::-1]), np.cumsum(positive[::-1]))
