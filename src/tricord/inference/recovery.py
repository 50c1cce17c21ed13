"""Whether the pseudo labels of stage 1 went where the true unimodal labels are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tricord.config import Momentum, RunConfig
from tricord.data.schema import Dataset, FeatureTable
from tricord.data.simulation import kinds
from tricord.data.simulation.model import GenerativeModel
from tricord.data.simulation.sequences import clip_statistics, holds_statistics
from tricord.data.splits import is_consistent
from tricord.evaluation.metrics import confusion
from tricord.evaluation.statistics import Interval, paired_cluster_bootstrap, spread
from tricord.labels import LabelScheme
from tricord.nn.ema import momentum_at
from tricord.training.cmc import TrainedCMC
from tricord.types import Subset

Ints = NDArray[np.int64]
HALF = 0.5  # a label moves when another class holds more mass than its start
ALL = "all"
_HORIZON = 100_000  # epochs looked ahead


@dataclass(frozen=True)
class Agreement:
    """How well labels match the true unimodal ones on some clips of train.

    clips: those whose true label is known. moved: of these, kept labels that are not the
    multimodal one; moved_right: those that are the true one. before: share (0 to 1) of the
    multimodal labels that are true; after: of the kept pseudo labels; change: after - before,
    whole videos resampled. oracle: share for the likeliest class given the modality's sequence and
    the multimodal label; None where it is not known (see `oracle_labels`).
    """

    clips: int
    moved: int
    moved_right: int
    before: float
    after: float
    change: Interval
    oracle: float | None = None

    @property
    def reached(self) -> float | None:
        """The change as a share of what the oracle gains; None where that is not above 0."""
        if self.oracle is None or self.oracle <= self.before:
            return None
        return (self.after - self.before) / (self.oracle - self.before)


@dataclass(frozen=True)
class Movement:
    """Where the pseudo labels of one modality went on train.

    moves: (c, c) clips by multimodal class (rows) and kept class (columns).
    must_stay: mass that a label keeps at its start class whatever the model says; above one
        half no label can move; 0 where labels do not move by Eq. 28. least: smallest mass found
        at the start class of the kept labels.
    epochs_needed: epochs after which a label could move; None where the momentum never lets it.
    agreement: by part of train ("all", "D_msi"), where true unimodal labels are known.
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


