"""UnimodalEncoder: [BatchNorm] -> Conv1d -> Transformer -> mean -> L2 norm (Eq. 1-4).

Shapes: F frames of B clips, one clip after the other; n of these clips padded to L frames, x
(n, L, d) with mask (n, L) bool, True for a frame, or None where all are; h (B, d).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tricord.nn.attention import attention
from tricord.nn.chunks import plan
from tricord.nn.dropout import Dropout
from tricord.types import Frames

_LARGEST = 1e10  # far beyond any feature; squares of much larger numbers are infinite in float32


class FrameNorm(nn.BatchNorm1d):
    """Batch normalisation over all frames.

    With fewer than two frames in training mode there is no variance to take, so the running
    statistics are used and left as they are.
    """

    def forward(self, x: Tensor, clips: int | None = None) -> Tensor:
        """(F, width) -> (F, width).

        clips: their number where all have as many frames. The sums then run in the order of the
        released code, so that its runs repeat.
        """
        if self.training and len(x) < 2:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        if clips is None:
            return super().forward(x)
        by_clip = x.view(clips, -1, x.shape[1]).transpose(1, 2)
        return super().forward(by_clip).transpose(1, 2).reshape(x.shape)


class SelfAttention(nn.Module):
    """Multi-head self-attention; parameters are named and initialised as in torch's own."""

    def __init__(self, d: int, heads: int, dropout: float) -> None:
        super().__init__()
        if d % heads:
            raise ValueError(f"d = {d} is not a multiple of heads = {heads}")
        self.heads = heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * d, d))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d))
        self.out_proj = nn.Linear(d, d)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(n, L, d) -> (n, L, d)."""
        clips, length, d = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        qkv = qkv.view(clips, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 4, 1).contiguous()
        mixed = attention(q, k, v, mask, self.dropout if self.training else 0.0)
        out: Tensor = self.out_proj(mixed.reshape(clips, d, length).transpose(1, 2))
        return out


class EncoderLayer(nn.Module):
    """Pre-norm Transformer layer with a ReLU feed-forward part (fidelity 18)."""

    def __init__(
        self, d: int, heads: int, feedforward: int, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.self_attn = SelfAttention(d, heads, attention_dropout)
        self.linear1 = nn.Linear(d, feedforward)
        self.linear2 = nn.Linear(feedforward, d)
        self.norm1 = nn.LayerNorm(d)
        self.norm2 = nn.LayerNorm(d)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(n, L, d) -> (n, L, d)."""
        x = x + self.dropout(self.self_attn(self.norm1(x), mask))
        inner = self.dropout(F.relu(self.linear1(self.norm2(x))))
        out: Tensor = x + self.dropout(self.linear2(inner))
        return out


def sinusoidal_positions(length: int, d: int, like: Tensor) -> Tensor:
    """(length, d) sine and cosine positions (Vaswani et al. 2017, section 3.5)."""
    step = torch.arange(length, dtype=like.dtype, device=like.device)[:, None]
    rate = torch.exp(
        torch.arange(0, d, 2, dtype=like.dtype, device=like.device) * (-math.log(10000.0) / d)
    )
    return torch.stack([torch.sin(step * rate), torch.cos(step * rate)], dim=-1).flatten(1)[:, :d]


def masked_mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Eq. 3: the mean over frames, (n, L, d) -> (n, d); 0 where there is none."""
    if mask is None:
        return hidden.mean(dim=1)
    weights = mask.to(hidden.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.bmm(weights[:, None], hidden).squeeze(1)


class UnimodalEncoder(nn.Module):
    """f_k of Eq. 1-4: a sequence to one unit vector.

    width: numbers per frame; d: shared width; input_norm: batch normalisation first (audio,
    vision); positions: add sinusoidal positions (the paper has none). ``recompute``, set on the
    instance, computes the layers again in the backward pass instead of keeping what they need.
    """

    def __init__(
        self,
        width: int,
        d: int,
        *,
        layers: int,
        heads: int,
        feedforward: int,
        dropout: float,
        attention_dropout: float,
        input_norm: bool,
        positions: bool = False,
    ) -> None:
        super().__init__()
        self.positions = positions
        self.recompute = False
        self.norm = FrameNorm(width) if input_norm else None
        self.proj = nn.Conv1d(width, d, kernel_size=1, bias=False)
        self.layers = nn.ModuleList(
            EncoderLayer(d, heads, feedforward, dropout, attention_dropout) for _ in range(layers)
        )

    def forward(self, x: Frames) -> Tensor:
        """h, (B, d): unit rows (Eq. 4), 0 where a clip has no frame."""
        values = x.values.clamp(-_LARGEST, _LARGEST)
        if self.norm is not None:
            values = self.norm(values, None if x.real is None else len(x))
        hidden = F.linear(values, self.proj.weight.squeeze(-1))  # a convolution of size 1
        means = hidden.new_zeros(len(x), hidden.shape[1])
        if len(hidden):
            chunks = plan(x.lengths, hidden.device)
            pooled = [self._pool(part, chunk.mask) for chunk, part in chunks.split(hidden)]
            means = means.index_copy(0, chunks.rows, torch.cat(pooled))
        return F.normalize(means, dim=-1)

    def _pool(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        if not self.recompute:
            return self._mean(hidden, mask)
        pooled: Tensor = checkpoint(self._mean, hidden, mask, use_reentrant=False)
        return pooled

    def _mean(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        if self.positions:
            hidden = hidden + sinusoidal_positions(hidden.shape[1], hidden.shape[2], hidden)
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return masked_mean(hidden, mask)
