"""Multimodal Consensus Router, MCR, and the consensus (Eq. 12-14, 34-35); sums of evidence."""

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


class EvidenceSum(nn.Module):
    """The consensus as a sum of votes, each with a scale; c numbers are added to it.

    Logits of independent witnesses add up (Hinton, Training products of experts, 2002), and how
    far each can be trusted is a number of its own. Both depend on which modalities are there: one
    row for each subset, numbered by its bits. Until `set_row` it is the mean of those present.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, modalities: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("scale", _means(modalities))
        self.register_buffer("shift", torch.zeros(2**modalities, outputs))

    def set_row(self, subset: Tensor, scale: Tensor, shift: Tensor) -> None:
        """subset: (K,) bool; scale: (K,), at least 0; shift: (c,)."""
        row = int(_number(subset[None]))
        self.scale[row], self.shift[row] = (scale * subset).to(self.scale), shift.to(self.shift)

    def forward(self, votes: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K, c) votes -> (B, c) consensus, and (B, K) weights: the scales' shares.

        In training it is the plain mean, so that no vote is spared.
        """
        rows = _number(present)
        if self.training:
            means = _means(present.shape[1])
            scale, shift = means.to(votes)[rows], torch.zeros_like(votes[:, 0])
        else:
            scale, shift = self.scale[rows].to(votes), self.shift[rows].to(votes)
        weights = scale / scale.sum(dim=1, keepdim=True).clamp(min=torch.finfo(votes.dtype).tiny)
        return consensus(votes, scale) + shift, weights


def _number(present: Tensor) -> Tensor:
    """(B, K) bool -> (B,) the subset's number."""
    return (present * 2 ** torch.arange(present.shape[1], device=present.device)).sum(dim=1)


def _means(modalities: int) -> Tensor:
    """(2^K, K): 1 over their number for the members of each subset."""
    members = (torch.arange(2**modalities)[:, None] >> torch.arange(modalities)) & 1
    return members / members.sum(dim=1, keepdim=True).clamp(min=1)
