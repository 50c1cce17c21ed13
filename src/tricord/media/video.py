"""The pictures of a file at ticks of a clock, upright, one at a time."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from tricord.media.source import check_range
from tricord.media.track import Decoded, Track

if TYPE_CHECKING:
    import av
    from av.sidedata.sidedata import SideDataContainer

Image = NDArray[np.uint8]

ROUNDING = Fraction(1, 2000)  # seconds; Matroska rounds time stamps to milliseconds
NO_TIME = Fraction(1, 1_000_000)  # seconds; a sum of floats may lie that much before a tick
WIDEST = 4  # widths of a pixel over its height beyond this are mistakes of the header


@dataclass(frozen=True)
class VideoFrame:
    """What is on the screen at `time`: an image (H, W, 3) uint8 RGB, upright, square pixels.

    time: of the tick, seconds from the beginning of the file. shown: when this picture came on the
    screen, at or before the tick; ticks that share it share the image, which is read-only.
    """

    time: float
    shown: float
    image: Image


class Turn(NamedTuple):
    """How a stored picture becomes upright: swap its axes, then mirror."""

    swap: bool
    mirror_x: bool
    mirror_y: bool

    def apply(self, image: Image) -> Image:
        if self.swap:
            image = image.transpose(1, 0, 2)
        return np.ascontiguousarray(
            image[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]
        )


UPRIGHT = Turn(False, False, False)


def turn_of(frame: av.VideoFrame) -> Turn:
    """From the display matrix, to the nearest quarter turn.

    The matrix (a b . c d . . . .) shows pixel (x, y) at (a x + c y, b x + d y), y pointing down.
    """
    try:
        data = cast("SideDataContainer", frame.side_data).get("DISPLAYMATRIX")
    except ValueError:  # beside it is something that the library has no name for
        data = None
    if data is None:
        return UPRIGHT
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), dtype=np.int32).tolist()
    swap = abs(b) > abs(a)
    return Turn(swap, (c if swap else a) < 0, (b if swap else d) < 0)


def shape_of(stream: av.VideoStream) -> tuple[int, int]:
    """(width, height) of the stored picture with square pixels."""
    ratio = stream.sample_aspect_ratio or Fraction(1)
    if not Fraction(1, WIDEST) <= ratio <= WIDEST:
        ratio = Fraction(1)
    return max(1, round(stream.width * ratio)), stream.height


def frames(
    path: str | Path, rate: float, *, start: float = 0.0, end: float | None = None
) -> Decoded[VideoFrame]:
    """What is on the screen at start, start + 1/rate, ... before the end, or the end of the video.

    At each tick the newest picture whose time stamp is not after it, so that a variable frame rate
    comes out right; ticks before the first picture are left out. Holds two pictures at a time.
    Raises DataError where the file cannot be read or has no video, ConfigError for an empty range.
    """
    check_range(rate, start, end)
    track = Track(path, "video", start)
    return Decoded(_on_screen(track, Fraction(rate), end), track)


def _on_screen(track: Track, rate: Fraction, end: float | None) -> Generator[VideoFrame]:
    convert = _Converter(track)
    slack = min(track.unit / 2, ROUNDING)  # a time stamp may be rounded up by that much
    stop = math.inf if end is None else Fraction(end) - NO_TIME
    number = 0
    for first, last, frame in _shown(track):
        image: Image | None = None
        number = max(number, math.ceil((first - slack - track.start) * rate))
        while (tick := track.start + number / rate) < last - slack:
            if tick >= stop:
                return
            image = convert(frame) if image is None else image
            yield VideoFrame(float(tick), float(first), image)
            number += 1


def _shown(track: Track) -> Iterator[tuple[Fraction, Fraction, av.VideoFrame]]:
    """(from, until, picture), in order and without gaps."""
    held: tuple[Fraction, av.VideoFrame] | None = None
    for time, frame in track.frames():
        if TYPE_CHECKING:
            assert isinstance(frame, av.VideoFrame)
        if held is not None:
            if time < held[0]:  # a time stamp that runs backwards
                continue
            yield held[0], time, held[1]
        held = time, frame
    if held is not None:
        yield held[0], track.next_time, held[1]


class _Converter:
    """From a decoded picture to an upright image; keeps what the library sets up for it."""

    def __init__(self, track: Track) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self._track = track

    def __call__(self, frame: av.VideoFrame) -> Image:
        stream = self._track.source.video
        assert stream is not None
        width, height = shape_of(stream)
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", threads=1)
        image = turn_of(frame).apply(rgb.to_ndarray().astype(np.uint8, copy=False))
        image.flags.writeable = False
        return image
