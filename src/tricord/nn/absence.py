"""Modality dropout: in training, modalities that a clip has are taken as absent by chance.

So that a model meets in training what it may meet in use: Neverova et al., "ModDrop" (TPAMI 2016).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def drop_modalities(present: Tensor, rate: float) -> Tensor:
    """What is left of the modalities present, (B, K) bool -> (B, K) bool.

    Each is dropped with probability ``rate``, in [0, 1), on its own; where all of a clip's would
    go, one of them stays, each as likely, so that with n present one is dropped with probability
    rate - rate^n / n. A clip without any stays without. With rate 0 nothing is drawn.
    Raises ValueError for another rate.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: {rate} found, a number in [0, 1) expected")
    if rate == 0:
        return present
    drawn = torch.rand(present.shape, device=present.device)
    kept = present & (drawn >= rate)
    # below the rate, draws are uniform too: the largest is any of them with equal probability
    spare = F.one_hot(drawn.masked_fill(~present, -1.0).argmax(dim=1), present.shape[1]).bool()
    return torch.where(kept.any(dim=1, keepdim=True), kept, spare & present)
