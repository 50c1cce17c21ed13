"""Every vision extractor by its name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from tricord.errors import ConfigError
from tricord.sight import facemesh, light
from tricord.sight.extractor import Extractor
from tricord.sight.faces import check

RATE = 5.0  # pictures a second, where nothing else is asked for
FASTEST = 240.0  # pictures a second; more is a mistake

_PREFIX = "transformers:"
_MAKE: Mapping[str, Callable[[float, str], Extractor]] = {
    "light": light.extractor,
    "facemesh": facemesh.extractor,
}


def names() -> tuple[str, ...]:
    """Names that `get` knows; NAME stands for a model's name or folder."""
    return (*_MAKE, f"{_PREFIX}NAME")


def get(
    name: str, *, rate: float = RATE, face: str = "largest", download: bool = False
) -> Extractor:
    """The extractor of this name.

    rate: pictures a second that it wants. face: which one of several faces, one of `faces.FACES`.
    download: allow fetching a model of `transformers:NAME` that is not on this machine. Raises
    ConfigError for an unknown name, a rate or face that does not fit, a library that is not
    installed, or a model that cannot be loaded.
    """
    if not (math.isfinite(rate) and 0 < rate <= FASTEST):
        raise ConfigError(f"rate {rate:g} found, expected pictures a second up to {FASTEST:g}")
    check(face)
    if name.startswith(_PREFIX) and name != _PREFIX:
        from tricord.sight import images  # loads torch

        return images.extractor(name.removeprefix(_PREFIX), float(rate), face, download=download)
    if name not in _MAKE:
        raise ConfigError(f"no vision extractor {name!r}: there are {', '.join(names())}")
    return _MAKE[name](float(rate), face)
