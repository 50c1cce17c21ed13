"""SFTTR's network piece by piece: encoders of sequences, parts, cross encoders.

Sun and Tian, COLING 2025. B clips; E the width of an encoder's vector, h = E / 2 that of a part;
F frames of all clips, L of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tricord.nn.chunks import Plan, plan
from tricord.nn.dropout import Dropout
from tricord.nn.encoder import SelfAttention, masked_mean
from tricord.types import Frames, inside

if TYPE_CHECKING:
    from tricord.models.baselines.sfttr import SFTTRConfig


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers of these widths with exact GELU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.GELU(), nn.Linear(inputs, outputs)]
    return nn.Sequential(*layers[1:])


class PostNormLayer(nn.Module):
    """Transformer layer with its norms behind the sums and exact GELU (Vaswani et al. 2017)."""

    def __init__(
        self, d: int, heads: int, feedforward: int, dropout: float, inner: float, eps: float
    ) -> None:
        """inner: dropout between the two products of the feed-forward part."""
        super().__init__()
        self.self_attn = SelfAttention(d, heads, dropout)
        self.linear1 = nn.Linear(d, feedforward)
        self.linear2 = nn.Linear(feedforward, d)
        self.norm1 = nn.LayerNorm(d, eps)
        self.norm2 = nn.LayerNorm(d, eps)
        self.dropout = Dropout(dropout)
        self.inner = Dropout(inner)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, L, d) -> (n, L, d); mask: (n, L) bool, True where one may look."""
        x = self.norm1(x + self.dropout(self.self_attn(x, mask)))
        hidden = self.inner(F.gelu(self.linear1(x)))
        out: Tensor = self.norm2(x + self.dropout(self.linear2(hidden)))
        return out


class SequenceEncoder(nn.Module):
    """x_k for audio or vision: class token, positions, Transformer, norm, mean over time.

    The two layers in ``unused`` are never run and never trained: the published sizes count them.
    """

    def __init__(self, config: SFTTRConfig, name: str, width: int) -> None:
        super().__init__()
        d = config.width
        self.longest = config.positions[name]
        self.padding_from, self.pooling = config.padding_from, config.pooling
        self.proj = nn.Linear(width, d)
        self.class_token = nn.Parameter(torch.ones(d))
        self.positions = nn.Parameter(torch.zeros(self.longest + 1, d))
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(
            PostNormLayer(d, config.heads, config.feedforward, config.dropout, config.dropout, 1e-5)
            for _ in range(config.layers[name])
        )
        self.norm = nn.LayerNorm(d)
        self.unused = nn.ModuleList([nn.Linear(width, d), nn.Linear(d, d)]).requires_grad_(False)

    def forward(self, x: Frames) -> Tensor:
        """(B, E); a clip without frames is its class token alone."""
        x = self._fit(x)
        hidden, seen = self._with_class_token(x)
        chunks = plan(x.lengths + 1, hidden.device)
        pooled = [
            self._mean(part, chunk.mask, looked)
            for (chunk, part), looked in zip(
                chunks.split(hidden), _looked_at(chunks, seen), strict=True
            )
        ]
        means = hidden.new_zeros(len(x), hidden.shape[1])
        return means.index_copy(0, chunks.rows, torch.cat(pooled))

    def _fit(self, x: Frames) -> Frames:
        """The frames that have a position, and zeros at all other positions if these count."""
        if bool((x.lengths > self.longest).any()):
            starts = x.lengths.cumsum(0) - x.lengths
            place = torch.arange(len(x.values)) - starts.repeat_interleave(x.lengths)
            kept = (place < self.longest).to(x.values.device)
            x = Frames(x.values[kept], x.lengths.clamp(max=self.longest))
        if self.pooling == "frames":
            return x
        padded, _ = x.pad(self.longest)
        whole = torch.full_like(x.lengths, self.longest)
        return Frames(padded.flatten(0, 1), whole, real=x.lengths)

    def _with_class_token(self, x: Frames) -> tuple[Tensor, Tensor | None]:
        """(F + B, E) frames behind each clip's class token, and (F + B,) bool as `_real`."""
        size = len(x.values) + len(x)
        owner = torch.arange(len(x)).repeat_interleave(x.lengths)
        places = (torch.arange(len(x.values)) + owner + 1).to(x.values.device)
        hidden = self.class_token.expand(size, -1).index_copy(0, places, self.proj(x.values))
        real = self._real(x)
        if real is not None:
            real = real.new_ones(size).index_copy(0, places, real)
        return hidden, real

    def _real(self, x: Frames) -> Tensor | None:
        """(F,) bool: which frames are no padding; None where all are."""
        if self.padding_from == "zero_sum":
            real = x.values.sum(dim=1) != 0
            firsts = (x.lengths.cumsum(0) - x.lengths)[x.lengths > 0]
            return real.index_fill(0, firsts.to(real.device), True)
        if x.real is None:
            return None
        return inside(x.real, self.longest).flatten().to(x.values.device)

    def _mean(self, hidden: Tensor, mask: Tensor | None, looked: Tensor | None) -> Tensor:
        """(n, L, E) -> (n, E). mask: what is there at all; looked: what of it is no padding."""
        beyond = hidden.shape[1] - len(self.positions)  # chunks may be longer than any clip
        hidden = self.dropout(hidden + F.pad(self.positions, (0, 0, 0, beyond)))
        for layer in self.layers:
            hidden = layer(hidden, looked)
        return masked_mean(self.norm(hidden), mask if self.pooling == "all_positions" else looked)


def _looked_at(chunks: Plan, seen: Tensor | None) -> list[Tensor | None]:
    """(n, L) bool of each chunk, what attention may look at; None where that is all."""
    masks = [chunk.mask for chunk in chunks.chunks]
    if seen is None:
        return masks
    parts = [part.squeeze(-1) > 0 for _, part in chunks.split(seen[:, None].float())]
    return [p if m is None else p & m for p, m in zip(parts, masks, strict=True)]


class Part(nn.Sequential):
    """Half of what a vector says: dropout(tanh(W LN(x) + b)), (B, E) -> (B, h)."""

    def __init__(self, width: int, half: int, dropout: float) -> None:
        norm, linear = nn.LayerNorm(width), nn.Linear(width, half)
        super().__init__(norm, linear, nn.Tanh(), nn.Dropout(dropout))


class CrossEncoder(nn.Module):
    """A small BERT over a few vectors in place of words (Devlin et al. 2019)."""

    def __init__(self, config: SFTTRConfig) -> None:
        super().__init__()
        d, eps = config.width // 2, 1e-12
        self.positions = nn.Parameter(torch.empty(config.cross_positions, d))
        self.types = nn.Parameter(torch.empty(2, d))
        nn.init.normal_(self.positions, std=0.02)  # as BERT has it
        nn.init.normal_(self.types, std=0.02)
        self.norm = nn.LayerNorm(d, eps)
        self.dropout = Dropout(config.cross_dropout)
        self.layers = nn.ModuleList(
            PostNormLayer(
                d, config.cross_heads, config.cross_feedforward, config.cross_dropout, 0.0, eps
            )
            for _ in range(config.cross_layers)
        )

    def forward(self, tokens: Tensor, types: Sequence[int]) -> Tensor:
        """(B, n, h) -> (B, n, h); types: of the n tokens, 0 or 1."""
        x = tokens + self.positions[: tokens.shape[1]] + self.types[list(types)]
        hidden: Tensor = self.dropout(self.norm(x))
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden
