"""Stage 1 of CMC, unimodal pretraining (section III-B-1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from tricord.config import RunConfig
from tricord.data.batching import Loader
from tricord.device import CPU
from tricord.models.cmc import CMC
from tricord.models.released import load
from tricord.nn.ema import ModelEMA, averaging, momentum_at
from tricord.nn.losses import task_loss
from tricord.training.loop import EpochReport, Stateful
from tricord.training.optim import pretrain_optimizers
from tricord.training.stages import (
    Best,
    CmcStage,
    State,
    Targets,
    clone_state,
    evaluation_mode,
    multimodal_goal,
    on_cpu,
)
from tricord.training.trained import empty_language
from tricord.types import Batch


@dataclass(frozen=True)
class Pretrained:
    """What stage 1 hands over.

    unimodal: modality -> state of the EMA model at that modality's best epoch.
    online: the same epoch's state of the trained model itself.
    labels, valid_labels: soft labels (N, K, c) of the last epoch in which a modality improved.
    epochs: modality -> best epoch. moved: modality -> labels of train that moved.
    language: state of the language model at text's best epoch, where stage 1 trains it.
    folds: numbers of each fold's epochs, transition: modality -> (c, c) T, where labels were
        refined by the posterior.
    """

    unimodal: Mapping[str, State]
    online: Mapping[str, State]
    labels: Tensor
    valid_labels: Tensor
    epochs: Mapping[str, int]
    moved: Mapping[str, int]
    language: State = field(default_factory=dict)
    folds: Mapping[str, list[dict[str, float]]] = field(default_factory=dict)
    transition: Mapping[str, Tensor] = field(default_factory=dict)


class PretrainStage(CmcStage):
    """Stage 1 (Eq. 5-9, 19-30): unimodal models on pseudo labels, with EMA copies."""

    name = "pretrain"

    def __init__(
        self,
        model: CMC,
        train: Loader,
        valid: Loader,
        config: RunConfig,
        *,
        labels: Tensor | None = None,
        valid_labels: Tensor | None = None,
        best_file: Path | None = None,
    ) -> None:
        """labels, valid_labels: soft labels (N, K, c); None starts from the data's.

        best_file: where a language model's best epoch is kept; None in memory.
        """
        super().__init__(model, train, valid, config)
        settings = config.pretrain
        self.epochs = settings.epochs
        self.patience = None if settings.select == "last" else settings.patience
        self.accumulate = settings.accumulate
        self._own(pretrain_optimizers(model, config))
        self.targets = Targets(train.table, config, labels)
        self.valid_targets = Targets(valid.table, config, valid_labels)
        self.ema = {
            name: ModelEMA(module, buffers=settings.ema_buffers)
            for name, module in model.parts.items()
        }
        shadow = model.with_unimodal({name: ema.model for name, ema in self.ema.items()})
        self.shadow = shadow.eval()
        self.best_of = {
            name: Best(file=best_file if name in model.language else None)
            for name in model.modalities
        }
        self.kept_labels = Best()
        self._moving = settings.labels == "pseudo" and labels is None
        self._fixed = settings.valid_targets == "fixed" and labels is None

    def members(self) -> Mapping[str, Stateful]:
        """Models, EMA models, label banks and what was best so far."""
        return {
            "model": self.model,
            "train_labels": self.targets.bank,
            "valid_labels": self.valid_targets.bank,
            "kept_labels": self.kept_labels,
            **{f"ema_{name}": ema.model for name, ema in self.ema.items()},
            **{f"best_{name}": best for name, best in self.best_of.items()},
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
        self._updates = (epoch - 1) * self._updates_an_epoch
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
        self._updates += 1
        horizon = self.config.pretrain.ema_epochs
        for name, ema in self.ema.items():
            momentum = self._model_momentum[name]
            if horizon is not None:
                momentum = averaging(self._updates, horizon * self._updates_an_epoch)
            ema.update(self.model.parts[name], momentum)

    @property
    def _updates_an_epoch(self) -> int:
        return -(-len(self.train) // self.accumulate)

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """The EMA models on one batch of valid."""
        h = self.shadow.encode(batch)
        logits = self.shadow.vote(h)
        goals, classes, valid = self.valid_targets.of(batch)
        if self._fixed:
            goal, known = multimodal_goal(batch, self.config.labels)
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
        for name, best in self.best_of.items():
            value = float(means[name])
            if self.config.pretrain.valid_targets == "moving":
                value = round(value, 4)  # fidelity 10
            if best.improves(value, epoch) or self.config.pretrain.select == "last":
                improved = True
                best.epoch = epoch
                best.keep(
                    {
                        "ema": self.ema[name].model.state_dict(),
                        "online": self.model.parts[name].state_dict(),
                        "language": language.state_dict() if name in language else {},
                    }
                )
        if improved:
            self.kept_labels.keep(
                {
                    "train": self.targets.bank.state_dict(),
                    "valid": self.valid_targets.bank.state_dict(),
                }
            )
        metrics = {f"valid_{name}": float(value) for name, value in means.items()}
        moved = zip(self.model.modalities, self.targets.moved().tolist(), strict=True)
        metrics |= {f"moved_{name}": count for name, count in moved}
        return EpochReport(metrics, improved)

    def finish(self) -> None:
        """The labels become those that are kept."""
        self._disown()
        if states := self.kept_labels.states:
            self.targets.bank.load_state_dict(states["train"])
            self.valid_targets.bank.load_state_dict(states["valid"])

    def result(self) -> Pretrained:
        """What stage 2 starts from, on the processor."""

        def states(kind: str, modules: Mapping[str, nn.Module]) -> dict[str, State]:
            return {
                name: on_cpu(best.states[kind] if best.states else clone_state(modules[name]))
                for name, best in self.best_of.items()
            }

        return Pretrained(
            unimodal=states("ema", {name: ema.model for name, ema in self.ema.items()}),
            online=states("online", self.model.parts),
            labels=self.targets.bank.soft.to(CPU, copy=True),
            valid_labels=self.valid_targets.bank.soft.to(CPU, copy=True),
            epochs={name: best.epoch for name, best in self.best_of.items()},
            moved=dict(zip(self.model.modalities, self.targets.moved().tolist(), strict=True)),
            language=self._language(),
        )

    def _language(self) -> State:
        trained = [self.best_of[name] for name in self.model.language]
        return on_cpu(trained[0].states.get("language", {})) if trained else {}


def stage1_model(config: RunConfig, widths: Mapping[str, int], pretrained: Pretrained) -> CMC:
    """The unimodal models of stage 1 side by side; the mean of their votes for a consensus."""
    plain = config.with_settings(
        {"finetune.fusion": "none", "finetune.router": "mean", "finetune.train": "all"}
    )
    model = CMC.from_config(plain, widths, empty_language(config) if pretrained.language else {})
    start_from(model, pretrained)
    return model.eval()


def start_from(model: CMC, pretrained: Pretrained) -> None:
    """Fill the unimodal models, and the language model where stage 1 trained it."""
    for name, state in pretrained.unimodal.items():
        load(model.unimodal[name], state)
    if pretrained.language:
        load(model.language, pretrained.language)
