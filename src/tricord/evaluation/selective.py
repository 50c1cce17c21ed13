"""Saying nothing, or several things, instead of something wrong.

N clips, c classes. Confidence is the largest probability (Geifman and El-Yaniv, Selective
Classification for Deep Neural Networks, NeurIPS 2017).

The guarantees below are for clips exchangeable with those the threshold is taken from. Clips of
one video are not independent, so each function takes groups: with them the guarantee is for a clip
of a new video, without them for a new clip of the same mixture of videos.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DELTA = 0.1  # how often a threshold may break its promise
FIRST = 0.2  # share of the clips that is tried first: fewer can promise little
STEPS = 20  # the share tried grows by one of so many parts
_ROUNDING = 1e-9


class Curve(NamedTuple):
    """(N,) share of clips answered, and the share of these answered wrongly."""

    coverage: Floats
    risk: Floats


def risk_coverage(confidence: ArrayLike, right: ArrayLike) -> Curve:
    """The k most confident clips, k = 1 .. N; equals in a random order, in the mean over orders."""
    sure, wrong = np.asarray(confidence, np.float64), 1 - np.asarray(right, np.float64)
    _, group, size = np.unique(-sure, return_inverse=True, return_counts=True)
    share = np.bincount(group, weights=wrong) / size
    k = np.arange(1, len(sure) + 1)
    return Curve(k / len(sure), np.cumsum(np.repeat(share, size)) / k)


def aurc(confidence: ArrayLike, right: ArrayLike) -> float:
    """Area under the risk-coverage curve, 0 to 1: its mean over k (Geifman et al., ICLR 2019)."""
    return float(risk_coverage(confidence, right).risk.mean())


def excess_aurc(confidence: ArrayLike, right: ArrayLike) -> float:
    """AURC above that of the best order, all right ones first: what is lost by ranking badly."""
    return aurc(confidence, right) - aurc(right, right)


def abstain_threshold(
    confidence: ArrayLike,
    right: ArrayLike,
    risk: float,
    *,
    groups: ArrayLike | None = None,
    delta: float = DELTA,
) -> float | None:
    """Answer where the confidence is above this; None where no threshold is good enough.

    With probability 1 - delta over the N clips, the share of wrong answers among new answered
    clips is at most ``risk``: larger and larger shares of the N clips are tried, and the last one
    before the first that fails is taken (a fixed-sequence test, as in Angelopoulos et al., Learn
    then Test, 2021). For a fixed k, given the (k + 1)-th largest confidence t, the k clips above
    are independent draws of those above t, so that their errors are Binomial(k, risk above t),
    whose exact (Clopper-Pearson) tail at ``risk`` is the test. It is assumed that the risk, once
    above the one asked for, stays there as less sure clips are answered. A k at which confidences
    are equal is not tried. groups: one clip of each, drawn once, is used.
    Raises ValueError for a risk outside (0, 1).
    """
    _inside("risk", risk)
    sure, ok = np.asarray(confidence, np.float64), np.asarray(right, bool)
    if groups is not None:
        rows = one_of_each(groups)
        sure, ok = sure[rows], ok[rows]
    order = np.argsort(-sure, kind="stable")
    below = np.append(sure[order], -np.inf)  # [k]: the (k + 1)-th largest
    k = _tried(len(sure), risk, delta)
    k = k[below[k - 1] > below[k]]
    failed = stats.binom.cdf(np.cumsum(~ok[order])[k - 1], k, risk) > delta
    passed = k[: int(failed.argmax())] if failed.any() else k
    if not len(passed):
        return None
    return max(float(below[passed[-1]]), 0.0)


def _tried(n: int, risk: float, delta: float) -> Ints:
    """Numbers of clips; the first could pass without a mistake, the last is all of them."""
    first = max(np.ceil(FIRST * n), np.ceil(np.log(delta) / np.log1p(-risk)))
    found = np.append(np.arange(first, n, max(n / STEPS, 1)), n)
    return np.unique(np.ceil(found).astype(np.int64)) if first <= n else np.empty(0, np.int64)


def label_threshold(own: ArrayLike, coverage: float, *, groups: ArrayLike | None = None) -> float:
    """The least probability by which a class belongs to the set of answers.

    own: (N,) probabilities of the true classes. Sets hold a new clip's true class with probability
    at least ``coverage``, in the mean over clips, also over the N (split conformal: Vovk et al.
    2005; the score 1 - p is that of Sadinle et al., Least Ambiguous Set-Valued Classifiers, 2019:
    the smallest sets on average; Romano et al.'s adaptive ones are larger, and even over clips).
    N + 1 stands below the bar, since the new clip is one of them. groups: G videos, each of weight
    1 / (G + 1) (Lee, Barber and Willett, Distribution-free inference with hierarchical data,
    2023). 0, every class, where N is too small. Raises ValueError for a coverage outside (0, 1).
    """
    _inside("coverage", coverage)
    p = np.asarray(own, np.float64)
    names = np.arange(len(p)) if groups is None else np.asarray(groups)
    _, group, size = np.unique(names, return_inverse=True, return_counts=True)
    order = np.argsort(-p, kind="stable")
    held = np.cumsum(1 / size[group[order]]) / (len(size) + 1)
    enough = np.flatnonzero(held >= coverage - _ROUNDING)
    return float(p[order[enough[0]]]) if len(enough) else 0.0


def label_sets(probabilities: ArrayLike, threshold: float) -> Bools:
    """(N, c) which classes belong to each clip's set; the most probable always does."""
    p = np.asarray(probabilities, np.float64)
    first = np.arange(p.shape[1]) == p.argmax(axis=1)[:, None]
    return np.asarray((p >= threshold) | first)


def one_of_each(groups: ArrayLike, seed: int = 0) -> Ints:
    """(G,) rows: one clip of each group, drawn at random."""
    names = np.asarray(groups)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    return np.asarray(shuffled[np.unique(names[shuffled], return_index=True)[1]])


def _inside(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name}: {value} found, a number between 0 and 1 expected")
