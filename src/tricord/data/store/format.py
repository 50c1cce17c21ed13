"""What reading and writing a store have in common: names, shapes, and what must hold of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.data.store.arrays import Shape
from tricord.errors import DataError

SUFFIX = ".tricord"
WORDS, SCORES, TOKENS = "clips.json", "scores", "tokens"
MOST_PADDING = 1 << 16  # frames that a store may claim as padding beyond its longest sequence


def array_file(folder: Path, split: str, name: str) -> Path:
    """Where an array of a split lies."""
    return folder / split / f"{name}.safetensors"


def scores_shape(clips: int, modalities: int) -> Shape:
    """Labels: the multimodal one, then one of each modality."""
    return Shape("float64", (clips, 1 + modalities))


def parts_of(table: FeatureTable) -> Iterator[tuple[str, Ragged]]:
    """The modalities and the tokens of a split, by the names of their files."""
    yield from table.sequences.items()
    if table.tokens is not None:
        yield TOKENS, table.tokens


class FramesDigest:
    """`Ragged.digest` of frames that come piece by piece."""

    def __init__(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._digest = hashlib.sha256(f"{dtype}{shape}".encode())

    def update(self, frames: NDArray[Any]) -> None:
        """The next frames."""
        self._digest.update(np.ascontiguousarray(frames).data)

    def finish(self, offsets: NDArray[np.int64]) -> str:
        """The digest, with where the sequences begin."""
        self._digest.update(np.ascontiguousarray(offsets).data)
        return self._digest.hexdigest()


def check_whole(dataset: Dataset) -> None:
    """What a store promises: a clip once, the same modalities and widths in all splits.

    Raises DataError.
    """
    first, *others = dataset.splits.values()
    for table in others:
        if list(table.widths.items()) != list(first.widths.items()):
            raise DataError(
                f"{dataset.source}: split '{table.name}': widths {table.widths} found, expected "
                f"{first.widths} as in split '{first.name}'"
            )
    clips = [clip for table in dataset.splits.values() for clip in table.ids]
    if len(set(clips)) < len(clips):
        raise DataError(f"{dataset.source}: key 'id': duplicates found, expected every clip once")


def check_offsets(offsets: NDArray[np.int64], frames: int, padded_length: int) -> None:
    """Raises ValueError unless these are N + 1 places in ``frames``, from the first to the last.

    A claim of padding is bounded, since arrays may be made of it.
    """
    # Not by differences, which could overflow.
    if offsets[0] != 0 or offsets[-1] != frames or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"offsets that do not go from 0 to {frames}")
    longest = int(np.diff(offsets).max(initial=0))
    if padded_length < longest:
        raise ValueError(f"a sequence of {longest} frames, padded to {padded_length}")
    if padded_length > max(longest, MOST_PADDING):
        raise ValueError(f"{longest} frames at most, but padded to {padded_length}")
