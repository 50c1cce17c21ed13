"""The two stages of CMC (section III-B): unimodal pretraining, multimodal finetuning."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tricord.config import RunConfig
from tricord.data.batching import Loader, TensorTable
from tricord.evaluation.metrics import correct
from tricord.labels import LabelScheme
from tricord.models.cmc import CMC
from tricord.nn.ema import ModelEMA, momentum_at
from tricord.nn.losses import modality_supcon, task_loss
from tricord.plgm import PseudoLabelBank
from tricord.training.loop import EpochReport, Stage, Stateful
from tricord.training.optim import finetune_optimizer, pretrain_optimizer
from tricord.types import Batch, Polarity, Prediction

State = dict[str, Tensor]


def clone_state(module: nn.Module) -> State:
    """A module's state that later training does not change."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def positive_from(scheme: LabelScheme) -> int:
    """The first class that counts as positive under the scheme's polarity."""
    zero = int(scheme.to_class(np.zeros(())))
    return zero if scheme.polarity is Polarity.NON_NEGATIVE else zero + 1


@dataclass
class Best:
    """The smallest value so far, its epoch and the states kept with it."""

    value: float = math.inf
    epoch: int = 0
    states: dict[str, State] = field(default_factory=dict)

    def improves(self, value: float, epoch: int) -> bool:
        """Whether this is strictly smaller; then it is noted."""
        if not value < self.value:
            return False
        self.value, self.epoch = value, epoch
        return True

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints; JSON has no infinity."""
        value = None if math.isinf(self.value) else self.value
        return {"value": value, "epoch": self.epoch, "states": self.states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` gave."""
        self.value = math.inf if state["value"] is None else state["value"]
        self.epoch, self.states = state["epoch"], dict(state["states"])


class Targets:
    """What each modality is trained towards: classes y_kp, or scores for a regression head."""

    def __init__(self, table: TensorTable, config: RunConfig, soft: Tensor | None = None) -> None:
        own = config.pretrain.labels == "ground_truth"
        modalities = table.present.shape[1]

        def start(columns: Tensor) -> Tensor:
            return columns[:, 1:] if own else columns[:, :1].expand(-1, modalities)

        self.bank = PseudoLabelBank(start(table.labels), config.labels.num_classes)
        if soft is not None:
            self.bank.soft = soft.clone()
        self.scores = start(table.scores) if config.labels.head == "regression" else None
        self.start = self.bank.hard(torch.arange(len(table)))

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


