"""One pass over a sequence: all that the rules need to know of its frames."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.mapped import release
from tricord.data.schema import Ragged

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Tick = Callable[[int], None]  # told how many bytes were looked at

NAN, PLUS, MINUS = KINDS = ("NaN", "+inf", "-inf")
BLOCK_BYTES = 2**21  # stays in the processor's cache; memory beside the sequence is a few of these
_HASH_BYTES = 16  # 128 bits: no two of 10^6 different clips are taken for one


@dataclass(frozen=True)
class Scan:
    """What one modality of one split holds; N clips of L_i frames, D columns.

    lengths: (N,) frames. padded_length: what the source pads to.
    means: (N, D) time means of the finite cells; 0 where there is no frame.
    low, high: (D,) range of the finite cells; inf and -inf where there is none.
    unusable: per kind (NaN, +inf, -inf) the number of cells in each column, (D,).
    unusable_clips: (N,) True where a clip has such a cell.
    leading, trailing: (N,) frames at the front and at the end that are all zero; the whole length
        where no frame is anything else.
    hashes: (N,) 16 bytes each of the frames.
    """

    lengths: Ints
    padded_length: int
    means: Floats
    low: Floats
    high: Floats
    unusable: dict[str, Ints]
    unusable_clips: NDArray[np.bool_]
    leading: Ints
    trailing: Ints
    hashes: NDArray[np.bytes_]

    @property
    def width(self) -> int:
        """D."""
        return len(self.low)

    @property
    def absent(self) -> NDArray[np.bool_]:
        """(N,) clips without a frame."""
        return np.asarray(self.lengths == 0)

    @property
    def blank(self) -> NDArray[np.bool_]:
        """(N,) clips that have frames, all of them zero."""
        return np.asarray((self.lengths > 0) & (self.trailing == self.lengths))

    @property
    def cells(self) -> int:
        """Numbers in all frames."""
        return int(self.lengths.sum()) * self.width

    @property
    def constant(self) -> NDArray[np.bool_]:
        """(D,) columns whose finite cells are all the same."""
        return np.asarray(self.low == self.high)

    @property
    def empty(self) -> NDArray[np.bool_]:
        """(D,) columns without a finite cell, though there are frames."""
        return np.asarray((self.low > self.high) & bool(self.lengths.sum()))


def scan(ragged: Ragged, tick: Tick | None = None) -> Scan:
    """Look at every frame once, a block of clips at a time."""
    count, width = len(ragged), ragged.width if ragged.values.ndim > 1 else 1
    result = Scan(
        lengths=ragged.lengths,
        padded_length=ragged.padded_length,
        means=np.zeros((count, width), dtype=np.float32),
        low=np.full(width, np.inf, dtype=np.float32),
        high=np.full(width, -np.inf, dtype=np.float32),
        unusable={kind: np.zeros(width, dtype=np.int64) for kind in KINDS},
        unusable_clips=np.zeros(count, dtype=bool),
        leading=np.zeros(count, dtype=np.int64),
        trailing=np.zeros(count, dtype=np.int64),
        hashes=np.zeros(count, dtype=f"S{_HASH_BYTES}"),
    )
    with np.errstate(all="ignore"):  # sums of huge or infinite cells
        for rows in _blocks(ragged):
            first, last = ragged.offsets[rows[0]], ragged.offsets[rows[-1] + 1]
            frames = np.ascontiguousarray(ragged.values[first:last].reshape(last - first, width))
            _look(result, rows, ragged.offsets[rows] - first, frames.astype(np.float32, copy=False))
            release(ragged.values)
            if tick is not None:
                tick(frames.nbytes)
    return result


def _blocks(ragged: Ragged) -> Iterator[Ints]:
    """Rows of clips that have frames, together about a block in size, at least one clip each."""
    rows = np.flatnonzero(ragged.lengths)
    if not len(rows):
        return
    size = BLOCK_BYTES // (4 * max(1, ragged.width))
    block = ragged.offsets[rows] // max(1, size)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(block)) + 1, [len(rows)]])
    for start, end in pairwise(starts):
        yield rows[start:end]


def _look(result: Scan, rows: Ints, starts: Ints, frames: Floats) -> None:
    """Fill in what these clips say; frames (F, D), clip i begins at starts[i]."""
    lengths = result.lengths[rows]
    result.hashes[rows] = _hashes(frames, starts, lengths)
    filled = (frames != 0).any(axis=1)
    result.leading[rows], result.trailing[rows] = _edges(filled, starts, lengths)
    if not frames.shape[1]:
        return
    sums = np.add.reduceat(frames, starts, axis=0)
    low, high = frames.min(axis=0), frames.max(axis=0)
    if not np.isfinite(sums).all():
        finite = np.isfinite(frames)
        _count(result, rows, starts, frames, finite)
        low = np.where(finite, frames, np.float32(np.inf)).min(axis=0)
        high = np.where(finite, frames, np.float32(-np.inf)).max(axis=0)
        sums = np.add.reduceat(np.where(finite, frames, np.float32(0)), starts, axis=0)
    np.minimum(result.low, low, out=result.low)
    np.maximum(result.high, high, out=result.high)
    result.means[rows] = np.nan_to_num(sums / lengths[:, None].astype(np.float32))


def _count(
    result: Scan, rows: Ints, starts: Ints, frames: Floats, finite: NDArray[np.bool_]
) -> None:
    for kind, is_kind in ((NAN, np.isnan), (PLUS, np.isposinf), (MINUS, np.isneginf)):
        result.unusable[kind][:] += is_kind(frames).sum(axis=0)
    result.unusable_clips[rows] = np.logical_or.reduceat(~finite.all(axis=1), starts)


def _hashes(frames: Floats, starts: Ints, lengths: Ints) -> list[bytes]:
    data: Any = frames
    return [
        hashlib.blake2b(data[start : start + length], digest_size=_HASH_BYTES).digest()
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
    ]


def _edges(filled: NDArray[np.bool_], starts: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """Zero frames before the first and after the last filled one of each clip."""
    place = np.arange(len(filled))
    ends = starts + lengths
    nowhere = len(filled)
    first = np.minimum.reduceat(np.where(filled, place, nowhere), starts)
    last = np.maximum.reduceat(np.where(filled, place, -1), starts)
    leading = np.where(last < 0, lengths, first - starts)
    trailing = np.where(last < 0, lengths, ends - 1 - last)
    return np.asarray(leading, dtype=np.int64), np.asarray(trailing, dtype=np.int64)
