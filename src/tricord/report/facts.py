"""The report's numbers beyond the table: label movement, weights, disagreement. No markup here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from tricord.config import Momentum
from tricord.data.schema import FeatureTable
from tricord.data.splits import is_consistent
from tricord.evaluation.metrics import confusion
from tricord.evaluation.statistics import Interval, cluster_bootstrap, paired_cluster_bootstrap
from tricord.inference.predictor import Predictions, softmax
from tricord.labels import LabelScheme
from tricord.nn.ema import momentum_at
from tricord.training.cmc import TrainedCMC
from tricord.types import Subset

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
HALF = 0.5  # a label moves when another class holds more mass than its start
_HORIZON = 100_000  # epochs looked ahead


@dataclass(frozen=True)
class Agreement:
    """How well labels match the true unimodal ones on some clips of train.

    before: share (0 to 1) for the multimodal label; after: for the kept pseudo label; change:
    after - before, whole videos resampled.
    """

    clips: int
    before: float
    after: float
    change: Interval


@dataclass(frozen=True)
class Movement:
    """Where the pseudo labels of one modality went on train.

    moves: (c, c) clips by multimodal class (rows) and kept class (columns).
    must_stay: mass that a label keeps at its start class whatever the model says; above one
        half no label can move. least: smallest such mass found in the kept labels.
    epochs_needed: epochs after which a label could move; None where the momentum never lets it.
    agreement: by part of train, where true unimodal labels are known.
    """

    modality: str
    moves: Ints
    must_stay: float
    least: float
    epochs_needed: int | None
    agreement: Mapping[str, Agreement]

    @property
    def clips(self) -> int:
        """Clips with a label."""
        return int(self.moves.sum())

    @property
    def moved(self) -> int:
        """Labels that are not what they started as."""
        return self.clips - int(self.moves.trace())


def movements(trained: TrainedCMC, train: FeatureTable) -> list[Movement]:
    """Of each modality, from the soft labels that stage 1 kept for the clips of train."""
    scheme, settings = trained.config.labels, trained.config.pretrain
    soft = trained.pretrained.labels.double().numpy()
    start = scheme.to_class(train.scores[:, 0])
    known = start >= 0
    epochs = len(trained.history["pretrain"])
    found = []
    for k, name in enumerate(trained.model.modalities):
        momentum = trained.config.modalities[name].label_momentum
        kept = soft[:, k].argmax(axis=-1)
        at_start = soft[known, k, start[known]]
        column = 1 + list(train.sequences).index(name)
        found.append(
            Movement(
                modality=name,
                moves=confusion(start[known], kept[known], scheme.num_classes),
                must_stay=mass_that_stays(momentum, epochs, settings.schedule),
                least=float(at_start.min(initial=1.0)),
                epochs_needed=epochs_to_move(momentum, settings.schedule),
                agreement=_agreement(train, scheme, column, start, kept),
            )
        )
    return found


def mass_that_stays(
    momentum: Momentum, epochs: int, schedule: Literal["closed", "recursive"]
) -> float:
    """Least mass at the start class after this many epochs, one update each (Eq. 28, 30).

    An update leaves the share m of the old label where it is, so the product of the momenta
    stays whatever the model says.
    """
    return math.prod(
        momentum_at(momentum.initial, momentum.decay, epoch, schedule)
        for epoch in range(1, epochs + 1)
    )


def epochs_to_move(momentum: Momentum, schedule: Literal["closed", "recursive"]) -> int | None:
    """The first epoch after which less than half of a label's mass must stay; None if none is."""
    mass = 1.0
    for epoch in range(1, _HORIZON + 1):
        factor = momentum_at(momentum.initial, momentum.decay, epoch, schedule)
        if factor == 1.0:  # from here on nothing moves
            return None
        mass *= factor
        if mass < HALF:
            return epoch
    return None


def _agreement(
    train: FeatureTable, scheme: LabelScheme, column: int, start: Ints, kept: Ints
) -> dict[str, Agreement]:
    """On all clips whose true label is known, and on those whose labels conflict."""
    truth = scheme.to_class(train.scores[:, column])
    known = (truth >= 0) & (start >= 0)
    parts = {"all": known}
    if scheme.polarity is not None:
        complete = np.isfinite(train.scores).all(axis=1)
        conflict = np.zeros_like(complete)
        conflict[complete] = ~is_consistent(train.scores[complete])
        parts["inconsistent"] = known & conflict
    return {
        part: _compare_labels(truth[mask], start[mask], kept[mask], train.videos[mask])
        for part, mask in parts.items()
        if mask.any()
    }


def _compare_labels(truth: Ints, start: Ints, kept: Ints, videos: NDArray[np.str_]) -> Agreement:
    before, after = (start == truth).astype(float), (kept == truth).astype(float)
    change = paired_cluster_bootstrap(after, before, videos).difference
    return Agreement(len(truth), float(before.mean()), float(after.mean()), change)


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

    Classes: the Jensen-Shannon divergence of the votes' probabilities, in bits, at most log2 K.
    Regression: the largest vote minus the smallest.
    """
    votes, present = predictions.votes, predictions.present
    if predictions.scheme.head == "regression":
        scores = votes[..., 0]
        high = np.where(present, scores, -np.inf).max(axis=1)
        low = np.where(present, scores, np.inf).min(axis=1)
        return np.asarray(np.maximum(high - low, 0.0))
    share = (present / np.maximum(present.sum(axis=1, keepdims=True), 1))[..., None]
    probabilities = softmax(votes)
    mixed = entr((share * probabilities).sum(axis=1)).sum(axis=-1)
    own = (share[..., 0] * entr(probabilities).sum(axis=-1)).sum(axis=1)
    return np.asarray(np.maximum(mixed - own, 0.0) / np.log(2))


def furthest_apart(distances: Array, ids: Sequence[str], count: int) -> Ints:
    """Rows of the largest distances, ties by id."""
    order = np.lexsort((np.array(ids), -np.round(distances, 9)))
    return np.asarray(order[:count], dtype=np.int64)
