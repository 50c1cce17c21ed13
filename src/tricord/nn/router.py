"""Multimodal Consensus Router, MCR, and the consensus (Eq. 12-14, 34-35)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def pool(fused: Tensor, present: Tensor | None = None) -> Tensor:
    """Eq. 12: h_m, the sum over modalities, (B, K, d) -> (B, d).

    With absent modalities the sum over those present, times K over their number, so that the
    router sees the same scale.
    """
    if present is None:
        return fused.sum(dim=1)
    number = present.sum(dim=1, keepdim=True).clamp(min=1)
    return fused.masked_fill(~present[..., None], 0.0).sum(dim=1) * (fused.shape[1] / number)


def masked_softmax(logits: Tensor, present: Tensor | None = None) -> Tensor:
    """Softmax over the modalities present, (B, K) -> (B, K); all 0 where none is."""
    if present is None:
        return torch.softmax(logits, dim=-1)
    lowest = torch.finfo(logits.dtype).min
    weights = torch.softmax(logits.masked_fill(~present, lowest), dim=-1)
    return weights.masked_fill(~present, 0.0)


class ConsensusRouter(nn.Module):
    """MCR: one linear layer from h_m to a weight per modality."""

    def __init__(self, d: int, modalities: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d, modalities)

    def forward(self, pooled: Tensor, present: Tensor | None = None) -> Tensor:
        """w_m (Eq. 34-35): (B, d) -> (B, K), rows sum to 1."""
        return masked_softmax(self.linear(pooled), present)


def consensus(votes: Tensor, weights: Tensor) -> Tensor:
    """Eq. 14: (B, K, c) and (B, K) -> (B, c), the weighted sum of the votes."""
    return torch.einsum("bk,bkc->bc", weights, votes)
