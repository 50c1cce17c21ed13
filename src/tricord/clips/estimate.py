"""What an extraction will take, in time and disk, from the length of the clips and a few done."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tricord.clips.clip import Clip, ClipFeatures
from tricord.clips.measure import content_of
from tricord.errors import DataError

SAMPLES = 2  # clips that an estimate is made from
COPIES = 2  # of the features on the disk: for the next run, and in the store
SPARE = 1 << 26  # bytes to leave free beside them


@dataclass(frozen=True)
class Estimate:
    """seconds: of time, to the end. bytes: of the disk, in all. media_seconds: of all clips."""

    seconds: float
    bytes: float
    media_seconds: float


def lengths(clips: Sequence[Clip]) -> list[float]:
    """Seconds of each clip, as its file declares them; 0 where it cannot be opened.

    A second or so for a thousand files, since nothing is decoded unless a file declares nothing.
    """
    known: dict[Path, float] = {}
    for clip in clips:
        if clip.path not in known:
            known[clip.path] = _length(clip.path)
    return [
        max(0.0, min(known[clip.path], clip.end or known[clip.path]) - clip.start) for clip in clips
    ]


def _length(path: Path) -> float:
    try:
        return content_of(path).duration
    except DataError:
        return 0.0


def typical(seconds: Sequence[float], count: int) -> list[int]:
    """Numbers of so many clips that are done first: those of middle length, with none of 0."""
    order = sorted((i for i, length in enumerate(seconds) if length), key=lambda i: seconds[i])
    first = max(0, (len(order) - count) // 2)
    return order[first : first + count]


def estimate(
    done: Sequence[tuple[ClipFeatures, float]], media_seconds: float, left: float, workers: int
) -> Estimate:
    """From clips that were measured, and the time that each took.

    media_seconds: of all clips. left: of those that are still to be measured.
    """
    measured = sum(features.duration for features, _ in done)
    size = sum(bytes_of(features) for features, _ in done)
    share = 1 / measured if measured else 0.0
    return Estimate(
        seconds=sum(seconds for _, seconds in done) * share * left / workers,
        bytes=size * share * media_seconds * COPIES,
        media_seconds=media_seconds,
    )


def bytes_of(features: ClipFeatures) -> int:
    """Of the tracks of a clip."""
    return sum(t.values.nbytes + t.times.nbytes for t in features.tracks.values())


def check_room(needed: float, places: Sequence[Path]) -> None:
    """Raises DataError where a disk is too full. needed: bytes in all, in equal parts."""
    disks: dict[int, tuple[Path, float]] = {}
    for place in places:
        there = next(p for p in (place.absolute(), *place.absolute().parents) if p.exists())
        disk = there.stat().st_dev
        disks[disk] = there, disks.get(disk, (there, 0.0))[1] + needed / len(places)
    for there, wanted in disks.values():
        free = shutil.disk_usage(there).free
        if wanted + SPARE > free:
            raise DataError(
                f"{there}: about {wanted / 1e6:.0f} MB needed, and the disk has "
                f"{free / 1e6:.0f} MB left"
            )
