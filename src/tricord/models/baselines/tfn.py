"""TFN (Zadeh et al. 2017): all products of the modalities' vectors, and of any of them with 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tricord.baseline_config import BaselineConfig, Rate
from tricord.config import Count, Dropout
from tricord.models.baselines.base import TEXT, Baseline, scores_of
from tricord.models.entry import Choice, Entry, Range
from tricord.nn.subnets import MeanSubnet, RecurrentSubnet
from tricord.types import Batch

# "Tensor Fusion Network for Multimodal Sentiment Analysis", section 4 and its experiments
HIDDEN = {"text": 128, "audio": 32, "vision": 32}
FUSION, DROPOUT, LEARNING_RATE, WEIGHT_DECAY = 128, 0.15, 5e-4, 0.01
TINY = {"text": 8, "audio": 4, "vision": 4}


class EmbeddedConfig(BaselineConfig):
    """hidden: modality -> width of its subnetwork. dropout: in all layers."""

    possible_heads: ClassVar[tuple[str, ...]] = ("regression", "classification")
    hidden: dict[str, Count] = HIDDEN
    dropout: Dropout = DROPOUT


class Embedded(Baseline):
    """One vector a modality: an LSTM reads the text, of all else the mean is taken."""

    def __init__(self, config: EmbeddedConfig, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        self.hidden = {name: config.hidden[name] for name in self.widths}
        self.subnets = nn.ModuleDict(
            {
                name: (RecurrentSubnet if name == TEXT else MeanSubnet)(
                    width, self.hidden[name], config.dropout
                )
                for name, width in self.widths.items()
            }
        )

    def vectors(self, batch: Batch) -> dict[str, Tensor]:
        """Modality -> (B, d_m)."""
        return {name: net(self.frames(batch, name)) for name, net in self.subnets.items()}


def with_one(vector: Tensor) -> Tensor:
    """(B, d) -> (B, 1 + d): a 1 in front, which keeps what a product would lose."""
    return F.pad(vector, (1, 0), value=1.0)


def tensor_fusion(vectors: Sequence[Tensor]) -> Tensor:
    """Outer product of [1; z_m] over the modalities (Zadeh et al. 2017, equation 3), flattened.

    vectors: (B, d_m) each. Returns (B, product of 1 + d_m); the last modality runs fastest.
    """
    product = with_one(vectors[0])
    for vector in vectors[1:]:
        product = torch.einsum("bi,bj->bij", product, with_one(vector)).flatten(1)
    return product


class TFNConfig(EmbeddedConfig):
    """fusion: width of the two layers after the product.

    bounded: scores within the range of the labels by a sigmoid, as published.
    """

    fusion: Count = FUSION
    bounded: bool = True


class TFN(Embedded):
    """Subnetworks, their outer product, two layers with ReLU, outputs."""

    config: TFNConfig

    def __init__(self, config: TFNConfig, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        products = 1
        for size in self.hidden.values():
            products *= 1 + size
        self.dropout = nn.Dropout(config.dropout)
        self.first = nn.Linear(products, config.fusion)
        self.second = nn.Linear(config.fusion, config.fusion)
        self.out = nn.Linear(config.fusion, config.labels.outputs)

    def forward(self, batch: Batch) -> Tensor:
        """(B, c)."""
        fused = self.dropout(tensor_fusion(list(self.vectors(batch).values())))
        hidden = self.dropout(torch.relu(self.first(fused)))
        out: Tensor = self.out(self.dropout(torch.relu(self.second(hidden))))
        labels = self.config.labels
        if labels.head == "regression" and self.config.bounded:
            return labels.low + (labels.high - labels.low) * torch.sigmoid(out)
        return out


def config(preset: str) -> TFNConfig:
    """The published settings, of CMU-MOSI, for all data sets; batch size and patience are ours."""
    published = TFNConfig(
        preset=preset,
        labels=scores_of(preset),
        rates={"other": Rate(lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)},
    )
    if preset != "tiny":
        return published
    return published.with_settings({"hidden": TINY, "fusion": 16, "epochs": 3})


ENTRIES = (
    Entry(
        name="tfn",
        title="TFN",
        paper="Tensor Fusion Network for Multimodal Sentiment Analysis",
        year=2017,
        licence="written from the paper; batch normalisation in front of the means is ours",
        config=config,
        build=TFN,
        search={
            "dropout": Range(0.0, 0.5),
            "fusion": Choice((32, 64, 128)),
            "rates.other.lr": Range(1e-4, 5e-3, log=True),
            "rates.other.weight_decay": Range(1e-5, 1e-2, log=True),
        },
    ),
)
