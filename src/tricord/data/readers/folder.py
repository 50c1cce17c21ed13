"""A folder of one's own data: a label table, and one feature file per clip and modality.

    label.csv, or meta.csv, or the metadata/ folder of the oldest CH-SIMS release
    features.json            how the files are read, and were made; need not be there
    text/ audio/ vision/     any of them; in each, per clip,
        <video_id>/<clip_id>.npy, <video_id>_<clip_id>.npy, or the name in the column ``file``;
        or .csv (see `clip_file`)

``features.json`` holds a `ClipRecipe` per modality:
``{"vision": {"recipe": "openface-709", "average_over": 3}}``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from tricord.data.progress import Steps, Tick
from tricord.data.readers.ch_sims_metadata import METADATA, read_metadata
from tricord.data.readers.clip_file import ClipRecipe
from tricord.data.readers.delimited import file_in, shown
from tricord.data.readers.label_table import LabelTable, read_label_table, without_features
from tricord.data.readers.modality_folder import ModalityFolder
from tricord.data.regular import open_regular
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.errors import DataError
from tricord.types import MODALITIES, Modality

TABLES = ("label.csv", "meta.csv")
RECIPES = "features.json"
_TEXT = str(Modality.TEXT)
_MOST_BYTES = 1 << 20


class _Recipes(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    text: ClipRecipe = ClipRecipe()
    audio: ClipRecipe = ClipRecipe()
    vision: ClipRecipe = ClipRecipe()


def is_clip_folder(path: Path) -> bool:
    """Whether this is a folder that `read_folder` is for."""
    return any((path / name).is_file() for name in (*TABLES, METADATA))


def read_folder(path: Path, tick: Tick | None = None) -> Dataset:
    """The clips of a label table with the features that stand beside it.

    A clip without a file lacks the modality (length 0); such clips, and files that are no clip's,
    are counted in the notices. A modality without a folder is left out, and its labels with it;
    but words with labels of their own are text of width 0, for an encoder to fill. Without any
    feature folder the data set is as of `read_label_file`. Splits are those of ``mode``.

    Raises DataError naming file, line, column, what was found and what was expected; also for
    links, for names in the label table that lead elsewhere, for two files of one clip or two
    clips of one file, for widths or columns that differ between clips, and for a modality where
    no clip has a frame.
    """
    labels = _read_labels(path)
    recipes = _read_recipes(path)
    sources = [
        ModalityFolder(path / name, name, getattr(recipes, name), labels)
        for name in MODALITIES
        if os.path.lexists(path / name)
    ]
    if not sources:
        return without_features(labels)
    progress = Steps(sum(source.clips for source in sources), tick)
    has_words = labels.text is not None and not np.isnan(labels.scores[:, 1]).all()

    def sequences(rows: NDArray[np.intp]) -> dict[str, Ragged]:
        found = {source.name: source.read(rows, progress.add) for source in sources}
        if has_words and _TEXT not in found:
            return {_TEXT: _words(labels, rows), **found}
        return found

    splits = labels.splits(sequences)
    for source in sources:
        source.expect_frames()
    return Dataset(
        splits={name: _same_shape(table, sources) for name, table in splits.items()},
        source=str(path),
        notices=(
            *labels.notices,
            *_left_out(labels, next(iter(splits.values()))),
            *(notice for source in sources for notice in source.notices()),
        ),
        recipe={source.name: source.about() for source in sources},
    )


def _read_labels(path: Path) -> LabelTable:
    found = [file for file in (file_in(path, name) for name in TABLES) if file is not None]
    if not found and file_in(path, METADATA) is not None:
        return read_metadata(path)
    if not found:
        raise DataError(f"{path}: no {' or '.join(TABLES)} in the folder, expected one")
    table = read_label_table(found[0])
    unused = [f"{other.name} not used, {found[0].name} taken" for other in found[1:]]
    return replace(table, notices=(*table.notices, *unused))


def _read_recipes(folder: Path) -> _Recipes:
    path = file_in(folder, RECIPES)
    if path is None:
        return _Recipes()
    with open_regular(path) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise DataError(f"{path}: more than {_MOST_BYTES} bytes found, expected recipes")
    try:
        return _Recipes.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        place = f"key {shown(key)}: " if key else ""
        raise DataError(f"{path}: {place}{first['msg'].splitlines()[0][:200]}") from None


def _words(labels: LabelTable, rows: NDArray[np.intp]) -> Ragged:
    """Text without ready features: one empty frame where a clip has words."""
    text = labels.text or ()
    spoken = [bool(text[row].strip()) for row in rows]
    offsets = np.concatenate([[0], np.cumsum(spoken)]).astype(np.int64)
    return Ragged(np.zeros((sum(spoken), 0), dtype=np.float32), offsets, 1)


def _same_shape(table: FeatureTable, sources: Sequence[ModalityFolder]) -> FeatureTable:
    """Width and padding of the whole folder, known only when every split is read."""
    sequences = dict(table.sequences)
    for source in sources:
        ragged = sequences[source.name]
        values = ragged.values if len(ragged.values) else np.zeros((0, source.width), np.float32)
        sequences[source.name] = replace(ragged, values=values, padded_length=source.longest)
    return replace(table, sequences=sequences)


def _left_out(labels: LabelTable, table: FeatureTable) -> list[str]:
    """Notices of known labels whose modality has no folder."""
    missing = [
        name
        for name, scores in zip(MODALITIES, labels.scores.T[1:], strict=True)
        if name not in table.sequences and not np.isnan(scores).all()
    ]
    return [
        f"{name}: no folder, so its labels are left out, of D_msc and D_msi too" for name in missing
    ]
