"""What of a clip can be looked at: some of its pictures and the outline of its sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tricord.clips.clip import Clip, ClipFeatures
from tricord.errors import DataError

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
PICTURES = 8  # at most
RATE = 8_000  # samples a second: an outline needs no more
BINS = 1_200  # of the outline: more than a figure has dots
LEAST = 8  # samples of a bin, so that short clips have no empty ones
AROUND = 1.4  # widths of a face that are shown
TALLEST = 240  # dots of a picture


@dataclass(frozen=True)
class Material:
    """start, end: seconds of the file. pictures: (second, image).

    low, high: the outline of the waveform, evenly from start to end; None without sound.
    """

    start: float
    end: float
    pictures: tuple[tuple[float, Image], ...] = ()
    low: Floats | None = None
    high: Floats | None = None


def material(clip: Clip, features: ClipFeatures, face: str | None = None) -> Material:
    """Read the clip's file once more; what it lacks is left out. Memory is bounded.

    face: show the face that is chosen so (`tricord.sight.faces`), where there is one; None: the
    whole picture.
    """
    start, end = clip.start, clip.start + features.duration
    outline = _outline(clip, start, end)
    low, high = (None, None) if outline is None else outline
    return Material(start, end, _pictures(clip, start, end, face), low, high)


def _pictures(
    clip: Clip, start: float, end: float, face: str | None
) -> tuple[tuple[float, Image], ...]:
    """From the middle of as many equal parts as there is room for."""
    from tricord.media.video import frames

    crop = _whole if face is None else _Faces(face)
    try:
        step = (end - start) / PICTURES
        found = frames(clip.path, 1 / step, start=start + step / 2, end=end)
        return tuple((frame.time, _small(crop(frame.image))) for frame in found)
    except DataError:
        return ()


def _whole(image: Image) -> Image:
    return image


class _Faces:
    """Cuts out the face that is meant, with some of what is around it."""

    def __init__(self, how: str) -> None:
        from tricord.sight.faces import Box, Detector

        self._detect, self._how = Detector(), how
        self._previous: Box | None = None

    def __call__(self, image: Image) -> Image:
        from tricord.sight.faces import choose

        high, wide = image.shape[:2]
        box = choose(self._detect(image), (high, wide), self._how, self._previous)
        if box is None:
            return image
        self._previous = box
        (x, y), half = box.centre, AROUND * max(box.w, box.h) / 2
        top, left = max(0, round(y - half)), max(0, round(x - half))
        return image[top : round(y + half), left : round(x + half)]


def _small(image: Image) -> Image:
    """Every so many dots: good enough for a picture of an inch."""
    step = -(-image.shape[0] // TALLEST)
    return np.ascontiguousarray(image[::step, ::step])


def _outline(clip: Clip, start: float, end: float) -> tuple[Floats, Floats] | None:
    """(low, high) of each bin, 0 where there is nothing."""
    from tricord.media.audio import audio_blocks

    count = min(BINS, max(1, int((end - start) * RATE / LEAST)))
    low, high = np.zeros(count, np.float32), np.zeros(count, np.float32)
    try:
        for block in audio_blocks(clip.path, RATE, 10.0, start=start, end=end):
            times = block.start + np.arange(len(block.samples)) / RATE
            bins = np.clip((times - start) / (end - start) * count, 0, count - 1).astype(np.int64)
            np.minimum.at(low, bins, block.samples)
            np.maximum.at(high, bins, block.samples)
    except DataError:
        return None
    return low, high