def movements(trained: TrainedCMC, data: Dataset) -> list[Movement]:
    """Of each modality, from the soft labels that stage 1 kept for the clips of train.

    data: what the model was trained on, its labels checked.
    """
    train, scheme, schedule = data["train"], trained.config.labels, trained.config.pretrain.schedule
    soft = trained.pretrained.labels.double().numpy()
    start = scheme.to_class(train.scores[:, 0])
    known = start >= 0
    epochs, bounded = len(trained.history["pretrain"]), moves_slowly(trained.config)
    oracle = oracle_labels(data, "train", scheme)
    found = []
    for k, name in enumerate(trained.model.modalities):
        momentum = trained.config.modalities[name].label_momentum
        kept = soft[:, k].argmax(axis=-1)
        at_start = soft[known, k, start[known]]
        found.append(
            Movement(
                modality=name,
                moves=confusion(start[known], kept[known], scheme.num_classes),
                must_stay=mass_that_stays(momentum, epochs, schedule) if bounded else 0.0,
                least=float(at_start.min(initial=1.0)),
                epochs_needed=epochs_to_move(momentum, schedule) if bounded else 1,
                agreement=agreements(train, scheme, name, kept, oracle.get(name)),
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


def moves_slowly(config: RunConfig) -> bool:
    """Whether a label moves by Eq. 28 alone, so that the momenta bound how far it comes."""
    return config.pretrain.labels == "pseudo" and config.pretrain.refine == "gradient"


def frozen_labels(trained: TrainedCMC) -> list[str]:
    """A sentence for every modality whose labels could not move in the epochs that ran."""
    if not moves_slowly(trained.config):
        return []
    epochs, schedule = len(trained.history["pretrain"]), trained.config.pretrain.schedule
    said = []
    for name in trained.model.modalities:
        momentum = trained.config.modalities[name].label_momentum
        if mass_that_stays(momentum, epochs, schedule) < HALF:
            continue
        needed = epochs_to_move(momentum, schedule)
        when = "no number of epochs is enough" if needed is None else f"{needed:,} are needed"
        ran = f"{epochs} epoch{'' if epochs == 1 else 's'}"
        said.append(f"{name}: no pseudo label could move in {ran}; {when}")
    return said


def oracle_labels(data: Dataset, split: str, scheme: LabelScheme) -> dict[str, Ints]:
    """By modality (N,): the likeliest own class given its sequence and the multimodal label.

    Empty where that is not known: for real data, for sequences other than simulated ones, and
    where the classes are not the simulation's signs.
    """
    table, record = data[split], data.simulation or {}
    kind = kinds.KINDS.get(record.get("kind", kinds.DEFAULT))
    if "model" not in record or kind is None or not holds_statistics(table):
        return {}
    signs = 1 + np.sign(table.scores)
    if not np.array_equal(scheme.to_class(table.scores), signs):  # NaN differs, too
        return {}
    model = GenerativeModel.from_record(record["model"])
    likelihoods = model.likelihoods(clip_statistics(table, kind.style), shifted=split == "test")
    multimodal = signs[:, 0].astype(np.int64)
    return {
        name: model.unimodal_posterior(likelihoods, name, multimodal).argmax(axis=1)
        for name in likelihoods
    }


def agreements(
    table: FeatureTable,
    scheme: LabelScheme,
    modality: str,
    kept: NDArray[np.integer],
    oracle: Ints | None = None,
) -> dict[str, Agreement]:
    """On all clips whose true label is known, and on those whose labels conflict.

    kept: (N,) classes in place of the multimodal label; oracle: (N,), of `oracle_labels`.
    """
    start = scheme.to_class(table.scores[:, 0])
    truth = scheme.to_class(table.scores[:, 1 + list(table.sequences).index(modality)])
    known = (truth >= 0) & (start >= 0)
    parts = {ALL: known}
    if scheme.polarity is not None:
        complete = np.isfinite(table.scores).all(axis=1)
        conflict = np.zeros_like(complete)
        conflict[complete] = ~is_consistent(table.scores[complete])
        parts[str(Subset.MSI)] = known & conflict
    columns = (start, kept, kept if oracle is None else oracle)
    right = np.stack(columns, axis=1) == truth[:, None]
    moved, videos = kept != start, table.videos
    return {
        part: _agreement(right[rows], moved[rows], videos[rows], known_oracle=oracle is not None)
        for part, rows in parts.items()
        if rows.any()
    }


def _agreement(
    right: NDArray[np.bool_],
    moved: NDArray[np.bool_],
    videos: NDArray[np.str_],
    *,
    known_oracle: bool,
) -> Agreement:
    """right: (N, 3) whether the label before, the one after and the oracle's are true."""
    before, after, oracle = right.astype(np.float64).T
    return Agreement(
        clips=len(right),
        moved=int(moved.sum()),
        moved_right=int((moved & right[:, 1]).sum()),
        before=float(before.mean()),
        after=float(after.mean()),
        change=paired_cluster_bootstrap(after, before, videos).difference,
        oracle=float(oracle.mean()) if known_oracle else None,
    )


def recovery(seeds: Sequence[TrainedCMC], data: Dataset) -> dict[str, Any]:
    """What `tricord labels` keeps: by modality and part of train, over seeds.

    Plain values; ``mean`` and ``spread`` are over the seeds (None for a single one), ``seeds``
    lists each. A number is None where it is unknown.
    """
    found = [movements(trained, data) for trained in seeds]
    return {
        "modalities": {
            same[0].modality: {
                "clips": same[0].clips,
                "moved": over_seeds([m.moved for m in same]),
                "must_stay": [m.must_stay for m in same],
                "epochs_needed": same[0].epochs_needed,
                "parts": {part: _parts(same, part) for part in same[0].agreement},
            }
            for same in zip(*found, strict=True)
        },
        "warnings": list(dict.fromkeys(line for t in seeds for line in frozen_labels(t))),
    }


def _parts(same: Sequence[Movement], part: str) -> dict[str, Any]:
    rows = [m.agreement[part] for m in same]
    first = rows[0]
    return {
        "clips": first.clips,
        "moved": over_seeds([r.moved for r in rows]),
        "moved_right": over_seeds([r.moved_right for r in rows]),
        "before": first.before,
        "after": over_seeds([r.after for r in rows]),
        "change": [asdict(r.change) for r in rows],
        "oracle": first.oracle,
        "reached": over_seeds([r.reached for r in rows]),
    }


def over_seeds(values: Sequence[float | None]) -> dict[str, Any]:
    """``mean``, ``spread`` and the values themselves; None where one of them is unknown."""
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return {"mean": None, "spread": None, "seeds": list(values)}
    return {"mean": float(np.mean(known)), "spread": spread(known), "seeds": known}
