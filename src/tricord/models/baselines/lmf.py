"""LMF (Liu et al. 2018): TFN's product times a weight tensor of low rank, never written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tricord.baseline_config import Rate
from tricord.config import Count
from tricord.models.baselines.base import scores_of
from tricord.models.baselines.tfn import TINY, Embedded, EmbeddedConfig, with_one
from tricord.models.entry import Choice, Entry, Range
from tricord.types import Batch


class LMFConfig(EmbeddedConfig):
    """rank: of the weight tensor; the paper finds 4 enough."""

    rank: Count = 4


def low_rank_fusion(
    vectors: Sequence[Tensor], factors: Sequence[Tensor], weights: Tensor
) -> Tensor:
    """sum_r w_r * (elementwise product over m of [1; z_m] W_m^r) (Liu et al. 2018, equation 6).

    vectors: (B, d_m) each. factors: (R, 1 + d_m, c) each. weights: (R,). Returns (B, c), equal to
    the outer product of TFN applied to the weight tensor that the factors make up.
    """
    product = weights[:, None, None]
    for vector, factor in zip(vectors, factors, strict=True):
        product = product * torch.einsum("bi,ric->rbc", with_one(vector), factor)
    return product.sum(dim=0)


class LMF(Embedded):
    """TFN's subnetworks and a fusion that gives the outputs at once."""

    config: LMFConfig

    def __init__(self, config: LMFConfig, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        outputs = config.labels.outputs
        self.factors = nn.ParameterDict(
            {
                name: nn.Parameter(torch.empty(config.rank, 1 + size, outputs))
                for name, size in self.hidden.items()
            }
        )
        self.weights = nn.Parameter(torch.empty(1, config.rank))
        self.bias = nn.Parameter(torch.zeros(outputs))
        for parameter in (*self.factors.values(), self.weights):
            nn.init.xavier_normal_(parameter)

    def forward(self, batch: Batch) -> Tensor:
        """(B, c)."""
        vectors = self.vectors(batch)
        factors = [self.factors[name] for name in vectors]
        return low_rank_fusion(list(vectors.values()), factors, self.weights[0]) + self.bias


def config(preset: str) -> LMFConfig:
    """The same for all data sets: widths and rates of TFN, since the paper searched its own."""
    settings = LMFConfig(
        preset=preset,
        labels=scores_of(preset),
        rates={"other": Rate(lr=1e-3, weight_decay=1e-3)},
    )
    if preset != "tiny":
        return settings
    return settings.with_settings({"hidden": TINY, "epochs": 3})


ENTRIES = (
    Entry(
        name="lmf",
        title="LMF",
        paper="Efficient Low-rank Multimodal Fusion with Modality-Specific Factors",
        year=2018,
        licence="written from the paper; subnetworks as in our TFN",
        config=config,
        build=LMF,
        search={
            "rank": Choice((1, 2, 4, 8, 16)),
            "dropout": Range(0.0, 0.5),
            "rates.other.lr": Range(1e-4, 5e-3, log=True),
            "rates.other.weight_decay": Range(1e-5, 1e-2, log=True),
        },
    ),
)
