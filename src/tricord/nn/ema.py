"""Exponential moving averages: the momentum schedule and the EMA model (Eq. 29-30)."""

from __future__ import annotations

import copy
import math
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

Schedule = Literal["closed", "recursive"]
M = TypeVar("M", bound=nn.Module)


def momentum_at(initial: float, decay: float, epoch: int, schedule: Schedule = "closed") -> float:
    """Eq. 30: the momentum in epoch E >= 1, rising from ``initial`` towards 1.

    closed: 1 - (1 - m^0) / E^decay, as released; recursive: 1 - (1 - m^{E-1}) / E^decay, as
    printed, which is 1 - (1 - m^0) / (E!)^decay. Raises ValueError for epoch < 1.
    """
    if epoch < 1:
        raise ValueError(f"epoch: {epoch} found, 1 or more expected")
    if schedule == "closed":
        share = math.pow(epoch, -decay)
    else:
        share = math.exp(-decay * math.lgamma(epoch + 1))  # E! itself overflows in a long run
    return 1.0 - (1.0 - initial) * share


def averaging(update: int, horizon: float) -> float:
    """The momentum of update 1, 2, ...: a plain mean until the horizon, in updates, is reached.

    Afterwards what is ``horizon`` updates old counts 1 / e of the newest.
    """
    return min(1 - 1 / update, math.exp(-1 / horizon))


class ModelEMA(Generic[M]):
    """theta_ema of Eq. 29: a copy of a model that follows it slowly.

    buffers: copy BatchNorm's running statistics along; they describe the raw input, not the
    weights, so the newest are the best. False leaves them as they were (fidelity 5).
    """

    def __init__(self, model: M, *, buffers: bool = True) -> None:
        self.model: M = copy.deepcopy(model).eval().requires_grad_(False)
        self.buffers = buffers

    @torch.no_grad()
    def update(self, model: nn.Module, momentum: float) -> None:
        """theta_ema <- momentum * theta_ema + (1 - momentum) * theta."""
        ours: list[Tensor] = list(self.model.parameters())
        theirs: list[Tensor] = list(model.parameters())
        torch._foreach_mul_(ours, momentum)
        torch._foreach_add_(ours, theirs, alpha=1.0 - momentum)
        if self.buffers:
            for mine, its in zip(self.model.buffers(), model.buffers(), strict=True):
                mine.copy_(its)
