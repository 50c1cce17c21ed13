"""OpenFace 2 CSV files: which columns a recipe takes, whose face, and block averages.

A file starts with frame, face_id, timestamp, confidence, success; then come the groups of
`_GROUPS`, as far as they were asked for, in this order (OpenFace's RecorderCSV). Names in the
header stand behind blanks.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tricord.data.readers.delimited import named, shown
from tricord.data.readers.frames_csv import Columns
from tricord.errors import DataError

_FIRST = ("frame", "face_id", "timestamp", "confidence", "success")
_FACE, _CONFIDENCE = "face_id", "confidence"
_INTENSITIES = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
_PRESENCES = (*_INTENSITIES[:-1], 28, 45)


def _points(prefix: str, axes: str, count: int) -> Columns:
    return tuple(f"{prefix}{axis}_{i}" for axis in axes for i in range(count))


_GROUPS: dict[str, Columns] = {
    "gaze": (
        *(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"),
        *("gaze_angle_x", "gaze_angle_y"),
        *_points("eye_lmk_", "xy", 56),
        *_points("eye_lmk_", "XYZ", 56),
    ),
    "pose": tuple(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"),
    "landmarks_2d": _points("", "xy", 68),
    "landmarks_3d": _points("", "XYZ", 68),
    "shape": (
        *("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty"),
        *(f"p_{i}" for i in range(34)),
    ),
    "action_units": (
        *(f"AU{unit:02}_r" for unit in _INTENSITIES),
        *(f"AU{unit:02}_c" for unit in _PRESENCES),
    ),
}

Recipe = Literal["openface-709", "openface-177", "openface-171"]

# CH-SIMS takes all columns after the first five, CH-SIMS v2 2D landmarks, head pose and action
# units; 171 is the variant of the latter in circulation, without the head pose.
RECIPES: dict[Recipe, tuple[str, ...]] = {
    "openface-709": tuple(_GROUPS),
    "openface-177": ("pose", "landmarks_2d", "action_units"),
    "openface-171": ("landmarks_2d", "action_units"),
}


def recipe_columns(recipe: Recipe) -> Columns:
    """The names of a recipe's columns, in the order of the CSV: 709, 177 or 171."""
    return tuple(name for group in RECIPES[recipe] for name in _GROUPS[group])


def recipe_of(columns: Columns | None) -> Recipe | None:
    """The recipe that takes exactly these columns."""
    return next((recipe for recipe in RECIPES if recipe_columns(recipe) == columns), None)


def is_openface(header: Columns) -> bool:
    """Whether this is the header of an OpenFace CSV of a video; old ones lack ``face_id``."""
    return set(header) >= set(_FIRST) - {_FACE}


def places(path: Path, header: Columns, recipe: Recipe | None) -> list[int]:
    """Where the columns are that `frames_of` needs: the recipe's, all without one; then face and
    confidence.

    Raises DataError naming the columns that are missing.
    """
    place = {name: i for i, name in enumerate(header)}
    if len(place) < len(header):
        twice = next(name for name, count in Counter(header).items() if count > 1)
        raise DataError(f"{path}: column {shown(twice)} found twice, expected once")
    wanted = (
        [name for name in header if name not in _FIRST]
        if recipe is None
        else recipe_columns(recipe)
    )
    missing = [name for name in wanted if name not in place]
    if missing or not wanted:
        raise DataError(
            f"{path}: columns {named(missing)} missing, expected "
            + (f"the {len(wanted)} of '{recipe}'" if wanted else "features after the first five")
        )
    return [place[name] for name in (*wanted, _FACE, _CONFIDENCE) if name in place]


def frames_of(
    values: NDArray[np.float32], columns: Columns, min_confidence: float | None
) -> tuple[NDArray[np.float32], Columns, list[str]]:
    """(T, D) features of one face, their names, and what was left out, in words.

    values, columns: as read from `places`. Of several faces, the one in most frames is taken, of
    several such the most confident. Frames of less than min_confidence are left out; without it
    all are kept, also those where OpenFace says that it did not succeed.
    """
    width = next(i for i, name in enumerate(columns) if name in (_FACE, _CONFIDENCE))
    confidence, notes = values[:, columns.index(_CONFIDENCE)], []
    kept = np.ones(len(values), dtype=np.bool_)
    if _FACE in columns:
        kept = _main_face(values[:, columns.index(_FACE)], confidence)
        if not kept.all():
            notes.append("several faces, the one in most frames taken")
    if min_confidence is not None:
        sure = confidence >= np.float32(min_confidence)
        if not sure[kept].all():
            notes.append(f"frames below confidence {min_confidence:g} left out")
        kept &= sure
    return values[kept, :width], columns[:width], notes


def _main_face(faces: NDArray[np.float32], confidence: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(T,) the frames of one face."""
    if not len(faces) or (faces == faces[0]).all():
        return np.ones(len(faces), dtype=np.bool_)
    kinds, which = np.unique(faces, return_inverse=True)
    frames = np.bincount(which)
    with np.errstate(all="ignore"):
        sure = np.bincount(which, weights=confidence) / frames
    best = max(range(len(kinds)), key=lambda kind: (frames[kind], sure[kind]))
    return np.asarray(which == best)


def block_means(frames: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """(ceil(T / block), D) means over this many frames each; the last may be over fewer.

    As the released features were made (MMSA's DataPre: 3 frames unless told otherwise).
    """
    if block == 1 or not len(frames):
        return frames
    starts = np.arange(0, len(frames), block)
    counts = np.diff([*starts, len(frames)])
    with np.errstate(over="ignore", invalid="ignore"):  # cells that are not finite stay so
        sums = np.add.reduceat(frames, starts, axis=0, dtype=np.float64)
        return np.asarray(sums / counts[:, None], dtype=np.float32)
