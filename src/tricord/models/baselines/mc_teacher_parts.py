"""MC-Teacher's network piece by piece, and what its parts are called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tricord.nn.recurrent import FrameLSTM
from tricord.types import Frames

FUSED, FILTER = "fused", "filter"  # keys of weights and rates


def pair_names(modalities: Iterable[str]) -> list[str]:
    """``text_audio`` and so on, in order."""
    return [f"{a}_{b}" for a, b in combinations(modalities, 2)]


class Outputs(NamedTuple):
    """scores: (B, P + 1), one a pair and at the end the fused one, which is the prediction.

    features: (B, P + 1, f), what the scores were made of and the filter sees.
    """

    scores: Tensor
    features: Tensor


class SequenceEncoder(nn.Module):
    """Projection -> dropout -> LSTM -> layer normalisation -> LSTM, both in both directions."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(width, hidden)
        self.dropout = nn.Dropout(dropout)
        self.first = FrameLSTM(hidden, hidden, bidirectional=True)
        self.norm = nn.LayerNorm(2 * hidden)
        self.second = FrameLSTM(2 * hidden, hidden, bidirectional=True)

    def forward(self, x: Frames) -> Tensor:
        """(B, 4 * hidden): the last states of both layers."""
        projected = replace(x, values=self.dropout(self.project(x.values)))
        frames, first = self.first(projected)
        _, second = self.second(replace(frames, values=self.norm(frames.values)))
        return torch.cat([*first, *second], dim=1)


class Regressor(nn.Module):
    """Two layers of which only the second has a ReLU, and a score."""

    def __init__(self, width: int, f: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, f)
        self.second = nn.Linear(f, f)
        self.out = nn.Linear(f, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, f) of each layer, and (B, 1)."""
        first = self.first(x)
        second = torch.relu(self.second(first))
        return first, second, self.out(second)
