"""Dropout whose random bits are cheap on a CPU, where drawing them costs more than the layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEVELS = 1 << 16


def kept(like: Tensor, p: float) -> Tensor:
    """What dropout multiplies by: 0 with probability p, else what makes up for it.

    On a CPU: four decisions share one random 64-bit number, and the rate is exact to 2^-17.
    """
    bits = torch.empty((like.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    levels = bits.view(torch.int16)[: like.numel()].view(like.shape)
    dropped = round(p * _LEVELS)
    # numbers, not truth values: to multiply by those costs several times as much
    return (levels >= dropped - _LEVELS // 2).to(like.dtype).mul_(_LEVELS / (_LEVELS - dropped))


class Dropout(nn.Dropout):
    """As torch's own; on a CPU with fewer random numbers, see `kept`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or self.p == 0.0:
            return x
        if x.device.type != "cpu":
            return super().forward(x)
        return x * kept(x, self.p)
