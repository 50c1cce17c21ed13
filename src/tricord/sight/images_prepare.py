"""How a picture becomes an image encoder's input: what `preprocessor_config.json` says, by Pillow.

The libraries' own preparations differ slightly by what else is installed; this one does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.errors import ConfigError
from tricord.sight.extractor import Image

FILE = "preprocessor_config.json"
_INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
_LARGEST = 4096  # pixels; larger sizes are mistakes


@dataclass(frozen=True)
class Preparation:
    """Resize a square picture, cut out its middle, scale its values.

    size, crop: (height, width) in pixels; the same where nothing is cut off. resample: Pillow's
    number of an interpolation. scale: factor of values 0 to 255; mean, std: of the channels red,
    green and blue, taken off and divided by after it.
    """

    size: tuple[int, int]
    crop: tuple[int, int]
    resample: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, square: Image) -> NDArray[np.float32]:
        """(S, S, 3) uint8 -> (3, height, width) float32."""
        from PIL import Image as Pillow

        height, width = self.size
        resized = Pillow.fromarray(square).resize(
            (width, height), resample=Pillow.Resampling(self.resample)
        )
        top, left = (height - self.crop[0]) // 2, (width - self.crop[1]) // 2
        middle = np.asarray(resized)[top : top + self.crop[0], left : left + self.crop[1]]
        values = (middle * self.scale - np.array(self.mean)) / np.array(self.std)
        return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)

    def describe(self) -> dict[str, Any]:
        """Its settings as plain JSON values."""
        found = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return {**found, "resample": _INTERPOLATIONS[self.resample]}


def preparation(settings: Mapping[str, Any], where: str) -> Preparation:
    """The preparation that a model's settings ask for.

    where: the model, for messages. Raises ConfigError where they lack a key or ask for something
    else than these steps.
    """
    for key in ("crop_pct", "do_pad"):
        if settings.get(key):
            raise _refused(where, key, settings[key], "a plain resize and a crop of the middle")
    if not settings.get("do_resize", True):
        raise _refused(where, "do_resize", False, "true")
    size = _size(settings, "size", where)
    crop = size
    if settings.get("do_center_crop", "crop_size" in settings):
        crop = _size(settings, "crop_size", where)
        if crop[0] > size[0] or crop[1] > size[1]:
            raise _refused(where, "crop_size", crop, f"no more than the size {size}")
    resample = settings.get("resample")
    if resample not in _INTERPOLATIONS:
        raise _refused(where, "resample", resample, "0 to 5")
    normalised = settings.get("do_normalize", True)
    scale = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    if not isinstance(scale, int | float) or not scale > 0:
        raise _refused(where, "rescale_factor", scale, "a number above 0")
    std = _channels(settings, "image_std", where) if normalised else (1.0, 1.0, 1.0)
    if min(std) <= 0:
        raise _refused(where, "image_std", std, "numbers above 0")
    return Preparation(
        size=size,
        crop=crop,
        resample=int(resample),
        scale=float(scale),
        mean=_channels(settings, "image_mean", where) if normalised else (0.0, 0.0, 0.0),
        std=std,
    )


def _size(settings: Mapping[str, Any], key: str, where: str) -> tuple[int, int]:
    """(height, width) of a square picture by {height, width}, {shortest_edge} or one number."""
    found = settings.get(key)
    edge: Any = found.get("shortest_edge") if isinstance(found, Mapping) else found
    pair = (edge, edge)
    if isinstance(found, Mapping) and {"height", "width"} <= found.keys():
        pair = (found["height"], found["width"])
    if not all(isinstance(n, int) and 0 < n <= _LARGEST for n in pair):
        raise _refused(where, key, found, "a height and a width, or a shortest edge, in pixels")
    return pair


def _channels(settings: Mapping[str, Any], key: str, where: str) -> tuple[float, ...]:
    found = settings.get(key)
    if (
        not isinstance(found, list | tuple)
        or len(found) != 3
        or not all(isinstance(n, int | float) for n in found)
    ):
        raise _refused(where, key, found, "three numbers")
    return tuple(float(n) for n in found)


def _refused(where: str, key: str, found: object, expected: str) -> ConfigError:
    return ConfigError(f"{where}: {FILE}: key {key!r}: found {found!r}, expected {expected}")
