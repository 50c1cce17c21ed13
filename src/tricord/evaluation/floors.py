"""What needs no features: the commonest class, and a lookup on the true unimodal signs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import Dataset
from tricord.evaluation.metrics import truth_two_way
from tricord.labels import LabelScheme

Array = NDArray[np.float64]


def outputs_of_counts(counts: Array, scheme: LabelScheme) -> Array:
    """(..., c) class counts -> outputs that decide for the commonest side, and class."""
    commonest = counts.argmax(axis=-1)
    unit = np.eye(scheme.num_classes)
    if scheme.polarity is None:
        return np.asarray(unit[commonest])
    zero = int(scheme.to_class(np.zeros(())))
    positive = truth_two_way(np.arange(scheme.num_classes), scheme.polarity, zero)
    side = (counts * positive).sum(axis=-1) > (counts * ~positive).sum(axis=-1)
    agrees = positive[commonest] == side  # else the class must not overrule the side
    ends = unit[np.where(side, scheme.num_classes - 1, 0)]
    return np.asarray(ends + 2 * unit[commonest] * agrees[..., None])


def majority(data: Dataset, scheme: LabelScheme, rows: int) -> Array:
    """(N, c) or (N, 1): the commonest side and class of train, or its median score."""
    scores = data["train"].scores[:, 0]
    if scheme.head == "regression":
        return np.full((rows, 1), np.nanmedian(scores))
    classes = scheme.to_class(scores)
    counts = np.bincount(classes[classes >= 0], minlength=scheme.num_classes).astype(float)
    return np.tile(outputs_of_counts(counts, scheme), (rows, 1))


def sign_oracle(data: Dataset, split: str, scheme: LabelScheme) -> Array | None:
    """(N, c): for each combination of true unimodal classes, what is commonest in train."""
    if scheme.polarity is None or scheme.head == "regression" or "train" not in data:
        return None
    train, there = (scheme.to_class(data[s].scores) for s in ("train", split))
    if train.shape[1] < 2 or (train < 0).any() or (there[:, 1:] < 0).any():
        return None
    c = scheme.num_classes
    counts = np.zeros((*([c] * (train.shape[1] - 1)), c))
    np.add.at(counts, (*train[:, 1:].T, train[:, 0]), 1)
    overall = counts.sum(axis=tuple(range(counts.ndim - 1)))
    counts = np.where(counts.sum(-1, keepdims=True) > 0, counts, overall)
    return outputs_of_counts(counts[tuple(there[:, 1:].T)], scheme)
