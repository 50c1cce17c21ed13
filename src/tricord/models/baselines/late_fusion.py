"""Single modalities, and late fusion: their outputs averaged, or weighted by learned numbers.

The encoders are those of CMC (Eq. 1-6), so that these rows say what fusion adds to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from tricord import presets
from tricord.baseline_config import BaselineConfig, Rate
from tricord.config import EncoderConfig, ModelConfig
from tricord.models.baselines.base import Baseline, BaselineStage, scores_of
from tricord.models.entry import Entry, Range
from tricord.models.unimodal import Unimodal
from tricord.nn.router import consensus, masked_softmax
from tricord.types import MODALITIES, Batch


class LateFusionConfig(BaselineConfig):
    """encoders: by modality, as in CMC.

    combine: "mean", or "learned": one weight a modality, the same for all clips.
    """

    possible_heads: ClassVar[tuple[str, ...]] = ("regression", "classification")
    encoders: dict[str, EncoderConfig]
    model: ModelConfig = ModelConfig()
    combine: Literal["mean", "learned"] = "mean"


class LateFusion(Baseline):
    """One unimodal model each, and a weighted mean of their outputs over those present."""

    config: LateFusionConfig

    def __init__(self, config: LateFusionConfig, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        outputs = config.labels.outputs
        self.unimodal = nn.ModuleDict(
            {
                name: Unimodal.build(width, outputs, config.encoders[name], config.model)
                for name, width in self.widths.items()
            }
        )
        learned = config.combine == "learned"
        self.logits = nn.Parameter(torch.zeros(len(self.widths)), requires_grad=learned)

    def vote(self, batch: Batch) -> Tensor:
        """(B, K, c): what each modality says."""
        votes = []
        for name, module in self.unimodal.items():
            unimodal = cast(Unimodal, module)
            votes.append(unimodal.classifier(unimodal.encoder(self.frames(batch, name))))
        return torch.stack(votes, dim=1)

    def combine(self, votes: Tensor, present: Tensor) -> Tensor:
        """(B, K, c) -> (B, c)."""
        weights = masked_softmax(self.logits.expand(len(votes), -1), present)
        return consensus(votes, weights)

    def forward(self, batch: Batch) -> Tensor:
        """(B, c)."""
        return self.combine(self.vote(batch), batch.present)


class LateFusionStage(BaselineStage[LateFusion]):
    """Each modality learns by itself; learned weights see outputs that they cannot change."""

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """The sum over modalities, and the fused output's for the weights."""
        votes = self.model.vote(batch)
        losses = {
            name: self.task_loss(votes[:, k], batch, batch.present[:, k])
            for k, name in enumerate(self.model.widths)
        }
        if self.model.logits.requires_grad:
            fused = self.model.combine(votes.detach(), batch.present)
            losses["fused"] = self.task_loss(fused, batch)
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}


LateFusion.stage = LateFusionStage


def config(
    modalities: tuple[str, ...], combine: Literal["mean", "learned"], preset: str
) -> LateFusionConfig:
    """Encoders, batches and patience of CMC's preset."""
    cmc = presets.get(preset)
    return LateFusionConfig(
        preset=preset,
        labels=scores_of(preset),
        modalities=modalities,
        encoders=cmc.modalities,
        model=cmc.model,
        combine=combine,
        epochs=cmc.pretrain.epochs,
        patience=cmc.pretrain.patience,
        batch_size=cmc.pretrain.batch_size,
        rates={"other": Rate(lr=cmc.pretrain.lr)},
    )


def _entry(
    name: str, title: str, modalities: tuple[str, ...], combine: Literal["mean", "learned"]
) -> Entry:
    return Entry(
        name=name,
        title=title,
        paper="a reference of ours: the encoders of CMC, trained on the multimodal label alone",
        year=2026,
        licence="ours",
        config=partial(config, modalities, combine),
        build=LateFusion,
        search={
            "model.output_dropout": Range(0.0, 0.5),
            "rates.other.lr": Range(1e-4, 1e-2, log=True),
        },
    )


ENTRIES = (
    *(_entry(f"{m}-only", f"{m.capitalize()} only", (m,), "mean") for m in MODALITIES),
    _entry("late-fusion-mean", "Late fusion, mean", MODALITIES, "mean"),
    _entry("late-fusion-learned", "Late fusion, learned", MODALITIES, "learned"),
)