class _CmcStage(Stage):
    """What both stages share: the model, the loaders, SupCon."""

    def __init__(self, model: CMC, train: Loader, valid: Loader, config: RunConfig) -> None:
        self.model = model
        self.train = train
        self.valid = valid
        self.config = config

    def batches(self, epoch: int) -> Iterable[Batch]:
        """All of train, shuffled by (seed, epoch)."""
        return self.train.epoch(epoch)

    def begin_epoch(self, epoch: int) -> None:
        """Training mode."""
        self.model.train()

    def _supcon(self, h: Tensor, classes: Tensor, valid: Tensor) -> Tensor:
        """Eq. 8 with the labels of the configuration."""
        options = self.config.supcon
        labels = classes
        if options.labels == "polarity":
            labels = (classes >= positive_from(self.config.labels)).long()
        return modality_supcon(
            h, labels, valid, options.temperature, options.form, options.arithmetic
        )

    def _multimodal_goal(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """y_m as (B, 1) goals and (B, 1) bool known."""
        known = (batch.label >= 0).unsqueeze(1)
        if self.config.labels.head == "regression":
            return batch.scores[:, :1].nan_to_num(), known
        return batch.label.unsqueeze(1), known

    def _valid_means(self, epoch: int) -> dict[str, Tensor]:
        """Means over the clips of valid of what `_evaluate` gives, in evaluation mode."""
        sums: dict[str, Tensor] = {}
        with torch.no_grad(), evaluation_mode(self.model):
            for batch in self.valid.epoch():
                for name, value in self._evaluate(batch, epoch).items():
                    sums[name] = sums.get(name, torch.zeros(())) + value * len(batch)
        return {name: total / len(self.valid.table) for name, total in sums.items()}

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        raise NotImplementedError


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


@dataclass(frozen=True)
class Pretrained:
    """What stage 1 hands over.

    unimodal: modality -> state of the EMA model at that modality's best epoch.
    online: the same epoch's state of the trained model itself.
    labels, valid_labels: soft labels (N, K, c) of the last epoch in which a modality improved.
    epochs: modality -> best epoch. moved: modality -> labels of train that moved.
    language: state of the language model at text's best epoch, where stage 1 trains it.
    """

    unimodal: Mapping[str, State]
    online: Mapping[str, State]
    labels: Tensor
    valid_labels: Tensor
    epochs: Mapping[str, int]
    moved: Mapping[str, int]
    language: State = field(default_factory=dict)


class PretrainStage(_CmcStage):
    """Stage 1 (Eq. 5-9, 19-30): unimodal models on pseudo labels, with EMA copies."""

    name = "pretrain"

    def __init__(self, model: CMC, train: Loader, valid: Loader, config: RunConfig) -> None:
        super().__init__(model, train, valid, config)
        settings = config.pretrain
        self.epochs = settings.epochs
        self.patience = None if settings.select == "last" else settings.patience
        self.accumulate = settings.accumulate
        self.optimizers = [pretrain_optimizer(model, config)]
        self.targets = Targets(train.table, config)
        self.valid_targets = Targets(valid.table, config)
        self.ema = {
            name: ModelEMA(module, buffers=settings.ema_buffers)
            for name, module in model.parts.items()
        }
        shadow = model.with_unimodal({name: ema.model for name, ema in self.ema.items()})
        self.shadow = shadow.eval()
        self.best = {name: Best() for name in model.modalities}
        self.kept_labels = Best()
        self._moving = settings.labels == "pseudo"

    def members(self) -> Mapping[str, Stateful]:
        """Models, EMA models, label banks and what was best so far."""
        return {
            "model": self.model,
            "train_labels": self.targets.bank,
            "valid_labels": self.valid_targets.bank,
            "kept_labels": self.kept_labels,
            **{f"ema_{name}": ema.model for name, ema in self.ema.items()},
            **{f"best_{name}": best for name, best in self.best.items()},
        }

    def begin_epoch(self, epoch: int) -> None:
        """Eq. 30: this epoch's momenta."""
        super().begin_epoch(epoch)
        schedule = self.config.pretrain.schedule
        parts = {n: self.config.modalities[n] for n in self.model.modalities}
        self._label_momentum = torch.tensor(
            [
                momentum_at(m.label_momentum.initial, m.label_momentum.decay, epoch, schedule)
                for m in parts.values()
            ],
            dtype=torch.float64,
        )
        self._model_momentum = {
            n: momentum_at(m.model_momentum.initial, m.model_momentum.decay, epoch, schedule)
            for n, m in parts.items()
        }

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Eq. 7-9, with the labels as they are before this step."""
        h = self.model.encode(batch)
        self._logits = self.model.vote(h)
        goals, classes, valid = self.targets.of(batch)
        tasks = task_loss(self._logits, goals, valid)
        contrast = self._supcon(h, classes, valid)
        return {
            "loss": tasks.sum() + contrast,
            **dict(zip(self.model.modalities, tasks, strict=True)),
            "supcon": contrast,
        }

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """The step, then PLGM on the logits of the same forward pass."""
        losses = super().step(batch)
        if self._moving:
            self._move(self.targets, batch, self._logits)
        return losses

    def _move(self, targets: Targets, batch: Batch, logits: Tensor) -> None:
        targets.bank.update(batch.index, logits.detach(), self._label_momentum, batch.present)

    def after_update(self) -> None:
        """Eq. 29."""
        for name, ema in self.ema.items():
            ema.update(self.model.parts[name], self._model_momentum[name])

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """The EMA models on one batch of valid."""
        h = self.shadow.encode(batch)
        logits = self.shadow.vote(h)
        goals, classes, valid = self.valid_targets.of(batch)
        if self.config.pretrain.valid_targets == "fixed":
            goal, known = self._multimodal_goal(batch)
            tasks = task_loss(logits, goal.expand(-1, h.shape[1]), batch.present & known)
        else:
            tasks = task_loss(logits, goals, valid)
            if self._moving:
                online = self.model.vote(self.model.encode(batch))
                self._move(self.valid_targets, batch, online)
        losses = dict(zip(self.model.modalities, tasks, strict=True))
        return {**losses, "supcon": self._supcon(h, classes, valid)}

    def end_epoch(self, epoch: int) -> EpochReport:
        """Keep each modality's best epoch, and the labels of the last that improved any."""
        with evaluation_mode(self.shadow):
            means = self._valid_means(epoch)
        improved = False
        language = self.model.language
        for name, best in self.best.items():
            value = float(means[name])
            if self.config.pretrain.valid_targets == "moving":
                value = round(value, 4)  # fidelity 10
            if best.improves(value, epoch) or self.config.pretrain.select == "last":
                improved = True
                best.epoch = epoch
                best.states = {
                    "ema": clone_state(self.ema[name].model),
                    "online": clone_state(self.model.parts[name]),
                    "language": clone_state(self.model.language) if name in language else {},
                }
        if improved:
            self.kept_labels.states = {
                "train": self.targets.bank.state_dict(),
                "valid": self.valid_targets.bank.state_dict(),
            }
        metrics = {f"valid_{name}": float(value) for name, value in means.items()}
        moved = zip(self.model.modalities, self.targets.moved().tolist(), strict=True)
        metrics |= {f"moved_{name}": count for name, count in moved}
        return EpochReport(metrics, improved)

    def finish(self) -> None:
        """The labels become those that are kept."""
        if states := self.kept_labels.states:
            self.targets.bank.load_state_dict(states["train"])
            self.valid_targets.bank.load_state_dict(states["valid"])

    def result(self) -> Pretrained:
        """What stage 2 starts from."""

        def states(kind: str, modules: Mapping[str, nn.Module]) -> dict[str, State]:
            return {
                name: best.states[kind] if best.states else clone_state(modules[name])
                for name, best in self.best.items()
            }

        return Pretrained(
            unimodal=states("ema", {name: ema.model for name, ema in self.ema.items()}),
            online=states("online", self.model.parts),
            labels=self.targets.bank.soft.clone(),
            valid_labels=self.valid_targets.bank.soft.clone(),
            epochs={name: best.epoch for name, best in self.best.items()},
            moved=dict(zip(self.model.modalities, self.targets.moved().tolist(), strict=True)),
            language=self._language(),
        )

    def _language(self) -> State:
        trained = [self.best[name] for name in self.model.language]
        return trained[0].states.get("language", {}) if trained else {}


class FinetuneStage(_CmcStage):
    """Stage 2 (Eq. 10-18): the whole model, or MCR alone, on kept labels."""

    name = "finetune"

    def __init__(
        self,
        model: CMC,
        train: Loader,
        valid: Loader,
        config: RunConfig,
        *,
        labels: Tensor | None = None,
        valid_labels: Tensor | None = None,
    ) -> None:
        """labels, valid_labels: soft labels (N, K, c) of stage 1; None starts from the data's."""
        super().__init__(model, train, valid, config)
        settings = config.finetune
        self.epochs = settings.epochs
        self.patience = None if settings.select == "last" else settings.patience
        self.accumulate = settings.accumulate
        self.optimizers = [finetune_optimizer(model, config)]
        self.targets = Targets(train.table, config, labels)
        self.valid_targets = Targets(valid.table, config, valid_labels)
        self.best = Best()
        self._hidden: dict[int, Tensor] = {}
        if settings.train == "router_only":
            self._keep_hidden()

    def _keep_hidden(self) -> None:
        """Frozen encoders give the same h every epoch: compute it once, without dropout."""
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        assert self.model.router is not None
        self.model.router.requires_grad_(True)
        kept = []
        with torch.no_grad(), evaluation_mode(self.model):
            for loader in (self.train, self.valid):
                h = torch.cat([self.model.encode(b) for b in loader.in_order().epoch()])
                bare = Loader(
                    loader.table.without_sequences(),
                    loader.batch_size,
                    loader.seed,
                    loader.rank,
                    loader.world,
                )
                self._hidden[id(bare.table)] = h
                kept.append(bare)
        self.train, self.valid = kept

    def members(self) -> Mapping[str, Stateful]:
        """The model and what was best so far; labels do not change."""
        return {"model": self.model, "best": self.best}

    def begin_epoch(self, epoch: int) -> None:
        """Training mode; frozen parts stay in evaluation mode."""
        self.model.train(self.config.finetune.train == "all")

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Eq. 15-18, or Eq. 15 and 8 for a single task."""
        return self._losses(batch, self._predict(batch, self.train.table), self.targets)

    def _predict(self, batch: Batch, table: TensorTable) -> Prediction:
        if self._hidden:
            return self.model.combine(self._hidden[id(table)][batch.index], batch.present)
        prediction: Prediction = self.model(batch)
        return prediction

    def _losses(self, batch: Batch, prediction: Prediction, targets: Targets) -> dict[str, Tensor]:
        goal, known = self._multimodal_goal(batch)
        goals, classes, valid = targets.of(batch)
        losses = {"consensus": task_loss(prediction.consensus.unsqueeze(1), goal, known).sum()}
        if self.config.finetune.tasks == "multi":
            tasks = task_loss(prediction.votes, goals, valid)
            losses |= dict(zip(self.model.modalities, tasks, strict=True))
        losses["supcon"] = self._supcon(prediction.h, classes, valid)
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        prediction = self._predict(batch, self.valid.table)
        losses = self._losses(batch, prediction, self.valid_targets)
        return losses | self._accuracy(prediction.consensus, batch.label)

    def _accuracy(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """How many are decided rightly; nothing for scores without a sign."""
        scheme, known = self.config.labels, labels >= 0
        if scheme.head == "regression" and scheme.polarity is None:
            return {}
        if not bool(known.any()) or not bool(outputs.isfinite().all()):
            return {"accuracy": outputs.new_tensor(0.0)}
        right = correct(outputs[known].cpu().numpy(), labels[known].cpu().numpy(), scheme)
        return {"accuracy": outputs.new_tensor(right.mean())}

    def end_epoch(self, epoch: int) -> EpochReport:
        """Keep the best epoch by the consensus' loss on valid, or the last."""
        means = {k: float(v) for k, v in self._valid_means(epoch).items()}
        settings = self.config.finetune
        value = means["loss" if settings.criterion == "loss" else "consensus"]
        improved = self.best.improves(value, epoch)
        if settings.select == "last":
            improved, self.best.epoch = True, epoch
        elif improved:
            self.best.states = {"model": clone_state(self.model)}
        return EpochReport({f"valid_{name}": v for name, v in means.items()}, improved)

    def finish(self) -> None:
        """Restore the best epoch."""
        if states := self.best.states:
            self.model.load_state_dict(states["model"])
        self.model.requires_grad_(True).eval()
