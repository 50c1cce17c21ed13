"""Pictures of a drawn face, and what an extractor sees in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tricord.sight.extractor import Extractor, Sight

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Still:
    """A picture without a video."""

    time: float
    image: Image


def nobody(width: int, height: int) -> Image:
    """A grey picture."""
    return np.full((height, width, 3), 90, dtype=np.uint8)


def seen(extractor: Extractor, images: Sequence[Image]) -> Sight:
    """What it makes of these pictures, one after the other at its rate."""
    return extractor([Still(i / extractor.rate, image) for i, image in enumerate(images)])


def column(sight: Sight, name: str) -> NDArray[np.float32]:
    """(L,) numbers of one column."""
    return sight.track.values[:, sight.track.columns.index(name)]
