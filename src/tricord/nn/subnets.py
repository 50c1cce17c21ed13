"""One vector for each clip's modality, as Zadeh et al. 2017 (section 4.1) make them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tricord.nn.clips import mean_frames
from tricord.nn.encoder import FrameNorm
from tricord.nn.recurrent import LastState
from tricord.types import Frames


class MeanSubnet(nn.Module):
    """Mean of the frames -> batch normalisation -> dropout -> three layers with ReLU."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = FrameNorm(width)
        self.dropout = nn.Dropout(dropout)
        sizes = (width, hidden, hidden)
        self.layers = nn.ModuleList(nn.Linear(size, hidden) for size in sizes)

    def forward(self, x: Frames) -> Tensor:
        """(B, hidden)."""
        vector: Tensor = self.dropout(self.norm(mean_frames(x)))
        for layer in self.layers:
            vector = torch.relu(layer(vector))
        return vector


class RecurrentSubnet(LastState):
    """LSTM, its last state -> dropout -> one layer with ReLU."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__(width, hidden, hidden, dropout)

    def forward(self, x: Frames) -> Tensor:
        """(B, hidden)."""
        return torch.relu(super().forward(x))
