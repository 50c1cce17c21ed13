"""What every vision extractor is: pictures in, one row a picture out, faceless ones marked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tricord.track import Track

Image = NDArray[np.uint8]
Row = NDArray[np.float32]
FACE = "face"  # the first column: 1 where the frame has a face, else 0


class Picture(Protocol):
    """image: (H, W, 3) uint8 RGB, upright. time: seconds from the beginning of the file."""

    @property
    def time(self) -> float: ...

    @property
    def image(self) -> Image: ...


@dataclass(frozen=True)
class Sight:
    """What was seen in a clip.

    track: one row a picture, also where there is no face: there column `FACE` is 0, and the others
        are the mean of the clip's frames that have one, so that the clip's means stay as they are.
        No rows (the clip lacks the modality) where no picture has a face.
    frames, faces: pictures looked at, and those with a face.
    """

    track: Track
    frames: int
    faces: int


@dataclass(frozen=True)
class Extractor:
    """Pictures to a `Sight`, always the same way.

    name, version: of the extractor; the version changes whenever its numbers do.
    rate: pictures a second that it wants.
    columns: names of the numbers of a row; the first is `FACE`.
    measure: pictures in order of time -> a row of each, (width - 1,) float32 without `FACE`, or
        None where there is no face. It may remember earlier ones of the same clip, never other
        clips.
    settings: what else decides the numbers (how a face is chosen, ...), as plain JSON values.
    tools: the libraries behind it and their versions.
    notice: what a user has to know before using it, such as a licence.
    """

    name: str
    version: int
    rate: float
    columns: tuple[str, ...]
    measure: Callable[[Iterator[Picture]], Iterator[Row | None]] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    notice: str | None = None

    def __call__(self, pictures: Iterable[Picture]) -> Sight:
        """The features of one clip; holds one row a picture, never the pictures."""
        times: list[float] = []

        def timed() -> Iterator[Picture]:
            for picture in pictures:
                times.append(picture.time)
                yield picture

        rows = list(self.measure(timed()))
        return self._sight(rows, np.array(times, dtype=np.float64))

    def _sight(self, rows: list[Row | None], times: NDArray[np.float64]) -> Sight:
        seen = np.array([row is not None for row in rows], dtype=bool)
        if not seen.any():
            nothing = np.zeros((0, len(self.columns)), dtype=np.float32)
            return Sight(Track(nothing, times[:0], self.columns), len(rows), 0)
        values = np.zeros((len(rows), len(self.columns)), dtype=np.float32)
        values[seen, 0] = 1
        values[seen, 1:] = np.stack([row for row in rows if row is not None])
        values[~seen, 1:] = values[seen, 1:].mean(axis=0, dtype=np.float64)
        return Sight(Track(values, times, self.columns), len(rows), int(seen.sum()))

    def describe(self) -> dict[str, Any]:
        """All that decides the numbers, as plain JSON values: two that agree here are equal."""
        return {
            "name": self.name,
            "version": self.version,
            "rate": self.rate,
            "columns": list(self.columns),
            "settings": dict(self.settings),
            "tools": dict(self.tools),
        }
