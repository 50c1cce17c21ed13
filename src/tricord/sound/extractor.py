"""What every audio extractor is: how a waveform has to come, and what becomes of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.errors import ConfigError, DataError
from tricord.track import Track

Waveform = NDArray[np.float32]

LOUDEST = 1e6  # full scale is 1; integers as floats pass, garbage that overflows does not


class LicenceWarning(UserWarning):
    """A library that is about to be used does not allow every use."""


@dataclass(frozen=True)
class Extractor:
    """A waveform to a `Track`, always the same way.

    name, version: of the extractor; the version changes whenever its numbers do.
    rate: samples a second that it wants.
    hop: samples from one frame to the next.
    first: samples from the clip's start to the first frame's centre; half ones occur.
    shortest: samples of one analysis window. A shorter clip has no frames: too little of it is
        sound and too much is padding to measure anything.
    columns: names of the numbers of a frame.
    settings: what else decides the numbers, as plain JSON values.
    tools: the libraries behind it and their versions.
    measure: (n,) float32 with n >= shortest -> (L, width).
    notice: what a user has to know before using it, such as a licence.
    """

    name: str
    version: int
    rate: int
    hop: int
    first: float
    shortest: int
    columns: tuple[str, ...]
    measure: Callable[[Waveform], NDArray[Any]] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    notice: str | None = None

    def __call__(self, waveform: Waveform) -> Track:
        """The features of one clip: (n,) float32 samples at `rate`, full scale 1.

        Raises DataError where this is no such waveform.
        """
        self._check(waveform)
        if len(waveform) < self.shortest:
            values = np.zeros((0, len(self.columns)), dtype=np.float32)
        else:
            values = np.ascontiguousarray(self.measure(waveform), dtype=np.float32)
        times = (self.first + self.hop * np.arange(len(values))) / self.rate
        return Track(values, times, self.columns)

    def _check(self, waveform: Waveform) -> None:
        if waveform.ndim != 1 or waveform.dtype != np.float32:
            raise DataError(
                f"audio extractor {self.name!r}: found {waveform.dtype} of shape "
                f"{waveform.shape}, expected float32 samples of one channel"
            )
        bad = len(waveform) - int(np.count_nonzero(np.abs(waveform) <= LOUDEST))
        if bad:
            raise DataError(
                f"audio extractor {self.name!r}: {bad} samples are not finite or beyond "
                f"{LOUDEST:.0e}, expected a full scale of 1"
            )

    def describe(self) -> dict[str, Any]:
        """All that decides the numbers, as plain JSON values: two that agree here are equal."""
        return {
            "name": self.name,
            "version": self.version,
            "rate": self.rate,
            "hop": self.hop,
            "first": self.first,
            "shortest": self.shortest,
            "columns": list(self.columns),
            "settings": dict(self.settings),
            "tools": dict(self.tools),
        }


def need(name: str, *libraries: str, extra: str) -> dict[str, str]:
    """Versions of the libraries that an extractor is made of.

    Raises ConfigError that names the extra to install where one is missing.
    """
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise ConfigError(
                f"audio extractor {name!r} needs {library}, which is not installed: "
                f"pip install 'tricord[{extra}]'"
            )
    return {library: version(library) for library in libraries}


def numbered(name: str, count: int, start: int = 0) -> tuple[str, ...]:
    """Column names: name_00, name_01, ..."""
    digits = len(str(start + count - 1))
    return tuple(f"{name}_{i:0{digits}}" for i in range(start, start + count))
