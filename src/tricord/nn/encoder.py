"""UnimodalEncoder: [BatchNorm] -> Conv1d -> Transformer -> mean -> L2 norm (Eq. 1-4).

Shapes: x (B, L, width), mask (B, L) bool with True for a real frame, hidden (B, L, d), h (B, d).
Without a mask every frame counts, zero padding included (fidelity 1, ``padding="ignored"``).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tricord.nn.dropout import Dropout

_LARGEST = 1e10  # far beyond any feature; squares of much larger numbers are infinite in float32


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the real frames of (B, L, width); padding becomes 0.

    With fewer than two real frames in training mode there is no variance to take, so the running
    statistics are used and left as they are.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, width) -> (B, L, width)."""
        if mask is None:  # torch's own order of summation, so that running statistics agree
            return self._normalise(x.transpose(1, 2), x.shape[0] * x.shape[1]).transpose(1, 2)
        frames = x[mask]
        frames = self._normalise(frames, len(frames))
        return x.new_zeros(x.shape).masked_scatter(mask.unsqueeze(-1), frames)

    def _normalise(self, x: Tensor, frames: int) -> Tensor:
        if self.training and frames < 2:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


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

    def forward(self, x: Tensor, attend: Tensor | None) -> Tensor:
        """(B, L, d) -> (B, L, d); attend: (B, 1, 1, L), True where a frame may be looked at."""
        batch, length, d = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(batch, length, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=attend, dropout_p=self.dropout if self.training else 0.0
        )
        mixed = mixed.transpose(1, 2).reshape(batch, length, d)
        out: Tensor = self.out_proj(mixed)
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

    def forward(self, x: Tensor, attend: Tensor | None) -> Tensor:
        """(B, L, d) -> (B, L, d)."""
        x = x + self.dropout(self.self_attn(self.norm1(x), attend))
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
    """Eq. 3: the mean over real frames, (B, L, d) -> (B, d); 0 where there is none."""
    if mask is None:
        return hidden.mean(dim=1)
    kept = hidden.masked_fill(~mask.unsqueeze(-1), 0.0)
    return kept.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


class UnimodalEncoder(nn.Module):
    """f_k of Eq. 1-4: a sequence to one unit vector.

    width: numbers per frame; d: shared width; input_norm: batch normalisation first (audio,
    vision); positions: add sinusoidal positions (the paper has none).
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
        self.norm = MaskedBatchNorm(width) if input_norm else None
        self.proj = nn.Conv1d(width, d, kernel_size=1, bias=False)
        self.layers = nn.ModuleList(
            EncoderLayer(d, heads, feedforward, dropout, attention_dropout) for _ in range(layers)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """h, (B, d): unit rows (Eq. 4), 0 where a clip has no real frame."""
        x = x.clamp(-_LARGEST, _LARGEST)
        if self.norm is not None:
            x = self.norm(x, mask)
        if mask is None:  # the released code's own operation, so that its runs repeat closely
            hidden = self.proj(x.transpose(1, 2)).transpose(1, 2)
        else:  # the same product, of kernel size 1, at under half the time
            hidden = F.linear(x, self.proj.weight.squeeze(-1))
        if self.positions:
            hidden = hidden + sinusoidal_positions(hidden.shape[1], hidden.shape[2], hidden)
        attend = None
        if mask is not None and not bool(mask.all()):
            # a clip without frames attends to its padding: no NaN, and Eq. 3 drops the result
            attend = (mask | ~mask.any(dim=1, keepdim=True))[:, None, None, :]
        for layer in self.layers:
            hidden = layer(hidden, attend)
        return F.normalize(masked_mean(hidden, mask), dim=-1)
