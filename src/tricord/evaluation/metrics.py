"""Accuracy, F1, error and correlation by the field's conventions (Eq. 36-38).

Pure functions on numpy arrays. N clips, c classes. A ratio whose denominator is zero (an empty
class, an empty subset) is 0, never NaN. Values are not rounded: that is the table's task.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from tricord.labels import LabelScheme
from tricord.types import Polarity

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

# Two-way, three-way and five-way bins of the CH-SIMS family; left-open, right-closed.
SIMS_CUTS = {"acc2": (0.0,), "acc3": (-0.1, 0.1), "acc5": (-0.7, -0.1, 0.1, 0.7)}
SIMS_BOUND = 1.0
# Scores of the CMU family are clipped to this bound and rounded to whole classes.
CMU_BOUNDS = {"acc7": 3.0, "acc5": 2.0}


class Counts(NamedTuple):
    """True and false positives and negatives."""

    tp: int
    tn: int
    fp: int
    fn: int


def counts(truth_positive: ArrayLike, predicted_positive: ArrayLike) -> Counts:
    """The four counts of two (N,) boolean arrays."""
    truth, predicted = np.asarray(truth_positive, bool), np.asarray(predicted_positive, bool)
    _same_shape(truth, predicted)
    return Counts(
        tp=int(np.sum(truth & predicted)),
        tn=int(np.sum(~truth & ~predicted)),
        fp=int(np.sum(~truth & predicted)),
        fn=int(np.sum(truth & ~predicted)),
    )


def acc2(truth_positive: ArrayLike, predicted_positive: ArrayLike) -> float:
    """Eq. 36: the share of (N,) two-way decisions that are right."""
    n = counts(truth_positive, predicted_positive)
    return _ratio(n.tp + n.tn, sum(n))


def f1(truth_positive: ArrayLike, predicted_positive: ArrayLike) -> float:
    """Eq. 37-38: F1 of the positive class; 2 / (1/P + 1/R) = 2 TP / (2 TP + FP + FN)."""
    n = counts(truth_positive, predicted_positive)
    return _ratio(2 * n.tp, 2 * n.tp + n.fp + n.fn)


def confusion(truth: ArrayLike, predicted: ArrayLike, classes: int) -> Ints:
    """(c, c) counts, truth in rows, of two (N,) arrays of class numbers.

    Raises ValueError where a class is not one of 0 .. c - 1.
    """
    t, p = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    _same_shape(t, p)
    _in_range(t, classes)
    _in_range(p, classes)
    return np.bincount(t * classes + p, minlength=classes**2).reshape(classes, classes)


def accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """The share of (N,) class numbers that are equal."""
    t, p = np.asarray(truth), np.asarray(predicted)
    _same_shape(t, p)
    return _ratio(int(np.sum(t == p)), t.size)


def weighted_f1(truth: ArrayLike, predicted: ArrayLike, classes: int) -> float:
    """Mean F1 of the c classes, weighted by how often each is the truth (the tables' F1)."""
    table = confusion(truth, predicted, classes)
    return _ratio(float(table.sum(1) @ _f1_per_class(table)), float(table.sum()))


def macro_f1(truth: ArrayLike, predicted: ArrayLike, classes: int) -> float:
    """Plain mean F1 of all c classes; one that neither occurs nor is predicted counts as 0."""
    return float(_f1_per_class(confusion(truth, predicted, classes)).mean())


def two_way(logits: ArrayLike, negative: int = 0, positive: int = -1) -> Bools:
    """(N,) True where positive beats negative; (N, c) logits, the others ignored (fidelity 14).

    Exact ties are negative.
    """
    z = np.asarray(logits)
    return np.asarray(z[:, positive] > z[:, negative])


def decided_two_way(logits: ArrayLike, scheme: LabelScheme) -> Bools:
    """(N,) True where (N, c) logits decide for the positive side, by the scheme's rule.

    Exact ties are negative. Raises ValueError for a scheme without polarity.
    """
    if scheme.polarity is None:
        raise ValueError("two-way: a scheme with a polarity is needed")
    if scheme.decision == "ends":
        return two_way(logits)
    zero = _around_zero(scheme)[1]
    positive = truth_two_way(np.arange(scheme.num_classes), scheme.polarity, zero)
    z = np.asarray(logits)
    return np.asarray(logsumexp(z[:, positive], axis=1) > logsumexp(z[:, ~positive], axis=1))


def truth_two_way(labels: ArrayLike, polarity: Polarity, neutral: int = 1) -> Bools:
    """(N,) True where the class is positive: above neutral (CH-SIMS), or from it on (CMU)."""
    classes = np.asarray(labels)
    positive = classes > neutral if polarity is Polarity.NON_POSITIVE else classes >= neutral
    return np.asarray(positive)


def classification_metrics(
    logits: ArrayLike, labels: ArrayLike, scheme: LabelScheme
) -> dict[str, float]:
    """Metrics of (N, c) logits against (N,) classes, each from 0 to 1.

    Always ``accuracy`` (argmax, first class on ties), ``f1_weighted`` and ``macro_f1`` over all
    classes. With a polarity also two-way ``acc2`` (Eq. 36, zero included: "Has0"), ``f1``
    (weighted, as in the tables), ``f1_positive`` (Eq. 37) and, where zero is a class of its own,
    ``acc2_non0`` and ``f1_non0`` without the clips of that class (fidelity 16).

    Raises ValueError where a label is unknown (-1), a logit is NaN or shapes differ.
    """
    z, y = _checked(logits, labels, scheme)
    c = scheme.num_classes
    predicted = z.argmax(axis=1)
    found = {
        "accuracy": accuracy(y, predicted),
        "f1_weighted": weighted_f1(y, predicted, c),
        "macro_f1": macro_f1(y, predicted, c),
    }
    if scheme.polarity is None:
        return found
    below, zero, above = _around_zero(scheme)
    truth, positive = truth_two_way(y, scheme.polarity, zero), decided_two_way(z, scheme)
    found |= {**_two_way_metrics(truth, positive), "f1_positive": f1(truth, positive)}
    if below < zero < above:
        signed = y != zero
        found |= _two_way_metrics(y[signed] > zero, positive[signed], "_non0")
    return found


def regression_metrics(
    predicted: ArrayLike, truth: ArrayLike, scheme: LabelScheme
) -> dict[str, float]:
    """Metrics of scores, (N,) or (N, 1), binned in float32 as the field does.

    Always ``mae`` and ``corr`` (Pearson; 0 where either side is constant, not NaN). CMU family:
    ``acc7`` and ``acc5`` (clipped, rounded half to even), ``acc2`` and ``f1`` (negative or not)
    and ``acc2_non0`` and ``f1_non0`` (true zeros left out, positive or not). CH-SIMS family:
    everything on scores clipped to [-1, 1], ``acc2``, ``acc3``, ``acc5`` and ``f1`` of the two
    bins. F1 is the weighted one.

    Raises ValueError where a score is not finite or shapes differ.
    """
    p, y = _scores(predicted), _scores(truth)
    _same_shape(p, y)
    if scheme.polarity is Polarity.NON_POSITIVE:
        p, y = p.clip(-SIMS_BOUND, SIMS_BOUND), y.clip(-SIMS_BOUND, SIMS_BOUND)
    found = {
        "mae": _ratio(float(np.abs(p.astype(np.float64) - y).sum()), y.size),
        "corr": correlation(p, y),
    }
    if scheme.polarity is Polarity.NON_POSITIVE:
        found |= {k: accuracy(_bins(y, cuts), _bins(p, cuts)) for k, cuts in SIMS_CUTS.items()}
        found["f1"] = weighted_f1(y > 0, p > 0, 2)
    if scheme.polarity is Polarity.NON_NEGATIVE:
        for name, bound in CMU_BOUNDS.items():
            found[name] = accuracy(y.clip(-bound, bound).round(), p.clip(-bound, bound).round())
        found |= _two_way_metrics(y >= 0, p >= 0)
        found |= _two_way_metrics(y[y != 0] > 0, p[y != 0] > 0, "_non0")
    return found


def correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's r of two (N,) arrays; 0 where either is constant."""
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.size == 0 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()  # so that no square over- or underflows
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))


