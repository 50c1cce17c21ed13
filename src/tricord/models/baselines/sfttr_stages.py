"""SFTTR's stages: each encoder by itself, then fusion with companions.

Sun and Tian, COLING 2025. B clips, K = 3 modalities, h the width of a part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from tricord.data.batching import Loader
from tricord.models.baselines.base import TEXT, Baseline, BaselineStage
from tricord.models.baselines.sfttr_companions import Companions, contrast
from tricord.training.loop import Stateful
from tricord.training.optim import fused
from tricord.training.stages import evaluation_mode, share_right
from tricord.types import Batch, Frames

if TYPE_CHECKING:
    from tricord.models.baselines.sfttr import SFTTR, SFTTRConfig, StagePlan

_AT_ONCE = 256  # clips that are encoded together where nothing is learned
_LAYER = re.compile(r"\blayers?\.(\d+)\.")


def warm_then_fall(warm: float, total: float) -> Callable[[int], float]:
    """Share of the rate at each update: up in a line to 1 at ``warm``, down to 0 at ``total``."""

    def share(step: int) -> float:
        if step < warm:
            return step / warm
        return max(0.0, (total - step) / max(1.0, total - warm))

    return share


def squared_error(outputs: Tensor, goal: Tensor, known: Tensor) -> Tensor:
    """The mean over what is known, of one shape all three; 0 where nothing is."""
    errors = (outputs - goal.nan_to_num()).square() * known
    return errors.sum() / known.sum().clamp(min=1)


def own_scores(batch: Batch) -> Tensor:
    """(K, B) each modality's score, the multimodal one where it is unknown; NaN without either."""
    return batch.scores[:, 1:].where(batch.scores[:, 1:].isfinite(), batch.scores[:, :1]).T


def reading(loader: Loader, *names: str) -> Loader:
    """The same batches with the frames of these modalities alone."""
    table = copy(loader.table)
    table.sequences = {name: table.sequences[name] for name in names}
    return replace(loader, table=table)


P = TypeVar("P", bound="SFTTR | ModalityScorer")


class PlannedStage(BaselineStage[P], Generic[P]):
    """A stage with one AdamW or Adam, and a rate that rises and falls."""

    def __init__(
        self,
        model: P,
        train: Loader,
        valid: Loader,
        length: StagePlan,
        best_file: Path | None = None,
    ) -> None:
        self.plan = length
        super().__init__(model, train, valid, best_file=best_file)
        self.epochs = length.epochs
        self.keep_from = min(length.keep_from, max(1, length.epochs))
        dropped = model.config.leftovers == "drop"
        updates = max(1, (floor if dropped else ceil)(len(train) / self.accumulate))
        warm = min(length.warmup, length.epochs / 2) * updates
        share = warm_then_fall(warm, length.epochs * updates)
        self.schedulers = [LambdaLR(optimizer, share) for optimizer in self.optimizers]

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """Groups by rate and by whether there is decay."""
        language = {id(p) for p in self.model.language.parameters()}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                rate = self.model.config.text if id(parameter) in language else self.plan
                decay = rate.weight_decay if self._decays(name, parameter) else 0.0
                groups.setdefault((rate.lr, decay), []).append(parameter)
        listed = [
            {"params": parameters, "lr": lr, "weight_decay": decay}
            for (lr, decay), parameters in groups.items()
        ]
        quick = fused(self.model.parameters())
        if self.plan.optimizer == "adam":
            return [torch.optim.Adam(listed, amsgrad=True, fused=quick)]
        return [torch.optim.AdamW(listed, fused=quick)]

    def _decays(self, name: str, parameter: nn.Parameter) -> bool:
        """Whether there is decay on a parameter (`SFTTRConfig.decayed`)."""
        if self.model.config.decayed == "weights":
            return parameter.ndim > 1
        if self.plan.optimizer == "adam" or self.name == TEXT:
            return True
        cross_norm = name.startswith("cross.") and "norm" in name
        return not (name.endswith("bias") or cross_norm)


