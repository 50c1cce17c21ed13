"""Pickles in the MMSA layout, among them what the field's extraction tool writes."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from tricord.data.readers.layout import FEATURE_KEYS, kind, read_layout
from tricord.data.readers.pickle_safe import load_pickle
from tricord.data.schema import NAMED_SPLITS, UNSPLIT, Dataset
from tricord.errors import DataError

_CONFIG = "config"
_OTHER_KEYS = (_CONFIG, "align")
_MOST_SETTINGS, _DEEPEST_SETTING = 10_000, 20


def read_mmsa(path: Path) -> Dataset:
    """The splits of a file in the MMSA layout (see `tricord.data.readers.layout`), as they are.

    Any of train, valid, test, unlabelled may be absent. A file of one clip, as feature extraction
    writes it (audio (L, width), vision (L, width), text (L, width), text_bert (3, L)), is one split
    with the file's name as id. The top-level ``config`` becomes `Dataset.recipe`, a dictionary
    ``simulation`` in it `Dataset.simulation`.

    Raises DataError naming file, split, key, what was found and what was expected.
    """
    content = load_pickle(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: {kind(content)} found, expected a dictionary of splits")
    splits = {name: content[name] for name in NAMED_SPLITS if name in content}
    if not splits and any(key in content for key in FEATURE_KEYS):
        splits = {UNSPLIT: _one_clip(path, content)}
    if not splits:
        raise DataError(f"{path}: no split found, expected at least one of {list(NAMED_SPLITS)}")
    tables, notices = read_layout(path, splits)
    recipe = _recipe(path, content.get(_CONFIG))
    simulation = recipe.pop("simulation", None)
    return Dataset(
        splits=tables,
        source=str(path),
        notices=(*_unused(content), *notices),
        simulation=simulation if isinstance(simulation, dict) else None,
        recipe=recipe,
    )


def _one_clip(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a file of one clip, as a split of one row."""
    if "id" in content:  # a split without its name
        return dict(content)
    rows = {
        key: np.asarray(value)[None] if isinstance(value, np.ndarray) else [value]
        for key, value in content.items()
        if key in FEATURE_KEYS and value is not None
    }
    words = content.get("raw_text")
    return {**rows, "id": [path.stem], **({"raw_text": [words]} if isinstance(words, str) else {})}


def _recipe(path: Path, config: object) -> dict[str, Any]:
    """What JSON can hold of a dictionary of settings; empty where it is none.

    Raises DataError for more of them than any tool has: a pickle may name one list many times.
    """
    left = _MOST_SETTINGS

    def plain(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > _DEEPEST_SETTING:
            raise DataError(
                f"{path}: key '{_CONFIG}': more than {_MOST_SETTINGS} settings, or nested deeper "
                f"than {_DEEPEST_SETTING}, expected how features were made"
            )
        if isinstance(value, np.ndarray):
            value = value.tolist() if 0 < value.size <= _MOST_SETTINGS else "array"
        if isinstance(value, dict):
            keys = [key for key in value if isinstance(key, str | int | float)]
            return {str(key): plain(value[key], depth + 1) for key in keys}
        if isinstance(value, list | tuple):
            return [plain(item, depth + 1) for item in value]
        return value if value is None or isinstance(value, str | int | float) else kind(value)

    return cast(dict[str, Any], plain(config, 0)) if isinstance(config, dict) else {}


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
    known = {*NAMED_SPLITS, *_OTHER_KEYS}
    if not any(name in content for name in NAMED_SPLITS):
        known |= {*FEATURE_KEYS, "id", "raw_text"}
    names = [key for key in content if isinstance(key, str) and key not in known]
    return [f"top-level key {name[:40]!r} not used" for name in names]
