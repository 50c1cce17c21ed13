"""Stage and `fit`, the only epoch loop.

A stage is what differs between methods: its batches, its loss, what happens after a step and at
the end of an epoch. It may hold several optimisers, schedules, extra loaders and tables.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from tricord.errors import TricordError
from tricord.training.checkpoint import generators, restore_generators
from tricord.types import Batch


class Stateful(Protocol):
    """What a checkpoint can hold: modules, optimisers, banks, EMA models."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any, /) -> object: ...


@dataclass(frozen=True)
class EpochReport:
    """metrics: numbers to log; improved: whether the selection criterion got better."""

    metrics: Mapping[str, float]
    improved: bool


class Stage(ABC):
    """One phase of training.

    clips: how many an epoch visits, for progress; 0 where nobody knows.
    name, epochs, patience: patience counts epochs in a row without improvement; None never stops.
    members: everything that a checkpoint must hold, by name.
    optimizers, schedulers: all are stepped together, once per ``accumulate`` batches, on the
        mean over the clips gathered, or, where ``summed``, on the sum of the batches' means.
    """

    name: str
    epochs: int
    clips: int = 0
    patience: int | None = None
    accumulate: int = 1
    summed: bool = False
    optimizers: Sequence[torch.optim.Optimizer] = ()
    schedulers: Sequence[LRScheduler] = ()
    _batches: int = 0
    _weight: int = 0

    @abstractmethod
    def members(self) -> Mapping[str, Stateful]:
        """What `state_dict` saves besides optimisers and schedules."""

    @abstractmethod
    def batches(self, epoch: int) -> Iterable[Batch]:
        """The training batches of this epoch."""

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Batch means by name; "loss" is differentiated, the others are logged."""
        raise NotImplementedError

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """One batch: loss, backward, and an update every ``accumulate`` batches."""
        losses = self.loss(batch)
        # by clips, so that a smaller last batch counts for no more than its share
        weight = len(batch) if self.accumulate > 1 and not self.summed else 1
        torch.autograd.backward(losses["loss"] * weight)
        self._batches += 1
        self._weight += weight
        if self._batches == self.accumulate:
            self.update()
        return losses

    def frames(self, batch: Batch) -> int:
        """How many the step on this batch was given."""
        return batch.size

    def update(self) -> None:
        """Step optimisers and schedules on the mean over the clips gathered so far."""
        if not self._batches:
            return
        for optimizer in self.optimizers:
            if self._weight > 1 and not self.summed:
                grads = [p.grad for g in optimizer.param_groups for p in g["params"]]
                torch._foreach_div_([g for g in grads if g is not None], self._weight)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for scheduler in self.schedulers:
            scheduler.step()
        self._batches = self._weight = 0
        self.after_update()

    # hooks that a stage may leave empty
    def start(self) -> EpochReport | None:
        """Before the first epoch: numbers of the model as it is, where that may be the best."""
        return None

    def begin_epoch(self, epoch: int) -> None:  # noqa: B027
        """Before the first batch."""

    def after_update(self) -> None:  # noqa: B027
        """After the optimisers' step."""

    def end_batches(self) -> None:
        """After the last batch: fewer than ``accumulate`` may be gathered."""
        self.update()

    @abstractmethod
    def end_epoch(self, epoch: int) -> EpochReport:
        """After the last batch: validation, selection."""

    def finish(self) -> None:  # noqa: B027
        """After the last epoch: restore what was selected."""

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to continue with the same bits."""
        return {
            "members": {name: m.state_dict() for name, m in self.members().items()},
            "optimizers": [o.state_dict() for o in self.optimizers],
            "schedulers": [s.state_dict() for s in self.schedulers],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` gave."""
        for name, member in self.members().items():
            member.load_state_dict(state["members"][name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)


@dataclass
class Progress:
    """Where a stage stands; history holds one dict of numbers per finished epoch."""

    epoch: int = 0
    stale: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


class Observer:
    """Is told how training goes; does nothing by itself."""

    def stage_started(self, stage: Stage, progress: Progress) -> None:
        """Before the first epoch of this call."""

    def step_done(self, stage: Stage, epoch: int, clips: int) -> None:
        """After each batch, with the number of clips in it."""

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        """After each epoch, with its numbers at the end of the history."""

    def stage_finished(self, stage: Stage, progress: Progress) -> None:
        """After the last epoch."""


class Checkpoint(Protocol):
    """Where `fit` offers the state after each epoch; which of them are kept is its own decision."""

    def save(self, state: Mapping[str, Any]) -> None: ...

    def load(self) -> Mapping[str, Any] | None: ...


def fit(
    stage: Stage, *, checkpoint: Checkpoint | None = None, observer: Observer | None = None
) -> list[dict[str, float]]:
    """Train a stage to its end; returns one dict of numbers per epoch.

    With a checkpoint, the state at each epoch's end is offered to it, and a state found at the
    start is continued from, on the processor with the same bits as if it had never stopped.
    Raises TricordError where the loss is no longer finite.
    """
    observer = observer or Observer()
    progress = _resume(stage, checkpoint)
    observer.stage_started(stage, progress)
    _start(stage, progress, observer)
    while progress.epoch < stage.epochs and (
        stage.patience is None or progress.stale < stage.patience
    ):
        started = time.monotonic()
        epoch = progress.epoch + 1
        stage.begin_epoch(epoch)
        trained = _train_epoch(stage, epoch, observer)
        report = stage.end_epoch(epoch)
        _check_finite(stage, epoch, report.metrics)
        progress.epoch = epoch
        progress.stale = 0 if report.improved else progress.stale + 1
        progress.history.append(_row(epoch, trained, report, started))
        if checkpoint is not None:
            checkpoint.save(_snapshot(stage, progress))
        observer.epoch_done(stage, progress)
    stage.finish()
    observer.stage_finished(stage, progress)
    return progress.history


def _start(stage: Stage, progress: Progress, observer: Observer) -> None:
    """Note epoch 0 where it counts."""
    started = time.monotonic()
    if progress.history or (report := stage.start()) is None:
        return
    _check_finite(stage, 0, report.metrics)
    progress.history.append(_row(0, {"frames": 0.0}, report, started))
    observer.epoch_done(stage, progress)


def _row(
    epoch: int, trained: Mapping[str, float], report: EpochReport, started: float
) -> dict[str, float]:
    return {
        "epoch": epoch,
        **trained,
        **report.metrics,
        "improved": float(report.improved),
        "seconds": round(time.monotonic() - started, 3),
    }


def _train_epoch(stage: Stage, epoch: int, observer: Observer) -> dict[str, float]:
    """Means, over the clips of which `step` told each, and how many frames it was given."""
    sums: dict[str, Tensor] = {}
    clips: dict[str, int] = {}
    frames = 0
    for batch in stage.batches(epoch):
        for name, value in stage.step(batch).items():
            sums[name] = sums.get(name, torch.zeros(())) + value.detach() * len(batch)
            clips[name] = clips.get(name, 0) + len(batch)
        frames += stage.frames(batch)
        observer.step_done(stage, epoch, len(batch))
    stage.end_batches()
    means = {f"train_{name}": float(total) / clips[name] for name, total in sums.items()}
    _check_finite(stage, epoch, means)
    return {**means, "frames": float(frames)}


def _check_finite(stage: Stage, epoch: int, numbers: Mapping[str, float]) -> None:
    if not all(map(math.isfinite, numbers.values())):
        raise TricordError(
            f"stage '{stage.name}', epoch {epoch}: the loss is not finite; "
            "a lower learning rate or a higher SupCon temperature may help"
        )


def _snapshot(stage: Stage, progress: Progress) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "epoch": progress.epoch,
        "stale": progress.stale,
        "history": progress.history,
        "state": stage.state_dict(),
        "generators": generators(),
    }


def _resume(stage: Stage, checkpoint: Checkpoint | None) -> Progress:
    saved = checkpoint.load() if checkpoint is not None else None
    if saved is None or saved["stage"] != stage.name:
        return Progress()
    stage.load_state_dict(saved["state"])
    restore_generators(saved["generators"])
    return Progress(saved["epoch"], saved["stale"], list(saved["history"]))
