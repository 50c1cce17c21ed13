"""Small valid `.csd` files, as the CMU-MultimodalSDK writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike

# entry -> (features (n, d, ...), intervals (n, 2))
Entries = Mapping[str, tuple[ArrayLike, ArrayLike]]

METADATA = {
    "root name": None,
    "computational sequence description": "made for a test",
    "dimension names": None,
    "computational sequence version": "1.0",
    "alignment compatible": True,
    "dataset name": "CMU-MOSI",
    "dataset version": "1.0",
    "creator": "nobody",
    "contact": "nobody@example.org",
    "featureset bib citation": "",
    "dataset bib citation": "",
}


def write_csd(
    path: Path,
    root: str,
    entries: Entries,
    metadata: Mapping[str, object] | None = None,
    **options: object,
) -> Path:
    """Write one computational sequence: gzip 9, metadata as JSON in variable-length strings."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root)
        data = group.create_group("data")
        for name, (features, intervals) in entries.items():
            entry = data.create_group(name)
            settings = {"compression": "gzip", "compression_opts": 9, **options}
            entry.create_dataset("features", data=np.asarray(features), **settings)
            entry.create_dataset("intervals", data=np.asarray(intervals), **settings)
        fields = group.create_group("metadata")
        for key, value in {**METADATA, "root name": root, **(metadata or {})}.items():
            field = fields.create_dataset(key, (1,), dtype=h5py.string_dtype())
            field[0] = json.dumps(value)
    return path


def regular(start: float, step: float, count: int) -> np.ndarray:
    """(count, 2) intervals, one after another."""
    starts = start + step * np.arange(count)
    return np.stack([starts, starts + step], axis=1)


# Two videos. "b" has two segments of 2 s, "a" has one of 1 s. Times in seconds.
LABELS = {
    "a": (np.array([[0.5]], "f4"), [[1.0, 2.0]]),
    "b": (np.array([[-2.0], [np.nan]], "f4"), [[0.0, 2.0], [2.0, 4.0]]),
}
WORDS = {
    "a": (np.array([["sp"], ["yes"]], "S32"), [[0.0, 1.2], [1.2, 1.9]]),
    "b": (
        np.array([["it"], ["is"], ["sp"], ["not"]], "S32"),
        [[0.0, 0.5], [0.5, 1.5], [1.5, 2.5], [2.5, 4.0]],
    ),
}
VECTORS = {
    "a": ([[0.0, 0.0], [7.0, 8.0]], WORDS["a"][1]),
    "b": ([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0], [5.0, 6.0]], WORDS["b"][1]),
}
# b: frames of 0.5 s from 0 to 4 s, the frame's number and ten times it
AUDIO = {
    "a": (np.array([[1.0, -np.inf], [2.0, 20.0]], "f4"), [[1.0, 1.5], [1.5, 2.0]]),
    "b": (np.arange(8.0)[:, None] * [1.0, 10.0], regular(0.0, 0.5, 8)),
}
# b only, and only until 2 s; three dimensions
VISION = {"b": (np.arange(8.0).reshape(2, 2, 2), [[0.0, 1.0], [1.0, 2.0]])}

SEQUENCES: Mapping[str, tuple[str, Entries]] = {
    "labels": ("Opinion Segment Labels", LABELS),
    "words": ("words", WORDS),
    "text": ("glove_vectors", VECTORS),
    "audio": ("COVAREP", AUDIO),
    "vision": ("FACET 4.2", VISION),
}


def write_folder(folder: Path) -> dict[str, Path]:
    """All of the above, as role -> file; the files' names say nothing, their root names do."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        role: write_csd(folder / f"{i}.csd", root, entries)
        for i, (role, (root, entries)) in enumerate(SEQUENCES.items())
    }
