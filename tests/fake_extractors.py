"""Extractors of every modality that need no library, for tests of what uses them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tricord.clips.build import described
from tricord.clips.recipe import Recipe
from tricord.sight.extractor import FACE, Extractor, Picture, Row
from tricord.sound.extractor import Extractor as Sound
from tricord.sound.extractor import Waveform
from tricord.track import Track


@dataclass
class Words:
    """A row a word, five at most: its length. calls: what it was given."""

    columns: tuple[str, ...] = ("length",)
    calls: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> Track:
        self.calls.append(text)
        values = np.array([[len(word)] for word in text.split()[:5]], dtype=np.float32)
        return Track(values.reshape(-1, 1), np.arange(len(values), dtype=np.float64), self.columns)

    def cut(self, text: str) -> int:
        return max(0, len(text.split()) - 5)

    def describe(self) -> dict[str, Any]:
        return {"name": "words", "version": 1, "columns": list(self.columns), "tools": {}}


def sound(version: str = "1") -> Sound:
    """The mean loudness of every tenth of a second."""

    def measure(waveform: Waveform) -> np.ndarray[Any, Any]:
        whole = waveform[: len(waveform) // 1600 * 1600].reshape(-1, 1600)
        return np.abs(whole).mean(axis=1, keepdims=True)

    return Sound(
        name="loudness",
        version=1,
        rate=16_000,
        hop=1600,
        first=800,
        shortest=1600,
        columns=("loudness",),
        measure=measure,
        tools={"numpy": version},
    )


def sight(rate: float = 5.0) -> Extractor:
    """Brightness; a picture has a face where its middle is bright."""

    def measure(pictures: Iterator[Picture]) -> Iterator[Row | None]:
        for picture in pictures:
            middle = picture.image[20:28, 28:36].mean()
            yield np.array([middle], dtype=np.float32) if middle > 100 else None

    return Extractor(
        name="brightness", version=1, rate=rate, columns=(FACE, "brightness"), measure=measure
    )


def opener(extractors: Mapping[str, Any]) -> Any:
    """In place of `open_extractor`."""
    return lambda modality, name, options, download=False: extractors[modality]


def recipe_of(extractors: Mapping[str, Any]) -> Recipe:
    parts = {name: described(name, name, {}, extractor) for name, extractor in extractors.items()}
    return Recipe(name="fake", **parts)


def all_three() -> dict[str, Any]:
    return {"text": Words(), "audio": sound(), "vision": sight()}
