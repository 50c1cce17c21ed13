"""Early fusion: the time means of all modalities side by side, and one hidden layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from tricord.baseline_config import BaselineConfig, Rate
from tricord.config import Count, Dropout
from tricord.models.baselines.base import Baseline, scores_of
from tricord.models.entry import Choice, Entry, Range
from tricord.nn.clips import mean_frames
from tricord.nn.encoder import FrameNorm
from tricord.types import Batch


class EarlyFusionConfig(BaselineConfig):
    """hidden: width of the one hidden layer."""

    possible_heads: ClassVar[tuple[str, ...]] = ("regression", "classification")
    hidden: Count = 64
    dropout: Dropout = 0.2


class EarlyFusion(Baseline):
    """Batch normalisation of [mean_t; mean_a; mean_v], a hidden layer with ReLU, outputs."""

    config: EarlyFusionConfig

    def __init__(self, config: EarlyFusionConfig, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        total = sum(self.widths.values())
        self.norm = FrameNorm(total)
        self.hidden = nn.Linear(total, config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.hidden, config.labels.outputs)

    def forward(self, batch: Batch) -> Tensor:
        """(B, c)."""
        means = [mean_frames(self.frames(batch, name)) for name in self.widths]
        hidden = torch.relu(self.hidden(self.norm(torch.cat(means, dim=1))))
        out: Tensor = self.out(self.dropout(hidden))
        return out


def config(preset: str) -> EarlyFusionConfig:
    """The same for all data sets; ours, since the field means no one model by this name."""
    return EarlyFusionConfig(
        preset=preset, labels=scores_of(preset), rates={"other": Rate(lr=1e-3, weight_decay=1e-4)}
    )


ENTRIES = (
    Entry(
        name="early-fusion",
        title="Early fusion",
        paper="a reference of ours: concatenated time means",
        year=2026,
        licence="ours",
        config=config,
        build=EarlyFusion,
        search={
            "hidden": Choice((16, 32, 64, 128)),
            "dropout": Range(0.0, 0.5),
            "rates.other.lr": Range(1e-4, 1e-2, log=True),
        },
    ),
)