def metrics(
    outputs: ArrayLike, labels: ArrayLike, scores: ArrayLike, scheme: LabelScheme
) -> dict[str, float]:
    """The metrics of the scheme's head: logits against classes, or scores against scores.

    outputs: (N, c) logits or (N, 1) scores; labels: (N,) classes; scores: (N,) true scores.
    """
    if scheme.head == "regression":
        return regression_metrics(outputs, scores, scheme)
    return classification_metrics(outputs, labels, scheme)


def primary(scheme: LabelScheme) -> str:
    """The name of the main metric: ``mae``, ``acc2`` or ``accuracy``."""
    if scheme.head == "regression":
        return "mae"
    return "accuracy" if scheme.polarity is None else "acc2"


def higher_is_better(name: str) -> bool:
    """False for errors, True for all else."""
    return name != "mae"


def correct(outputs: ArrayLike, labels: ArrayLike, scheme: LabelScheme) -> Bools:
    """(N,) whether the main decision is right: the unit that intervals resample.

    Two-way by sign where the scheme has a polarity (its mean is ``acc2``), else the argmax (its
    mean is ``accuracy``). outputs: (N, c) logits or (N, 1) scores; labels: (N,) classes.

    Raises ValueError where a label is unknown (-1), an output is NaN, shapes differ, or a
    regression scheme has no polarity, since a real number is then neither right nor wrong.
    """
    z, y = _checked(outputs, labels, scheme)
    if scheme.polarity is None:
        if scheme.head == "regression":
            raise ValueError("correct: a regression scheme without polarity has no right or wrong")
        return np.asarray(z.argmax(axis=1) == y)
    truth = truth_two_way(y, scheme.polarity, _around_zero(scheme)[1])
    if scheme.head == "classification":
        return np.asarray(decided_two_way(z, scheme) == truth)
    score = z[:, 0]
    positive = score > 0 if scheme.polarity is Polarity.NON_POSITIVE else score >= 0
    return np.asarray(positive == truth)


