"""Clips as if they had been measured, for tests of what is done with their features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tiny_data import WIDTHS
from tricord.clips.clip import ClipFeatures
from tricord.track import Track

LENGTHS = {"text": 3, "audio": 20, "vision": 10}


def features(
    name: str = "clip",
    lengths: Mapping[str, int] | None = None,
    *,
    text: str | None = "so it is",
    duration: float = 2.0,
    start: float = 0.0,
    seed: int = 0,
) -> ClipFeatures:
    """Rows evenly over the duration, words numbered; a length of 0 lacks the modality."""
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    tracks = {}
    for modality, width in WIDTHS.items():
        length = {**LENGTHS, **(lengths or {})}[modality]
        times = np.arange(length, dtype=np.float64)
        if modality != "text":
            times = start + (times + 0.5) * duration / max(1, length)
        values = rng.standard_normal((length, width)).astype(np.float32)
        tracks[modality] = Track(values, times, tuple(f"c{i}" for i in range(width)))
    return ClipFeatures(name, tracks, text, duration)


def encode(text: str) -> Track:
    """A row a word, the same for the same word."""
    rows = [np.random.default_rng([ord(c) for c in w]).normal(size=5) for w in text.split()]
    values = np.array(rows, dtype=np.float32).reshape(-1, 5)
    return Track(values, np.arange(len(values), dtype=np.float64), tuple(f"c{i}" for i in range(5)))
