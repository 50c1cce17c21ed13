"""One computational sequence cut into the clips of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tricord.data.readers.hdf5_safe import Entry, open_csd
from tricord.data.readers.intervals import Ints, Seconds, Timeline, means
from tricord.errors import DataError

Steps = Mapping[str, Seconds]


@dataclass(frozen=True)
class Clip:
    """A labelled segment.

    number: of the segment, where files are aligned to the labels. interval: (2,) seconds.
    """

    id: str
    video: str
    number: int | None
    interval: Seconds
    score: float


@dataclass(frozen=True)
class Survey:
    """What is known of a sequence without its numbers.

    lengths: clip -> steps. words: clip -> its words, None for numbers.
    steps: clip -> (length, 2) the intervals of its frames, for a sequence that others follow.
    """

    name: str
    path: Path
    root: str
    metadata: Mapping[str, str]
    width: int
    lengths: Mapping[str, int]
    words: Mapping[str, tuple[str, ...]] | None
    steps: Steps | None
    notices: tuple[str, ...]


@dataclass(frozen=True)
class _Cut:
    """Where the frames of a clip are in one entry.

    rows: (M,) of the entry, step after step. counts: (L,) how many frames each step is the mean
    of; None where each frame is a step.
    """

    clip: Clip
    entry: Entry
    timeline: Timeline
    rows: Ints
    counts: Ints | None

    @property
    def length(self) -> int:
        """L; 0 where the clip has no frame at all."""
        if self.counts is None or not len(self.rows):
            return len(self.rows)
        return len(self.counts)


def survey(name: str, path: Path, clips: list[Clip], steps: Steps | None) -> Survey:
    """How long each clip is in this sequence; steps: those of the reference to be aligned to."""
    lengths = dict.fromkeys((clip.id for clip in clips), 0)
    words: dict[str, tuple[str, ...]] = {}
    own: dict[str, Seconds] = {}
    notes = _Notes(name, {clip.video for clip in clips})
    width: int | None = None
    with open_csd(path, features=False, videos=notes.wanted) as sequence:
        for cut in _cuts(path, sequence.entries, clips, steps):
            width = cut.entry.width
            lengths[cut.clip.id] = cut.length
            notes.count(cut)
            if steps is None:
                own[cut.clip.id] = cut.entry.intervals[cut.rows]
            if cut.entry.words is not None:
                words[cut.clip.id] = tuple(cut.entry.words[i] for i in dict.fromkeys(cut.rows))
        root, metadata = sequence.root, sequence.metadata
    if width is None:
        raise DataError(f"{path}: no frame of a labelled video found, expected some for {name!r}")
    return Survey(
        name=name,
        path=path,
        root=root,
        metadata=metadata,
        width=width,
        lengths=lengths,
        words=words or None,
        steps=own if steps is None else None,
        notices=tuple(notes.lines(lengths)),
    )


def read_frames(
    found: Survey, clips: list[Clip], steps: Steps | None, columns: tuple[int, ...] | None
) -> NDArray[np.float32]:
    """The frames of these clips, in their order, back to back: (F, width or columns) float32.

    Raises DataError where the file is not what it was when it was surveyed.
    """
    buffer = bytearray()  # grows in place; a list of arrays would be held twice when joined
    places = {clip.id: i for i, clip in enumerate(clips)}
    last = -1
    changed = DataError(f"{found.path}: has changed since it was opened")
    with open_csd(found.path, videos={clip.video for clip in clips}) as sequence:
        for cut in _cuts(found.path, sequence.entries, clips, steps):
            features = cut.entry.features
            if features is None or features.shape[1] != found.width or places[cut.clip.id] < last:
                raise changed
            last = places[cut.clip.id]
            if cut.length != found.lengths[cut.clip.id]:
                raise changed
            if columns is not None:
                features = features[:, list(columns)]
            buffer += _frames(features, cut).tobytes()
    width = found.width if columns is None else len(columns)
    values = np.frombuffer(buffer, np.float32)
    expected = sum(found.lengths[clip.id] for clip in clips)
    if values.size != expected * width:
        raise changed
    return values.reshape(expected, width)


def _frames(features: NDArray[np.floating], cut: _Cut) -> NDArray[np.float32]:
    if not cut.length:
        return np.empty(0, np.float32)
    if cut.counts is not None:
        return means(features, cut.rows, cut.counts)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is counted
        return features[cut.rows].astype(np.float32)


def shortly(videos: set[str]) -> str:
    """How many, and the first few of them."""
    more = ", ..." if len(videos) > 3 else ""
    return f"{len(videos)} videos ({', '.join(sorted(videos)[:3])}{more})"


# ------------------------------------------------------------------ cutting


def _cuts(
    path: Path, entries: Iterator[Entry], clips: list[Clip], steps: Steps | None
) -> Iterator[_Cut]:
    """The clips that this sequence has something to say of, in their order."""
    by_video: dict[str, list[Clip]] = {}
    for clip in clips:
        by_video.setdefault(clip.video, []).append(clip)
    for video, group in groupby(_alike(path, entries), key=lambda entry: entry.video):
        for entry, part in _shares(list(group), by_video.get(video, [])):
            try:
                yield from _cut(entry, part, steps)
            except DataError as error:
                raise DataError(f"{path}: video {video!r}: {error}") from None


def _alike(path: Path, entries: Iterator[Entry]) -> Iterator[Entry]:
    """The entries that hold a frame; raises DataError unless all have one width."""
    first: Entry | None = None
    for entry in entries:
        if not len(entry.intervals):
            continue
        first = first or entry
        if _kind(entry) != _kind(first):
            raise DataError(
                f"{path}: video {entry.video!r}: {_kind(entry)} found, expected {_kind(first)} as "
                f"in {first.video!r}"
            )
        yield entry


def _kind(entry: Entry) -> str:
    return "words" if entry.words is not None else f"{entry.width} numbers a frame"


def _shares(entries: list[Entry], clips: list[Clip]) -> Iterator[tuple[Entry, list[Clip]]]:
    """Which entry the clips of a video are cut from."""
    numbered = {entry.number: entry for entry in entries if entry.number is not None}
    if numbered and any(clip.number is not None for clip in clips):  # both aligned to the labels
        yield from ((numbered[c.number], [c]) for c in clips if c.number in numbered)
    elif clips:
        yield _merged(entries), clips


def _merged(entries: list[Entry]) -> Entry:
    """All entries of a video as one, which belongs to no single segment."""
    features = [entry.features for entry in entries if entry.features is not None]
    words = [entry.words for entry in entries if entry.words is not None]
    return Entry(
        video=entries[0].video,
        number=None,
        intervals=np.concatenate([entry.intervals for entry in entries]),
        width=entries[0].width,
        features=np.concatenate(features) if features else None,
        words=tuple(word for part in words for word in part) if words else None,
    )


def _cut(entry: Entry, clips: list[Clip], steps: Steps | None) -> Iterator[_Cut]:
    timeline = Timeline(entry.intervals)
    if steps is None:
        rows, counts = timeline.within(np.stack([clip.interval for clip in clips]))
        for clip, part in zip(clips, _pieces(rows, counts), strict=True):
            yield _Cut(clip, entry, timeline, part, None)
        return
    references = [steps.get(clip.id, np.empty((0, 2))) for clip in clips]
    rows, counts = timeline.within(np.concatenate(references))
    lengths = np.array([len(reference) for reference in references])
    for clip, part, own in zip(
        clips,
        _pieces(rows, np.array([c.sum() for c in _pieces(counts, lengths)])),
        _pieces(counts, lengths),
        strict=True,
    ):
        yield _Cut(clip, entry, timeline, part, own)


def _pieces(array: Ints, lengths: Ints) -> list[Ints]:
    """The array in pieces of these lengths."""
    return np.split(array, np.cumsum(lengths)[:-1])


class _Notes:
    """Counts what a notice will say."""

    def __init__(self, name: str, wanted: set[str]) -> None:
        self.name = name
        self.wanted = wanted
        self.seen: set[tuple[str, int | None]] = set()
        self.unsorted: set[str] = set()
        self.unusable = self.steps = self.gaps = 0

    def count(self, cut: _Cut) -> None:
        place = (cut.clip.video, cut.entry.number)
        if place not in self.seen:
            self.seen.add(place)
            self.unusable += cut.timeline.unusable
            if cut.timeline.unsorted:
                self.unsorted.add(cut.clip.video)
        if cut.counts is not None and cut.length and cut.entry.words is None:
            self.steps += cut.length
            self.gaps += int((cut.counts == 0).sum())

    def lines(self, lengths: Mapping[str, int]) -> Iterator[str]:
        missing = self.wanted - {video for video, _ in self.seen}
        absent = sum(length == 0 for length in lengths.values())
        if missing:
            yield f"{self.name}: {shortly(missing)} not found"
        if absent:
            yield f"{self.name}: {absent} of {len(lengths)} clips without a frame"
        if self.unusable:
            yield f"{self.name}: {self.unusable} intervals cover no time and are in no clip"
        if self.unsorted:
            yield f"{self.name}: {shortly(self.unsorted)} not in order of time, sorted"
        if self.gaps:
            yield f"{self.name}: {self.gaps} of {self.steps} steps without a frame, zeros there"