class ModalityScorer(Baseline):
    """One encoder of the whole model, shared with it, and a classifier for this stage alone."""

    config: SFTTRConfig

    def __init__(self, whole: SFTTR, name: str) -> None:
        super().__init__(whole.config, {name: whole.widths[name]})
        self.number = list(whole.widths).index(name)
        self._vector: Callable[[Batch], Tensor] = partial(whole.vector, name=name)
        if name == TEXT:
            self.language = whole.language
        else:
            self.encoder = whole.encoders[name]
        self.classifier = whole.classifier(name).to(next(whole.parameters()).device)

    def forward(self, batch: Batch) -> Tensor:
        """(B, 1) scores from one modality."""
        scores: Tensor = self.classifier(self._vector(batch))
        return scores

    def goal(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, 1) the modality's own scores, and (B, 1) bool: known, and the modality there."""
        goal = own_scores(batch)[self.number, :, None]
        return goal, goal.isfinite() & batch.present[:, self.number, None]


class UnimodalStage(PlannedStage[ModalityScorer]):
    """An encoder on its modality's own score; the epoch with the least absolute error is kept.

    A language model stands still for the first third of the epochs.
    """

    def __init__(self, whole: SFTTR, name: str, train: Loader, valid: Loader) -> None:
        self.name = name
        whole.language.requires_grad_(name == TEXT)
        model = ModalityScorer(whole, name)
        self.tuned = unfrozen(model.language, whole.config.unfrozen)
        loaders = reading(train, name), reading(valid, name)
        super().__init__(model, *loaders, whole.config.pretraining[name])

    def begin_epoch(self, epoch: int) -> None:
        """Training mode; a language model starts to train after a third of the epochs."""
        super().begin_epoch(epoch)
        for parameter in self.tuned:
            parameter.requires_grad_(3 * epoch >= self.epochs)

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Squared error."""
        return {"loss": squared_error(self.model(batch), *self.model.goal(batch))}

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        goal, known = self.model.goal(batch)
        errors = (self.model(batch) - goal.nan_to_num()).abs() * known
        return {"loss": errors.sum() / known.sum().clamp(min=1)}


def unfrozen(language: nn.Module, which: str) -> list[nn.Parameter]:
    """The parameters of a language model that train, all or its last layer's; others are frozen."""
    numbers = {
        name: int(found[1])
        for name, _ in language.named_parameters()
        if (found := _LAYER.search(name))
    }
    last = max(numbers.values(), default=None)
    tuned = []
    for name, parameter in language.named_parameters():
        if which == "all" or last is None or numbers.get(name) == last:
            tuned.append(parameter)
        else:
            parameter.requires_grad_(False)
    return tuned


