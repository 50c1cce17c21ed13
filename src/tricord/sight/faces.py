"""Faces in a picture: where they are, by OpenCV's Haar cascade, and which one is meant."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.errors import ConfigError
from tricord.sight.extractor import Image

Grey = NDArray[np.uint8]  # (H, W)

FACES = ("largest", "central", "tracked")

CASCADE = "haarcascade_frontalface_alt2.xml"
SIDE = 180  # pixels that a picture's shorter side is made for the search, if it is longer
SMALLEST = 27  # pixels of the searched picture that a face is wide at least
STEP = 1.15  # from one size searched to the next
SAME = 0.3  # boxes of two pictures that overlap less are not taken for the same face
NEIGHBOURS = 3  # finds beside each other that make a face: fewer are often none


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the picture: left, top, width, height; y counts down."""

    x: float
    y: float
    w: float
    h: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.w * self.h

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y)."""
        return self.x + self.w / 2, self.y + self.h / 2

    def overlap(self, other: Box) -> float:
        """Shared area over the area that either covers: 0 apart, 1 the same."""
        wide = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        high = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        if wide <= 0 or high <= 0:
            return 0.0
        return wide * high / (self.area + other.area - wide * high)


def check(how: str) -> None:
    """Raise ConfigError where this is no way to choose a face."""
    if how not in FACES:
        raise ConfigError(f"face {how!r} found, expected one of {', '.join(FACES)}")


def choose(
    boxes: Sequence[Box], shape: tuple[int, int], how: str, previous: Box | None
) -> Box | None:
    """The face that is meant, None where there is no box.

    shape: (height, width) of the picture. how: `largest`; `central`, whose centre is nearest the
    picture's; or `tracked`, which overlaps the previous one most: the largest where there is no
    previous one, and the nearest to it where none overlaps it. Of equal ones the first. previous:
    the last face chosen in this clip, also if pictures without a face lie between. Raises
    ConfigError for another `how`.
    """
    check(how)
    if not boxes:
        return None
    if how == "central":
        middle = shape[1] / 2, shape[0] / 2
        return min(boxes, key=lambda box: math.dist(box.centre, middle))
    if how == "tracked" and previous is not None:
        return max(
            boxes,
            key=lambda box: (box.overlap(previous), -math.dist(box.centre, previous.centre)),
        )
    return max(boxes, key=lambda box: box.area)


class Detector:
    """Upright faces that look roughly into the camera; the same picture gives the same boxes.

    Raises ConfigError where OpenCV, or its cascades, which version 5 left out, are not installed.
    """

    def __init__(self) -> None:
        opencv()
        import cv2

        self._cascade = cv2.CascadeClassifier(str(_folder() / CASCADE))

    def __call__(self, image: Image) -> list[Box]:
        """The faces in a (H, W, 3) uint8 RGB picture, in pixels of it, the largest first."""
        return self.in_grey(grey_of(image))

    def in_grey(self, grey: Grey) -> list[Box]:
        """The same for a (H, W) uint8 picture."""
        import cv2

        scale = max(1.0, min(grey.shape) / SIDE)
        size = max(1, round(grey.shape[1] / scale)), max(1, round(grey.shape[0] / scale))
        with one_thread():
            small = grey if scale == 1 else cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
            found = self._cascade.detectMultiScale(  # it evens out the light by itself
                small, STEP, NEIGHBOURS, minSize=(SMALLEST, SMALLEST)
            )
        boxes = [Box(*(float(v) * scale for v in box)) for box in found]
        return sorted(boxes, key=lambda box: (-box.area, box.x, box.y))

    @staticmethod
    def describe() -> dict[str, Any]:
        """What decides the boxes, as plain JSON values."""
        return {
            "cascade": CASCADE,
            "side": SIDE,
            "smallest": SMALLEST,
            "step": STEP,
            "neighbours": NEIGHBOURS,
        }


def grey_of(image: Image) -> Grey:
    """(H, W, 3) uint8 RGB -> (H, W) uint8."""
    import cv2

    with one_thread():
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def opencv(name: str = "faces") -> dict[str, str]:
    """{"opencv": version}. name: what needs it.

    Raises ConfigError that names the extra where it, or its Haar cascade, is not installed.
    """
    if importlib.util.find_spec("cv2") is None:
        raise ConfigError(
            f"vision extractor {name!r} needs opencv-python-headless, which is not installed: "
            "pip install 'tricord[clips]'"
        )
    import cv2

    found = str(cv2.__version__)
    if not (_folder() / CASCADE).is_file():
        raise ConfigError(
            f"vision extractor {name!r} needs the file {CASCADE} of OpenCV 4; OpenCV {found} has "
            "none: pip install 'tricord[clips]'"
        )
    return {"opencv": found}


def _folder() -> Path:
    import cv2

    return Path(cv2.__file__).parent / "data"


@contextmanager
def one_thread() -> Iterator[None]:
    """Let OpenCV use one thread meanwhile: processes share the cores, and sums keep their order."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
