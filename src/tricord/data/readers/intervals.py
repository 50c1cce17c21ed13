"""Frames by their time: which of them overlap a segment, and their mean."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tricord.errors import DataError

EPSILON = 1e-5  # seconds; the SDK's: an overlap no longer than this is none
# How often the frames of a video may be used on average, and how many times it may be looked
# whether they are: more, and a small file would stand for any amount of memory and time.
MOST_USES = 16
_MOST_LOOKS = 2000
_FREE = 1 << 16  # uses and looks that are always fine
_LOOKS_AT_ONCE = 1 << 22

Ints = NDArray[np.int64]
Seconds = NDArray[np.float64]


class Timeline:
    """The intervals of n frames, in order of their start (then as they stand).

    intervals: (n, 2) seconds, in any order. A frame whose interval is not finite, ends before it
    starts, or is no longer than EPSILON covers no time and is in no segment.

    unusable: number of such frames. unsorted: whether the others stood in another order.
    """

    def __init__(self, intervals: Seconds) -> None:
        usable = _covers(intervals)
        kept = np.flatnonzero(usable)
        order = np.argsort(intervals[kept, 0], kind="stable")
        self.order: Ints = kept[order].astype(np.int64)
        self.starts, self.ends = intervals[self.order].T
        self.unusable = int(len(usable) - len(kept))
        self.unsorted = bool((np.diff(order) < 0).any())
        self._latest_end = np.maximum.accumulate(self.ends)

    def within(self, segments: Seconds) -> tuple[Ints, Ints]:
        """The frames that overlap each of (m, 2) segments by more than EPSILON.

        Returns their rows, in order of time, those of the first segment before those of the
        second; and (m,) how many each segment has. Raises DataError where so many segments
        overlap that the frames would be used more than MOST_USES times on average.
        """
        first, last = self._candidates(segments)
        looks, uses = int((last - first).sum()), self._uses(segments)
        frames = len(self.order)
        if uses > MOST_USES * frames + _FREE or looks > _MOST_LOOKS * frames + _FREE:
            raise DataError(
                f"{len(segments)} segments and {frames} intervals overlap {uses} times, which "
                f"takes {looks} comparisons, expected at most {MOST_USES} and {_MOST_LOOKS} for "
                "each interval"
            )
        counts = np.zeros(len(segments), np.int64)
        rows = [np.empty(0, np.int64)]
        for part in _parts(last - first):
            places, owner = _ranges(first[part], last[part])
            inside = self.ends[places] > segments[part, 0][owner] + EPSILON
            counts[part] = np.bincount(owner[inside], minlength=part.stop - part.start)
            rows.append(self.order[places[inside]])
        return np.concatenate(rows), counts

    def _candidates(self, segments: Seconds) -> tuple[Ints, Ints]:
        """Per segment the first and one past the last frame that may overlap it."""
        first = np.searchsorted(self._latest_end, segments[:, 0] + EPSILON, "right")
        last = np.searchsorted(self.starts, segments[:, 1] - EPSILON, "left")
        return first, np.where(_covers(segments), last, first)

    def _uses(self, segments: Seconds) -> int:
        """How many pairs overlap: frames that begin in time, less those that end before."""
        segments = segments[_covers(segments)]
        begun = np.searchsorted(self.starts, segments[:, 1] - EPSILON, "left")
        over = np.searchsorted(np.sort(self.ends), segments[:, 0] + EPSILON, "right")
        return int(begun.sum() - over.sum())


def means(features: NDArray[np.floating], rows: Ints, counts: Ints) -> NDArray[np.float32]:
    """(m, width) plain means over the frames of each segment; zeros where it has none.

    rows, counts: as from `Timeline.within`. A frame counts the same however much of it lies in
    the segment. A mean over a number that is not finite is not finite.
    """
    out = np.zeros((len(counts), features.shape[1]), np.float32)
    filled = np.flatnonzero(counts)
    if len(filled):
        begins = (np.cumsum(counts) - counts)[filled]
        with np.errstate(all="ignore"):
            sums = np.add.reduceat(features[rows].astype(np.float64), begins, axis=0)
            out[filled] = sums / counts[filled, None]
    return out


def _covers(intervals: Seconds) -> NDArray[np.bool_]:
    """Whether each covers time."""
    finite = np.isfinite(intervals).all(axis=1)
    with np.errstate(all="ignore"):
        return np.asarray(finite & (intervals[:, 1] - intervals[:, 0] > EPSILON))


def _parts(looks: Ints) -> Iterator[slice]:
    """Segments in groups that are looked at together."""
    start, total = 0, 0
    for i, look in enumerate(looks.tolist()):
        if total + look > _LOOKS_AT_ONCE and i > start:
            yield slice(start, i)
            start, total = i, 0
        total += look
    yield slice(start, len(looks))


def _ranges(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """first[i], ..., last[i] - 1 for all i; and the i of each."""
    lengths = last - first
    owner = np.repeat(np.arange(len(first)), lengths)
    ends = np.cumsum(lengths)
    return np.arange(lengths.sum()) + (first - (ends - lengths))[owner], owner
