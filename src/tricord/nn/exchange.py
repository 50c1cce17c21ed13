"""Exchange between a clip's global vectors and its sequences (Sun et al. 2023, EMT).

Shapes: n clips; g (n, K, d), a vector for each of K modalities; x (n, L, d), one modality's frames,
with mask (n, L) bool, True for a frame, or None where all are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tricord.nn.attention import attention
from tricord.nn.chunks import Chunk, plan
from tricord.nn.dropout import Dropout
from tricord.nn.encoder import sinusoidal_positions
from tricord.types import Frames

_WIDER = 4  # the gated part's width by d


class ContextAttention(nn.Module):
    """Multi-head attention without biases before the output's."""

    def __init__(self, d: int, heads: int, dropout: float) -> None:
        super().__init__()
        if d % heads:
            raise ValueError(f"d = {d} is not a multiple of heads = {heads}")
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(d, d, bias=False)
        self.key_value = nn.Linear(d, 2 * d, bias=False)
        self.out = nn.Linear(d, d)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """x, (n, L, d), looks at context, (n, S, d), where mask, (n, S), is True."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        q, k, v = (self._by_head(part) for part in (self.query(x), key, value))
        dropout = self.dropout if self.training else 0.0
        if x is context:
            mixed = attention(q, k, v, mask, dropout)
        else:
            mixed = _across(q, k, v, mask, dropout)
        out: Tensor = self.out(mixed.permute(0, 3, 1, 2).flatten(2))
        return out

    def _by_head(self, x: Tensor) -> Tensor:
        """(n, L, d) -> (n, heads, d / heads, L)."""
        return x.view(*x.shape[:2], self.heads, -1).permute(0, 2, 3, 1).contiguous()


def _across(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """As `attention`, for keys of another number than queries."""
    where = None if mask is None else mask[:, None, None, :]
    q, k, v = (x.transpose(2, 3) for x in (q, k, v))
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=where, dropout_p=dropout)
    return mixed.transpose(2, 3)


class GatedFeedForward(nn.Module):
    """u * GELU(v) of two halves (u, v) of one linear map, and a map back."""

    def __init__(self, d: int, dropout: float) -> None:
        super().__init__()
        self.widen = nn.Linear(d, 2 * _WIDER * d)
        self.narrow = nn.Linear(_WIDER * d, d)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        u, v = self.widen(x).chunk(2, dim=-1)
        out: Tensor = self.dropout(self.narrow(u * F.gelu(v)))
        return out


class ExchangeBlock(nn.Module):
    """What one side makes of the other: `listen` to it, then `settle`; all with residuals."""

    def __init__(
        self, d: int, heads: int, attention_dropout: float, feedforward_dropout: float
    ) -> None:
        super().__init__()
        self.norm_listener = nn.LayerNorm(d)
        self.norm_context = nn.LayerNorm(d)
        self.listening = ContextAttention(d, heads, attention_dropout)
        self.norm_self = nn.LayerNorm(d)
        self.own = ContextAttention(d, heads, attention_dropout)
        self.norm_inner = nn.LayerNorm(d)
        self.inner = GatedFeedForward(d, feedforward_dropout)

    def listen(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """x + attention of LN(x) to LN(context), whose mask this is."""
        heard: Tensor = self.listening(self.norm_listener(x), self.norm_context(context), mask)
        return x + heard

    def settle(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Self-attention and the gated part."""
        normed = self.norm_self(x)
        x = x + self.own(normed, normed, mask)
        out: Tensor = x + self.inner(self.norm_inner(x))
        return out


class GlobalExchange(nn.Module):
    """The global vectors and all sequences inform each other ``depth`` times, with one block.

    In each round, from the old g and the old x of every modality m: x_m listens to g, g_m is g
    that has listened to x_m; the new g is a mean of all g_m, weighted by
    softmax over m of w2' tanh(W1 r_m + b1) + b2, with r_m the numbers of g_m in a row.
    """

    def __init__(
        self,
        d: int,
        modalities: int,
        *,
        heads: int,
        depth: int,
        attention_dropout: float,
        feedforward_dropout: float,
    ) -> None:
        super().__init__()
        self.depth = depth
        self.block = ExchangeBlock(d, heads, attention_dropout, feedforward_dropout)
        row = modalities * d
        self.pool = nn.Sequential(nn.Linear(row, row), nn.Tanh(), nn.Linear(row, 1))

    def forward(
        self, g: Tensor, present: Tensor, sequences: Sequence[Frames], *, final: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """(B, K, d) -> the last g, and the last frames of each sequence, (F, d).

        present: (B, K) bool, which of g may be listened to. Only sequences with frames have a say
        in the mean. final: whether the last frames are asked for; without them the last round
        leaves them out, and the list is empty.
        """
        seen = None if bool(present.all()) else present
        heard = torch.stack([x.lengths > 0 for x in sequences], dim=1).to(g.device)
        plans = [plan(x.lengths, g.device) for x in sequences]
        parts = [
            [(c, x + sinusoidal_positions(x.shape[1], x.shape[2], x)) for c, x in p.split(s.values)]
            if len(s.values)
            else []
            for p, s in zip(plans, sequences, strict=True)
        ]
        for layer in range(1, self.depth + 1):
            told = torch.stack([self._tell(g, of_one) for of_one in parts], dim=1)
            if final or layer < self.depth:
                parts = [[(c, self._inform(c, x, g, seen)) for c, x in ps] for ps in parts]
            g = self._mean(told, seen, heard)
        if not final:
            return g, []
        return g, [
            torch.cat([x.flatten(0, 1) for _, x in of_one]).index_select(0, p.back)
            if of_one
            else s.values
            for p, of_one, s in zip(plans, parts, sequences, strict=True)
        ]

    def _tell(self, g: Tensor, parts: Sequence[tuple[Chunk, Tensor]]) -> Tensor:
        """g that has listened to one modality; as it was for clips without frames of it."""
        if not parts:
            return g
        new = [self.block.listen(g[chunk.rows], x, chunk.mask) for chunk, x in parts]
        return g.index_copy(0, torch.cat([chunk.rows for chunk, _ in parts]), torch.cat(new))

    def _inform(self, chunk: Chunk, x: Tensor, g: Tensor, seen: Tensor | None) -> Tensor:
        mask = None if seen is None else seen[chunk.rows]
        return self.block.settle(self.block.listen(x, g[chunk.rows], mask), chunk.mask)

    def _mean(self, told: Tensor, seen: Tensor | None, heard: Tensor) -> Tensor:
        """(B, M, K, d) -> (B, K, d)."""
        mask = None if seen is None else seen.repeat_interleave(told.shape[1], dim=0)
        rows = self.block.settle(told.flatten(0, 1), _some(mask)).view(*told.shape[:2], -1)
        scores = self.pool(rows).squeeze(-1)
        weights = scores.masked_fill(~heard, torch.finfo(scores.dtype).min).softmax(dim=1)
        return torch.bmm(weights[:, None], rows).view(len(told), *told.shape[2:])


def _some(mask: Tensor | None) -> Tensor | None:
    """Rows of False as rows of True: attention needs something to look at."""
    return None if mask is None else mask | ~mask.any(dim=1, keepdim=True)
