"""Numbers of all frames brought to one mean and spread, taken once."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from tricord.types import Frames

_SMALLEST = 1e-6  # added to the spread
_AT_ONCE = 1 << 16  # frames


class Scale(nn.Module):
    """Mean 0 and spread 1 of each number over the frames of train; the identity until `fit`."""

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def fit(self, frames: Tensor) -> None:
        """From (F, width); what never varies is only shifted."""
        parts = torch.split(frames, _AT_ONCE)
        number = max(1, len(frames))
        mean = torch.stack([p.double().sum(dim=0) for p in parts]).sum(dim=0) / number
        squares = torch.stack([(p.double() - mean).square().sum(dim=0) for p in parts])
        spread = (squares.sum(dim=0) / number).sqrt()
        self.mean.copy_(mean)
        self.spread.copy_(torch.where(spread > 0, spread + _SMALLEST, 1.0))

    def forward(self, x: Frames) -> Frames:
        """Each frame."""
        return replace(x, values=(x.values - self.mean) / self.spread)
