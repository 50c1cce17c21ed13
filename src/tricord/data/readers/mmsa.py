"""Pickles in the MMSA layout, among them what the field's extraction tool writes."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tricord.data.readers.layout import FEATURE_KEYS, kind, read_layout
from tricord.data.readers.pickle_safe import load_pickle
from tricord.data.schema import SPLITS, UNSPLIT, Dataset
from tricord.errors import DataError

_OTHER_KEYS = ("config", "align")


def read_mmsa(path: Path) -> Dataset:
    """The splits of a file in the MMSA layout (see `tricord.data.readers.layout`), as they are.

    Any of train, valid, test may be absent. A file of one clip, as feature extraction writes it
    (audio (L, width), vision (L, width), text (L, width), text_bert (3, L)), is one split with
    the file's name as id. The top-level ``config`` becomes `Dataset.recipe`, a dictionary
    ``simulation`` in it `Dataset.simulation`.

    Raises DataError naming file, split, key, what was found and what was expected.
    """
    content = load_pickle(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: {kind(content)} found, expected a dictionary of splits")
    splits = {name: content[name] for name in SPLITS if name in content}
    if not splits and any(key in content for key in FEATURE_KEYS):
        splits = {UNSPLIT: _one_clip(path, content)}
    if not splits:
        raise DataError(f"{path}: no split found, expected at least one of {list(SPLITS)}")
    tables, notices = read_layout(path, splits)
    config = content.get("config")
    recipe = dict(config) if isinstance(config, dict) else {}
    simulation = recipe.pop("simulation", None)
    return Dataset(
        splits=tables,
        source=str(path),
        notices=(*_unused(content), *notices),
        simulation=simulation if isinstance(simulation, dict) else None,
        recipe=_plain(recipe),
    )


def _one_clip(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a file of one clip, as a split of one row."""
    if "id" in content:  # a split without its name
        return dict(content)
    rows = {
        key: np.asarray(content[key])[None]
        for key in FEATURE_KEYS
        if isinstance(content.get(key), np.ndarray)
    }
    words = content.get("raw_text")
    return {**rows, "id": [path.stem], **({"raw_text": [words]} if isinstance(words, str) else {})}


def _plain(value: Any) -> Any:
    """What JSON can hold of it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def write_mmsa(
    path: Path,
    splits: Mapping[str, Mapping[str, object]],
    config: Mapping[str, object] | None = None,
) -> None:
    """Write arrays, lists and dictionaries as an MMSA file that `read_mmsa` reads.

    config is kept under the top-level key of that name. The file appears whole or not at all.
    Raises DataError where it cannot be written.
    """
    content: dict[str, object] = {name: dict(split) for name, split in splits.items()}
    if config is not None:
        content["config"] = dict(config)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            pickle.dump(content, file, protocol=4)
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        partial.unlink(missing_ok=True)


def _unused(content: Mapping[object, object]) -> list[str]:
    known = {*SPLITS, *_OTHER_KEYS}
    if not any(name in content for name in SPLITS):
        known |= {*FEATURE_KEYS, "id", "raw_text"}
    names = [key for key in content if isinstance(key, str) and key not in known]
    return [f"top-level key {name[:40]!r} not used" for name in names]
