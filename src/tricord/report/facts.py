"""The report's numbers beyond the table: weights, disagreement. No markup here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tricord.evaluation.statistics import Interval, cluster_bootstrap
from tricord.inference.predictor import Predictions
from tricord.types import Subset

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Weights:
    """The MCR weights of one modality, where it is present.

    groups: its weights by subset. difference: mean on D_msi minus mean on D_msc; None where one
    of the two is empty.
    """

    modality: str
    groups: Mapping[Subset, Array]
    difference: Interval | None


def router_weights(
    predictions: Predictions, subsets: Mapping[Subset, Bools], videos: NDArray[np.str_]
) -> list[Weights]:
    """Of each modality, by subset."""
    found = []
    for k, name in enumerate(predictions.modalities):
        here = predictions.present[:, k]
        weights = predictions.weights[:, k]
        groups = {s: weights[mask & here] for s, mask in subsets.items()}
        difference = None
        if Subset.MSI in groups and len(groups[Subset.MSI]) and len(groups[Subset.MSC]):
            difference = _mean_difference(weights[here], subsets[Subset.MSI][here], videos[here])
        found.append(Weights(name, groups, difference))
    return found


def _mean_difference(values: Array, first: Bools, videos: NDArray[np.str_]) -> Interval:
    """Mean of the first group minus mean of the rest, whole videos resampled.

    Both groups share videos, so they are resampled together, by the influence of each clip on
    the difference: exact in the estimate, first order in the interval.
    """
    share = first.mean()
    means = np.where(first, values[first].mean(), values[~first].mean())
    pull = np.where(first, 1 / share, -1 / (1 - share)) * (values - means)
    estimate = values[first].mean() - values[~first].mean()
    return cluster_bootstrap(estimate + pull, videos)


def disagreement(predictions: Predictions) -> Array:
    """(N,) how far the votes of the modalities present lie apart; 0 with fewer than two.

    Classes: the conflict score of the predictions. Regression: the largest vote minus the smallest.
    """
    if predictions.scheme.head != "regression":
        return predictions.conflict_score
    scores, present = predictions.votes[..., 0], predictions.present
    high = np.where(present, scores, -np.inf).max(axis=1)
    low = np.where(present, scores, np.inf).min(axis=1)
    return np.asarray(np.maximum(high - low, 0.0))


def furthest_apart(distances: Array, ids: Sequence[str], count: int) -> Ints:
    """Rows of the largest distances, ties by id."""
    order = np.lexsort((np.array(ids), -np.round(distances, 9)))
    return np.asarray(order[:count], dtype=np.int64)
