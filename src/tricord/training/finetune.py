"""Stage 2 of CMC, multimodal finetuning (section III-B-2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tricord.config import RunConfig
from tricord.data.batching import Loader, TensorTable
from tricord.models.cmc import CMC
from tricord.nn.absence import drop_modalities
from tricord.nn.losses import task_loss
from tricord.nn.router import EvidenceSum
from tricord.training.evidence import fit_evidence
from tricord.training.loop import EpochReport, Stateful
from tricord.training.optim import finetune_optimizers
from tricord.training.stages import (
    Best,
    CmcStage,
    Targets,
    evaluation_mode,
    multimodal_goal,
    share_right,
)
from tricord.types import Batch, Prediction


class FinetuneStage(CmcStage):
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
        best_file: Path | None = None,
    ) -> None:
        """labels, valid_labels: soft labels (N, K, c) of stage 1; None starts from the data's.

        best_file: where the best epoch's model is kept; None in memory.
        """
        super().__init__(model, train, valid, config)
        settings = config.finetune
        self.epochs = settings.epochs
        self.patience = None if settings.select == "last" else settings.patience
        self.accumulate = settings.accumulate
        self._own(finetune_optimizers(model, config))
        self.targets = Targets(train.table, config, labels)
        self.valid_targets = Targets(valid.table, config, valid_labels)
        self.best = Best(file=best_file)
        self._hidden: dict[int, Tensor] = {}
        self._encoded: list[tuple[Tensor, Tensor, Tensor]] = []
        if settings.train == "router_only":
            self._keep_hidden()

    def _keep_hidden(self) -> None:
        """Frozen encoders give the same h every epoch: compute it once, without dropout."""
        self.model.requires_grad_(False)
        for part in self.model.readers:
            part.requires_grad_(True)
        kept = []
        with torch.no_grad(), evaluation_mode(self.model):
            for loader in (self.train, self.valid):
                h = torch.cat([self.model.encode(b) for b in loader.in_order().epoch()])
                bare = replace(loader, table=loader.table.without_sequences())
                self._hidden[id(bare.table)] = h
                kept.append(bare)
        self.train, self.valid = kept

    def members(self) -> Mapping[str, Stateful]:
        """The model and what was best so far; labels do not change."""
        return {"model": self.model, "best": self.best}

    def start(self) -> EpochReport | None:
        """What stage 1 hands over is the first candidate, where nothing new has to be trained."""
        if self.model.evidence is None or self.config.finetune.select == "last":
            return None
        return self.end_epoch(0)

    def begin_epoch(self, epoch: int) -> None:
        """Training mode; frozen parts stay in evaluation mode."""
        self.model.train(self.config.finetune.train == "all")

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Eq. 15-18, or Eq. 15 and 8 for a single task.

        A modality that is dropped is absent in every part of it: its vote is one about nothing.
        """
        rate = self.config.model.modality_dropout
        batch = replace(batch, present=drop_modalities(batch.present, rate))
        return self._losses(batch, self._predict(batch, self.train.table), self.targets)

    def _predict(self, batch: Batch, table: TensorTable) -> Prediction:
        if self._hidden:
            return self.model.combine(self._hidden[id(table)][batch.index], batch.present)
        prediction: Prediction = self.model(batch)
        return prediction

    def _losses(self, batch: Batch, prediction: Prediction, targets: Targets) -> dict[str, Tensor]:
        goal, known = multimodal_goal(batch, self.config.labels)
        goals, classes, valid = targets.of(batch)
        losses = {"consensus": task_loss(prediction.consensus.unsqueeze(1), goal, known).sum()}
        if self.config.finetune.tasks == "multi":
            tasks = task_loss(prediction.votes, goals, valid)
            losses |= dict(zip(self.model.modalities, tasks, strict=True))
        if prediction.score is not None:
            known = batch.scores[:, :1].isfinite()
            goal = batch.scores[:, :1].nan_to_num()
            losses["score"] = task_loss(prediction.score.unsqueeze(1), goal, known).sum()
        losses["supcon"] = self._supcon(prediction.h, classes, valid)
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        prediction = self._predict(batch, self.valid.table)
        losses = self._losses(batch, prediction, self.valid_targets)
        if "score" in losses:  # the score head has no say in what is selected
            losses["loss"] = losses["loss"] - losses["score"]
        self._encoded.append((prediction.h, batch.present, batch.label))
        return losses | share_right(prediction.consensus, batch.label, self.config.labels)

    def _valid_means(self, epoch: int) -> dict[str, Tensor]:
        self._encoded = []
        means = super()._valid_means(epoch)
        if self.model.evidence is None:
            return means
        weighed = self._weigh(self.model.evidence)
        loss = means["loss"] - means["consensus"] + weighed["consensus"]
        return means | weighed | {"loss": loss}

    def _weigh(self, evidence: EvidenceSum) -> dict[str, Tensor]:
        """Fit the scales to this epoch's votes on valid; what the consensus is then."""
        h, present, labels = (torch.cat(parts) for parts in zip(*self._encoded, strict=True))
        with evaluation_mode(self.model), torch.no_grad():
            fit_evidence(
                evidence, lambda there: self.model.combine(h, there).votes, present, labels
            )
            outputs = self.model.combine(h, present).consensus
        goal = labels.unsqueeze(1)
        loss = task_loss(outputs.unsqueeze(1), goal, goal >= 0).sum()
        return {"consensus": loss} | share_right(outputs, labels, self.config.labels)

    def end_epoch(self, epoch: int) -> EpochReport:
        """Keep the best epoch by the consensus' loss on valid, or the last."""
        means = {k: float(v) for k, v in self._valid_means(epoch).items()}
        settings = self.config.finetune
        value = means["loss" if settings.criterion == "loss" else "consensus"]
        improved = self.best.improves(value, epoch)
        if settings.select == "last":
            improved, self.best.epoch = True, epoch
        elif improved:
            self.best.keep(self.model.state_dict())
        return EpochReport({f"valid_{name}": v for name, v in means.items()}, improved)

    def finish(self) -> None:
        """Restore the best epoch; what was frozen for this stage is not for the next."""
        super().finish()
        self.model.requires_grad_(True)
