"""Parameter-free Fusion Module, PFM (Eq. 10, 31-33)."""

from __future__ import annotations

import torch
from torch import Tensor


def parameter_free_fusion(h: Tensor, temperature: float, present: Tensor | None = None) -> Tensor:
    """Mix the modalities by softmax of their cosine similarity over the temperature.

    h: (B, K, d), rows are unit vectors. present: (B, K) bool; an absent modality gives nothing
    to the others (the softmax runs over those present) and its own row is 0.
    Returns h~_x (B, K, d). Temperature to 0 gives the identity. Raises ValueError unless
    temperature > 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature: {temperature} found, a number above 0 expected")
    temperature = max(temperature, torch.finfo(h.dtype).tiny)  # below it, the quotient is 0 / 0
    similarity = h @ h.transpose(1, 2)  # Eq. 31
    if present is not None:
        # the lowest finite number and not -inf: a row without any modality must not become NaN
        similarity = similarity.masked_fill(~present[:, None, :], torch.finfo(h.dtype).min)
    beta = torch.softmax((similarity - similarity.amax(-1, keepdim=True)) / temperature, dim=-1)
    fused = beta @ h  # Eq. 33
    return fused if present is None else fused.masked_fill(~present[..., None], 0.0)
