"""A head of three layers that gives one score."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tricord.nn.dropout import Dropout

FUSION = "fusion"  # the task of all modalities together, where each alone is one too


class HeadOutput(NamedTuple):
    """first, second: (B, p) hidden layers, after ReLU. score: (B, 1), without bounds."""

    first: Tensor
    second: Tensor
    score: Tensor


class ScoreHead(nn.Module):
    """Dropout, two hidden layers of p numbers with ReLU, one score."""

    def __init__(self, width: int, p: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.first = nn.Linear(width, p)
        self.second = nn.Linear(p, p)
        self.out = nn.Linear(p, 1)

    def forward(self, x: Tensor) -> HeadOutput:
        """(B, width)."""
        first = torch.relu(self.first(self.dropout(x)))
        second = torch.relu(self.second(first))
        return HeadOutput(first, second, self.out(second))
