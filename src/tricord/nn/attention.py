"""Scaled dot-product attention: torch's own on accelerators, a faster one on processors.

Heads here are narrow (8 numbers), so that exponentials and the memory they pass through cost more
than the products. The processor's version keeps scores as (keys, queries), where all products run
along contiguous rows; takes powers of 2, a fraction of the price of those of e; and divides by the
sum of the weights after they are applied, not before.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from tricord.nn.dropout import kept

_LOG2_E = math.log2(math.e)
_SAFE = 60.0  # powers of 2 up to this, either way, sum up in float32 without a shift


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """softmax(q' k / sqrt(w)) applied to v, for N clips and H heads of width w.

    q, k, v: (N, H, w, L). mask: (N, L) bool, True where a frame may be looked at, at least one in
    each row; None where all may. dropout: share of the weights to drop. Returns (N, H, w, L).
    """
    if k.shape[-1] == 1 and not dropout:  # there is one frame to look at
        return v.expand_as(q)
    if q.device.type != "cpu":
        where = None if mask is None else mask[:, None, None, :]
        # torch's fused kernels want a frame's numbers side by side
        q, k, v = (x.transpose(2, 3).contiguous() for x in (q, k, v))
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=where, dropout_p=dropout
        ).transpose(2, 3)
    hidden = None
    if mask is not None:
        hidden = q.new_zeros(mask.shape).masked_fill_(~mask, -math.inf)
        hidden = hidden.repeat_interleave(q.shape[1], dim=0).unsqueeze(2)
    by_head = (x.flatten(0, 1) for x in (q, k, v))
    # torch gives `apply` no types
    mixed: Tensor = _Attention.apply(*by_head, hidden, dropout)  # type: ignore[no-untyped-call]
    return mixed.view_as(q)


def _product(a: Tensor, b: Tensor, scale: float, plus: Tensor | None = None) -> Tensor:
    """scale * a b + plus in one pass."""
    if plus is None:
        return a.new_empty(1, 1, 1).baddbmm(a, b, beta=0.0, alpha=scale)
    return plus.baddbmm(a, b, alpha=scale)


def _largest(q: Tensor, k: Tensor) -> float:
    """A bound on all products by the lengths of queries and keys; to see them all costs more."""
    return float(q.square().sum(dim=1).amax().sqrt() * k.square().sum(dim=1).amax().sqrt())


class _Attention(torch.autograd.Function):
    """q, k, v: (M, w, L); hidden: (M, L, 1), -inf for a key that nobody may look at."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None, dropout: float
    ) -> Tensor:
        scale = _LOG2_E / math.sqrt(q.shape[1])
        weights = _product(k.transpose(1, 2), q, scale, hidden)
        if not scale * _largest(q, k) < _SAFE:
            weights.sub_(weights.amax(dim=1, keepdim=True))
        weights.exp2_()
        share = weights.sum(dim=1, keepdim=True).reciprocal_()
        left = weights * kept(weights, dropout) if dropout else weights
        mixed = torch.bmm(v, left).mul_(share)
        ctx.save_for_backward(q, k, v, weights, left, share, mixed)
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, left, share, mixed = ctx.saved_tensors
        grad = grad * share
        along = (grad * mixed).sum(dim=1, keepdim=True)  # what softmax's own gradient takes away
        scores = torch.bmm(v.transpose(1, 2), grad).mul_(left).addcmul_(weights, along, value=-1)
        scale = 1.0 / math.sqrt(q.shape[1])
        return (
            _product(k, scores, scale),
            _product(q, scores.transpose(1, 2), scale),
            torch.bmm(grad, left.transpose(1, 2)),
            None,
            None,
        )
