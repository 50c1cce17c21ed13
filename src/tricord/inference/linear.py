"""Logistic regression on time means: the simplest model that is given every modality.

What a linear model finds in the mean frame of each modality is the least that a network should
find. Deterministic, nothing is kept on the disk, and seconds on a thousand clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from tricord.data.pooling import one_frame
from tricord.data.schema import Dataset, FeatureTable
from tricord.errors import DataError
from tricord.features.text import TEXT, TextSource
from tricord.labels import LabelScheme
from tricord.nn.clips import mean_frames
from tricord.training.loaders import model_inputs

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
NAME = "logistic regression on time means"
STRENGTHS = (100.0, 10.0, 1.0, 0.1, 0.01, 0.001)  # strong to weak: each starts from the last


@dataclass(frozen=True)
class Logistic:
    """A fitted multinomial model of standardised columns.

    weights: (D, c). bias: (c,). mean, scale: (D,) of train. strength: lambda of the penalty
    lambda / 2 |weights|^2 beside the mean log loss. modalities: whose means the columns are.
    """

    weights: Array
    bias: Array
    mean: Array
    scale: Array
    strength: float
    modalities: tuple[str, ...] = ()

    def logits(self, features: ArrayLike) -> Array:
        """(N, D) -> (N, c)."""
        columns = (np.asarray(features, np.float64) - self.mean) / self.scale
        return np.asarray(columns @ self.weights + self.bias)


@dataclass(frozen=True)
class Floor:
    """What the fitted model says of a split: (N, c) logits, and the model."""

    outputs: Array
    model: Logistic


def linear_floor(
    fitted_on: Dataset, data: Dataset, split: str, scheme: LabelScheme, source: TextSource
) -> Floor:
    """Fit on train of ``fitted_on``, choose the strength on its valid, apply to a split of data.

    source: the text's frozen features (of a finetuned language model, what it was before); no
    other model of the run is looked at. Clips without a label are left out of the fit. Raises
    DataError where train or valid is not there, has no labelled clip, or knows a single class.
    """
    for name in ("train", "valid"):
        if name not in fitted_on:
            raise DataError(f"{fitted_on.source}: split '{name}' not found")
    names = _usable(fitted_on, data, split, source)
    (x, y), (x_valid, y_valid) = (
        _labelled(fitted_on, name, names, scheme, source) for name in ("train", "valid")
    )
    model = fit(x, y, x_valid, y_valid, scheme.num_classes)
    outputs = model.logits(time_means(data[split], names, data.source, source))
    return Floor(outputs, replace(model, modalities=names))


def time_means(
    table: FeatureTable, names: Sequence[str], where: str, source: TextSource
) -> NDArray[np.float32]:
    """(N, D): the mean over the real frames of each modality side by side, 0 where it is absent."""
    sequences = model_inputs(table, names, where, source, tokens=False)
    parts = []
    for sequence in sequences.values():
        means = one_frame(sequence, mean_frames)
        columns = np.zeros((len(table), sequence.width), np.float32)
        columns[means.lengths > 0] = means.values
        parts.append(columns)
    return np.hstack(parts)


def fit(
    features: ArrayLike, classes: Ints, valid: ArrayLike, valid_classes: Ints, c: int
) -> Logistic:
    """Of the grid `STRENGTHS` the one with the smallest log loss on valid.

    features: (N, D). classes: (N,) from 0 to c - 1. Columns are standardised on train; the bias
    is free. Raises DataError where there is no clip, or one class alone.
    """
    raw = np.asarray(features, np.float64)
    if len(np.unique(classes)) < 2 or not len(valid_classes):
        raise DataError("two classes in train and a labelled clip in valid are needed")
    mean, scale = raw.mean(axis=0), raw.std(axis=0)
    scale[scale <= 1e-6 * (1 + np.abs(mean))] = 1.0  # constant but for rounding
    x = (raw - mean) / scale
    point, best, least = _start(classes, x.shape[1], c), None, np.inf
    for strength in STRENGTHS:
        point = _minimum(x, classes, strength, point)
        model = Logistic(point[:-1], point[-1], mean, scale, strength)
        loss = log_loss(model.logits(valid), valid_classes)
        if loss < least:
            best, least = model, loss
    assert best is not None  # losses are finite
    return best


def log_loss(logits: Array, classes: Ints) -> float:
    """The mean of -log p of the true class: (N, c) and (N,)."""
    return float(-log_softmax(logits, axis=1)[np.arange(len(classes)), classes].mean())


def _start(classes: Ints, columns: int, c: int) -> Array:
    """(D + 1, c): no weights, and as bias the classes' frequencies, none of them zero."""
    start = np.zeros((columns + 1, c))
    start[-1] = np.log((np.bincount(classes, minlength=c) + 1) / (len(classes) + c))
    return start


def _minimum(x: Array, classes: Ints, strength: float, start: Array) -> Array:
    """(D + 1, c) weights, and the bias below them, by L-BFGS."""
    truth = np.eye(start.shape[1])[classes]
    rows = np.arange(len(x))

    def objective(flat: Array) -> tuple[float, Array]:
        point = flat.reshape(start.shape)
        weights = point[:-1]
        logits = x @ weights + point[-1]
        error = (softmax(logits, axis=1) - truth) / len(x)
        gradient = np.vstack([x.T @ error + strength * weights, error.sum(axis=0)])
        loss = -log_softmax(logits, axis=1)[rows, classes].mean()
        return loss + strength / 2 * (weights**2).sum(), gradient.ravel()

    found = minimize(
        objective, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 1000}
    )
    return np.asarray(found.x.reshape(start.shape))


def _usable(fitted_on: Dataset, data: Dataset, split: str, source: TextSource) -> tuple[str, ...]:
    """The modalities with the same features in both; DataError where there is none."""
    known = fitted_on["train"].widths
    there = data[split].widths
    encoded = {TEXT} if source.encoder is not None else set()
    names = tuple(
        name
        for name, width in known.items()
        if name in there and (name in encoded or (width > 0 and width == there[name]))
    )
    if not names:
        raise DataError(f"{data.source}: no modality with ready features")
    return names


def _labelled(
    data: Dataset, split: str, names: Sequence[str], scheme: LabelScheme, source: TextSource
) -> tuple[NDArray[np.float32], Ints]:
    """Features and classes of the clips whose class is known."""
    table = data[split]
    classes = scheme.to_class(table.scores[:, 0])
    known = classes >= 0
    return time_means(table, names, data.source, source)[known], classes[known]