class FusionStage(PlannedStage["SFTTR"]):
    """All but a language model, on the multimodal score, with companions.

    Since the language model stands still, each clip's text vector is made once.
    """

    name = "fusion"

    def __init__(
        self, model: SFTTR, train: Loader, valid: Loader, *, best_file: Path | None = None
    ) -> None:
        model.language.requires_grad_(False)
        self.companions = Companions(model.config, next(model.parameters()).device)
        self._with_texts = {"train": train, "valid": valid}
        self._texts: dict[str, Tensor] = {}
        others = [name for name in model.widths if name != TEXT]
        loaders = reading(train, *others), reading(valid, *others)
        super().__init__(model, *loaders, model.config.fusion, best_file)

    def members(self) -> Mapping[str, Stateful]:
        """Those of every baseline, and the companions."""
        return {**super().members(), "companions": self.companions}

    def batches(self, epoch: int) -> Iterable[Batch]:
        """The anchors, by number alone: `loss` fetches them with their companions."""
        return reading(self.train).epoch(epoch)

    def begin_epoch(self, epoch: int) -> None:
        """Rank the companions when that is due."""
        if not self._texts:
            self._texts = {split: self._read(loader) for split, loader in self._with_texts.items()}
        if (epoch - 1) % self.model.config.refresh == 0:
            self.companions.rank(self._vectors(), self.train.table.scores[:, 0])
        super().begin_epoch(epoch)

    def _read(self, loader: Loader) -> Tensor:
        """(N, width of text) the text vector of every clip."""
        parts = replace(reading(loader, TEXT).in_order(), batch_size=_AT_ONCE).epoch()
        with torch.no_grad(), evaluation_mode(self.model):
            return torch.cat([self.model.sentence(batch) for batch in parts])

    def _vectors(self) -> Tensor:
        """(N, widths of all vectors) [x_T; x_A; x_V] of train."""
        parts = replace(self.train.in_order(), batch_size=_AT_ONCE).epoch()
        with torch.no_grad(), evaluation_mode(self.model):
            found = [self.model.vectors(self._told(batch, "train")) for batch in parts]
        return torch.cat([torch.cat(list(each.values()), dim=1) for each in found])

    def _told(self, batch: Batch, split: str) -> Batch:
        """The batch with its texts' vectors in place of texts."""
        texts = Frames(self._texts[split][batch.index], torch.ones(len(batch), dtype=torch.long))
        return replace(batch, frames={TEXT: texts, **batch.frames})

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Squared error of scores + weights * (contrast, squared error of single parts)."""
        drawn, complete = self.companions.draw(batch.index)
        rows = torch.cat([batch.index[None], drawn]).flatten()
        clips = self._told(self.train.table.fetch(rows.cpu()), "train")
        self._given = clips.size
        return self.losses(clips, complete)

    def frames(self, batch: Batch) -> int:
        """Of anchors and companions; a text is one."""
        return self._given

    def losses(self, clips: Batch, complete: Tensor) -> dict[str, Tensor]:
        """clips: 7 B, anchors and then companions; complete: (B,) anchors that have companions."""
        config, size = self.model.config, len(complete)
        close, far = self.model.split(clips)
        used = torch.cat([torch.ones_like(complete), complete.repeat(len(clips) // size - 1)])
        scored = len(clips) if config.train_companions else size
        goal = clips.scores[:scored, 0]
        outputs = self.model.fuse(close[:, :scored], far[:, :scored]).squeeze(-1)
        losses = {"prediction": squared_error(outputs, goal, goal.isfinite() & used[:scored])}
        shape = (len(close), -1, size, close.shape[-1])
        each = contrast(close.view(shape), far.view(shape), config.temperature)
        losses["contrast"] = (each * complete).sum() / complete.sum().clamp(min=1)
        total = losses["prediction"] + config.contrast_weight * losses["contrast"]
        if self.model.mono is not None and config.mono_weight:
            losses["mono"] = self._mono_loss(clips, close, far, used)
            total = total + config.mono_weight * losses["mono"]
        return {"loss": total, **losses}

    def _mono_loss(self, clips: Batch, close: Tensor, far: Tensor, used: Tensor) -> Tensor:
        """Close parts by themselves say the multimodal score, far ones their modality's own.

        Those of absent modalities say nothing.
        """
        assert self.model.mono is not None
        outputs = self.model.mono(torch.cat([close, far])).squeeze(-1)
        goal = torch.cat([clips.scores[:, 0].expand(len(close), -1), own_scores(clips)])
        known = goal.isfinite() & used & clips.present.T.repeat(2, 1)
        return squared_error(outputs, goal, known)

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        labels = self.model.config.labels
        outputs = self.model(self._told(batch, "valid"))
        error = self.task_loss(outputs, batch)
        shares = share_right(outputs, batch.label, labels)
        if self.model.config.select == "mae" or not shares:
            return {"loss": error, **shares}
        return {"loss": 1 - shares["accuracy"], "mae": error, **shares}
