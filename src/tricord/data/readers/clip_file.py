"""The feature file of one clip: `.npy`, OpenFace CSV, or any other CSV of frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from tricord.data.readers import openface
from tricord.data.readers.delimited import named
from tricord.data.readers.frames_csv import Columns, feature_places, read_frames
from tricord.data.readers.npy import read_npy_frames
from tricord.errors import DataError

SUFFIXES = (".npy", ".csv")
EMPTY = "empty"
_OPENFACE = "OpenFace CSV"


class ClipRecipe(BaseModel):
    """How frames are taken from a clip's feature file.

    recipe: columns of an OpenFace CSV (see `openface.RECIPES`); None takes every feature.
    average_over: mean over blocks of so many consecutive frames; the last may be shorter.
    min_confidence: leave out frames of an OpenFace CSV that are less sure, before averaging.
    description: how the features were made, kept with the data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: openface.Recipe | None = None
    average_over: int = Field(default=1, ge=1, le=10_000)
    min_confidence: float | None = Field(default=None, ge=0, le=1)
    description: str | None = Field(default=None, max_length=1000)


@dataclass(frozen=True)
class ClipFeatures:
    """values: (T, D) float32, as found. kind: "npy", "OpenFace CSV", "CSV", or "empty".
    columns: the D names, where the file has them. notes: what was left out or chosen, in words
    that are the same for all clips.
    """

    values: NDArray[np.float32]
    kind: str
    columns: Columns | None = None
    notes: tuple[str, ...] = ()


def read_clip_features(
    path: Path, recipe: ClipRecipe | openface.Recipe | None = None
) -> NDArray[np.float32]:
    """(T, D) float32 frames of one clip (see `read_clip`); a recipe's name alone is enough."""
    whole = recipe if isinstance(recipe, ClipRecipe) else ClipRecipe(recipe=recipe)
    return read_clip(path, whole).values


def read_clip(path: Path, recipe: ClipRecipe | None = None) -> ClipFeatures:
    """The frames of one clip.

    `.npy` holds (T, D) or (D,) numbers. A CSV is OpenFace's where its header says so; of others,
    columns of names and times are left out (see `frames_csv`). T is 0 where the file is empty.

    Raises DataError naming file, line and column; and where a recipe for OpenFace's columns is
    asked of another file.
    """
    recipe = recipe or ClipRecipe()
    if path.suffix == ".csv":
        clip = _csv(path, recipe)
    elif path.suffix == ".npy":
        clip = ClipFeatures(read_npy_frames(path), "npy")
    else:
        raise DataError(f"{path}: expected a file of {' or '.join(SUFFIXES)}")
    if not clip.values.size and clip.columns is None:
        return replace(clip, kind=EMPTY)
    if clip.kind != _OPENFACE and (recipe.recipe or recipe.min_confidence is not None):
        raise DataError(
            f"{path}: {clip.kind} found, expected an {_OPENFACE} with a header, for "
            f"'{recipe.recipe or 'min_confidence'}'"
        )
    return replace(clip, values=openface.block_means(clip.values, recipe.average_over))


def _csv(path: Path, recipe: ClipRecipe) -> ClipFeatures:
    def choose(header: Columns) -> list[int]:
        if openface.is_openface(header):
            return openface.places(path, header, recipe.recipe)
        if not feature_places(header):
            raise DataError(f"{path}: columns {named(header)} found, expected features")
        return feature_places(header)

    values, columns, header = read_frames(path, choose)
    if header is None or columns is None:
        return ClipFeatures(values, "CSV")
    if openface.is_openface(header):
        frames, features, notes = openface.frames_of(values, columns, recipe.min_confidence)
        return ClipFeatures(frames, _OPENFACE, features, tuple(notes))
    kept = set(columns)
    dropped = [name for name in header if name not in kept]
    notes = [f"columns that are no features left out: {named(dropped, 5)}"] if dropped else []
    return ClipFeatures(values, "CSV", columns, tuple(notes))
