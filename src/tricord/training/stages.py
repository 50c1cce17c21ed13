"""What stages share: validation, the best epoch; targets and SupCon for both of CMC's."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from tricord.config import RunConfig
from tricord.data.batching import Loader, TensorTable
from tricord.evaluation.metrics import correct
from tricord.labels import LabelScheme
from tricord.models.cmc import CMC
from tricord.nn.losses import modality_supcon
from tricord.plgm import PseudoLabelBank
from tricord.training.checkpoint import load_tree, save_tree
from tricord.training.loop import Stage
from tricord.training.optim import step_in_backward
from tricord.types import Batch, Polarity

State = dict[str, Tensor]
M = TypeVar("M", bound=nn.Module)


def clone_state(module: nn.Module) -> State:
    """A module's state that later training does not change."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def on_cpu(state: State) -> State:
    """The same numbers on the processor; not copied where they are there."""
    return {name: value.cpu() for name, value in state.items()}


def positive_from(scheme: LabelScheme) -> int:
    """The first class that counts as positive under the scheme's polarity."""
    zero = int(scheme.to_class(np.zeros(())))
    return zero if scheme.polarity is Polarity.NON_NEGATIVE else zero + 1


@dataclass
class Best:
    """The smallest value so far, its epoch and the states kept with it.

    file: where the states are kept, so that a large model is not held twice; None in memory.
    """

    value: float = math.inf
    epoch: int = 0
    states: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None

    def improves(self, value: float, epoch: int) -> bool:
        """Whether this is strictly smaller; then it is noted."""
        if not value < self.value:
            return False
        self.value, self.epoch = value, epoch
        return True

    def keep(self, states: Mapping[str, Any]) -> None:
        """Keep these nested tensors as they are now, whatever becomes of them later."""
        if self.file is None:
            self.states = copy.deepcopy(dict(states))
        else:
            save_tree(self.file, states)
            self.states = load_tree(self.file)  # takes no memory until it is read

    @property
    def on_disk(self) -> bool:
        """Whether the file holds the states."""
        return self.file is not None and bool(self.states)

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints; JSON has no infinity."""
        value = None if math.isinf(self.value) else self.value
        return {"value": value, "epoch": self.epoch, "states": self.states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` gave."""
        self.value = math.inf if state["value"] is None else state["value"]
        self.epoch = state["epoch"]
        if state["states"]:
            self.keep(state["states"])


class Targets:
    """What each modality is trained towards: classes y_kp, or scores for a regression head."""

    def __init__(self, table: TensorTable, config: RunConfig, soft: Tensor | None = None) -> None:
        own = config.pretrain.labels == "ground_truth"
        modalities = table.present.shape[1]

        def start(columns: Tensor) -> Tensor:
            return columns[:, 1:] if own else columns[:, :1].expand(-1, modalities)

        self.bank = PseudoLabelBank(start(table.labels), config.labels.num_classes)
        self.scores = start(table.scores) if config.labels.head == "regression" else None
        self.start = self.bank.hard(torch.arange(len(table)))
        if soft is not None:
            self.bank.soft = soft.to(self.bank.soft, copy=True)

    def of(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(B, K) goals, (B, K) classes, (B, K) bool: present and known."""
        classes = self.bank.hard(batch.index)
        valid = batch.present & (classes >= 0)
        if self.scores is None:
            return classes, classes, valid
        return self.scores[batch.index].nan_to_num(), classes, valid

    def moved(self) -> Tensor:
        """(K,) how many labels are no longer what they started as."""
        return (self.bank.hard(torch.arange(len(self.start))) != self.start).sum(dim=0)


def multimodal_goal(batch: Batch, scheme: LabelScheme) -> tuple[Tensor, Tensor]:
    """y_m as (B, 1) goals, classes or scores, and (B, 1) bool known."""
    known = (batch.label >= 0).unsqueeze(1)
    if scheme.head == "regression":
        return batch.scores[:, :1].nan_to_num(), known
    return batch.label.unsqueeze(1), known


def task_goals(batch: Batch) -> tuple[Tensor, Tensor]:
    """(B, 1 + K) scores, multimodal first, and (B, 1 + K) bool: known, and the modality present.

    The multimodal score stands in for a modality's own where that is unknown.
    """
    goals = torch.where(batch.scores.isnan(), batch.scores[:, :1], batch.scores)
    known = ~goals.isnan()
    known[:, 1:] &= batch.present
    return goals.nan_to_num(), known


def share_right(outputs: Tensor, labels: Tensor, scheme: LabelScheme) -> dict[str, Tensor]:
    """The share of (B, c) outputs that decide rightly; nothing for scores without a sign."""
    known = labels >= 0
    if scheme.head == "regression" and scheme.polarity is None:
        return {}
    if not bool(known.any()) or not bool(outputs.isfinite().all()):
        return {"accuracy": outputs.new_tensor(0.0)}
    right = correct(outputs[known].cpu().numpy(), labels[known].cpu().numpy(), scheme)
    return {"accuracy": outputs.new_tensor(right.mean())}


class ModelStage(Stage, Generic[M]):
    """What the stages of all models share: the model, the loaders, means over valid.

    best: the state that `finish` restores, if one was kept.
    """

    def __init__(self, model: M, train: Loader, valid: Loader) -> None:
        self.model = model
        self.train = train
        self.valid = valid
        self.clips = train.clips
        self.best = Best()

    def _own(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Those of the language model, all but the first, step within backward where they can."""
        self.optimizers = optimizers
        alone = self.accumulate == 1
        self._handles = step_in_backward(optimizers[1:]) if alone else []

    def _disown(self) -> None:
        """Training is over: what optimisers hold is as much as two models."""
        for handle in self._handles:
            handle.remove()
        self.optimizers = []

    def finish(self) -> None:
        """Restore the best epoch."""
        self._disown()
        if states := self.best.states:
            self.model.load_state_dict(states)
        self.model.eval()

    def batches(self, epoch: int) -> Iterable[Batch]:
        """All of train, shuffled by (seed, epoch)."""
        return self.train.epoch(epoch)

    def begin_epoch(self, epoch: int) -> None:
        """Training mode."""
        self.model.train()

    def _valid_means(self, epoch: int) -> dict[str, Tensor]:
        """Means over the clips of valid of what `_evaluate` gives, in evaluation mode."""
        sums: dict[str, Tensor] = {}
        with torch.no_grad(), evaluation_mode(self.model):
            for batch in self.valid.epoch():
                for name, value in self._evaluate(batch, epoch).items():
                    sums[name] = sums.get(name, torch.zeros(())) + value * len(batch)
        return {name: total / self.valid.clips for name, total in sums.items()}

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        raise NotImplementedError


class CmcStage(ModelStage[CMC]):
    """What both stages of CMC share: the configuration, SupCon."""

    def __init__(self, model: CMC, train: Loader, valid: Loader, config: RunConfig) -> None:
        super().__init__(model, train, valid)
        self.config = config

    def _supcon(self, h: Tensor, classes: Tensor, valid: Tensor) -> Tensor:
        """Eq. 8 with the labels of the configuration."""
        options = self.config.supcon
        labels = classes
        if options.labels == "polarity":
            labels = (classes >= positive_from(self.config.labels)).long()
        return modality_supcon(
            h, labels, valid, options.temperature, options.form, options.arithmetic
        )


@contextmanager
def evaluation_mode(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode within, what it was before afterwards."""
    before = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, before, strict=True):
            module.train(mode)
