"""Clips of similar length side by side: little padding, and activations that stay in cache."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK_FRAMES = 2048  # on a processor: at d = 32, what its caches hold
_ALIKE = 0.85  # the shortest clip of a chunk by its longest, once it has
_ENOUGH = 1024  # frames: padding against calls
_VECTOR = 16  # float32 numbers in the widest registers; longer rows are a multiple of it


@dataclass(frozen=True)
class Chunk:
    """n clips padded to L frames. rows: (n,) numbers in the batch. mask: (n, L), or None."""

    rows: Tensor
    mask: Tensor | None
    shape: tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """All clips that have frames, in chunks.

    places: the frame that stands at each place of the padded chunks, any frame where padded.
    back: the place of each frame.
    """

    chunks: Sequence[Chunk]
    places: Tensor
    back: Tensor

    @property
    def rows(self) -> Tensor:
        """Numbers in the batch of the clips, chunk by chunk."""
        return torch.cat([chunk.rows for chunk in self.chunks])

    def split(self, x: Tensor) -> Iterator[tuple[Chunk, Tensor]]:
        """(F, d) frames -> each chunk with its (n, L, d)."""
        # torch gives `apply` no types
        moved: Tensor = _Move.apply(x, self.places, self.back)  # type: ignore[no-untyped-call]
        parts = moved.split_with_sizes([math.prod(chunk.shape) for chunk in self.chunks])
        for chunk, part in zip(self.chunks, parts, strict=True):
            yield chunk, part.view(*chunk.shape, -1)


class _Move(torch.autograd.Function):
    """Rows to places and back: both ways are plain copies, where indexing would add up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return x[places]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad[ctx.saved_tensors[0]], None, None


def plan(lengths: Tensor, device: torch.device) -> Plan:
    """Sort clips of (B,) lengths into chunks; one chunk where the device is no processor."""
    each = lengths.numpy()
    starts = np.cumsum(each) - each
    order = np.argsort(-each, kind="stable")[: np.count_nonzero(each)]
    groups = _groups(each[order]) if device.type == "cpu" else [(len(order), int(each.max()))]
    chunks, places = [], []
    back = np.empty(int(each.sum()), dtype=np.int64)
    first = place = 0
    for clips, length in groups:
        rows = order[first : first + clips]
        steps = np.arange(length)
        mask = steps < each[rows, None]
        frames = starts[rows, None] + steps
        back[frames[mask]] = place + np.flatnonzero(mask)
        places.append(np.where(mask, frames, starts[rows, None]).ravel())
        real = None if mask.all() else torch.as_tensor(mask, device=device)
        chunks.append(Chunk(torch.as_tensor(rows, device=device), real, mask.shape))
        first, place = first + clips, place + mask.size
    joined = np.concatenate(places) if places else np.empty(0, dtype=np.int64)
    return Plan(
        chunks, torch.as_tensor(joined, device=device), torch.as_tensor(back, device=device)
    )


def _groups(falling: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Falling lengths -> (clips, padded length) of each chunk."""
    first = 0
    while first < len(falling):
        longest = int(falling[first])
        length = longest if longest < 4 * _VECTOR else -(-longest // _VECTOR) * _VECTOR
        rest = falling[first : first + max(1, CHUNK_FRAMES // length)]
        clips = max(int(np.count_nonzero(rest >= _ALIKE * longest)), _ENOUGH // length)
        clips = min(clips, len(rest))
        yield clips, length
        first += clips