def _two_way_metrics(truth: Bools, positive: Bools, suffix: str = "") -> dict[str, float]:
    return {
        f"acc2{suffix}": acc2(truth, positive),
        f"f1{suffix}": weighted_f1(truth, positive, 2),
    }


def _around_zero(scheme: LabelScheme) -> list[int]:
    """Classes of a score just below zero, of zero, and just above."""
    classes: list[int] = scheme.to_class(np.array([-1e-9, 0.0, 1e-9])).tolist()
    return classes


def _bins(scores: Floats, cuts: tuple[float, ...]) -> Ints:
    """How many cuts lie strictly below each score, both in float32."""
    return np.searchsorted(np.array(cuts, np.float32), scores, side="left")


def _f1_per_class(table: Ints) -> NDArray[np.float64]:
    """(c,) 2 TP / (2 TP + FP + FN) per class, 0 where the class is empty."""
    total = np.maximum(table.sum(0) + table.sum(1), 1)
    return np.asarray(2 * table.diagonal() / total, np.float64)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _scores(values: ArrayLike) -> Floats:
    with np.errstate(over="ignore"):
        scores = np.asarray(values).astype(np.float32)
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores[:, 0]
    if scores.ndim != 1:
        raise ValueError(f"scores of shape {scores.shape} found, expected (N,) or (N, 1)")
    if not np.isfinite(scores).all():
        raise ValueError("a score that is not finite was found")
    return scores


def _checked(
    outputs: ArrayLike, labels: ArrayLike, scheme: LabelScheme
) -> tuple[NDArray[np.floating], Ints]:
    z, y = np.asarray(outputs), np.asarray(labels, np.int64)
    if z.ndim == 1 and scheme.head == "regression":
        z = z[:, None]
    if z.shape != (y.size, scheme.outputs) or y.ndim != 1:
        raise ValueError(
            f"outputs {z.shape} and labels {y.shape} found, expected (N, {scheme.outputs}) and (N,)"
        )
    if np.isnan(z).any():
        raise ValueError("outputs: NaN found")
    _in_range(y, scheme.num_classes)
    return z, y


def _in_range(labels: Ints, classes: int) -> None:
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"classes from {labels.min()} to {labels.max()} found, expected 0 to {classes - 1}"
        )


def _same_shape(truth: NDArray[np.generic], predicted: NDArray[np.generic]) -> None:
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(f"shapes {truth.shape} and {predicted.shape} found, expected (N,) twice")
