"""A folder of `.csd` files as one data set: which file is what, its names or a `csd.json` say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from tricord.data.readers.csd import WORDS, read_csd
from tricord.data.readers.csd_labels import check_folds, read_json
from tricord.data.readers.hdf5_safe import open_csd
from tricord.data.schema import Dataset
from tricord.errors import DataError

PLAN = "csd.json"
LABELS = "labels"
_SUFFIX = ".csd"
# The names of the SDK's sequences and files, letters and digits only; the first that fits counts.
_ROLES: tuple[tuple[str, str], ...] = (
    ("label", LABELS),
    ("phone", ""),  # phones and phonemes: no modality of their own
    ("wordvectors", "text"),
    ("glove", "text"),
    ("bert", "text"),
    ("words", WORDS),
    ("covarep", "audio"),
    ("coavarep", "audio"),  # as one of the SDK's files spells it
    ("opensmile", "audio"),
    ("acoustic", "audio"),
    ("facet", "vision"),
    ("openface", "vision"),
    ("visual", "vision"),
)
_FILES = (LABELS, "text", WORDS, "audio", "vision")
_OPTIONS = ("align", "columns", "folds", "label_column", "first")


def read_csd_folder(path: Path) -> Dataset:
    """The data set of a folder of `.csd` files.

    What a file is, its root name says, or else its own name: labels, text (GloVe, BERT), words,
    audio (COVAREP, openSMILE) or vision (FACET, OpenFace); phones are left aside. Frames are kept
    as they are, in one split. A file `csd.json` in the folder says it all instead:
    ``{"labels": FILE, "text": FILE, "words": FILE, "audio": FILE, "vision": FILE, "align": KEY,
    "columns": {KEY: [...] or recipe}, "folds": {SPLIT: [videos]}, "label_column": NAME,
    "first": 1}``, all but the labels and one modality as wanted (see `read_csd`). It may name
    files of the folder only.

    Raises DataError where a file is missing, two files are the same thing, or one cannot be told.
    """
    plan = path / PLAN
    content = _plan(plan) if plan.is_file() or plan.is_symlink() else _guessed(path)
    files = {role: _inside(path, plan, content[role]) for role in _FILES if content.get(role)}
    if LABELS not in files or len(files) == 1:
        raise DataError(f"{path}: {sorted(files)} found, expected labels and a modality; {_hint()}")
    options = {key: content[key] for key in _OPTIONS if content.get(key) is not None}
    dataset = read_csd(files.pop(LABELS), files, **options)
    unused = [f"{name} not used" for name in content.get("", [])]
    return Dataset(
        splits=dataset.splits,
        source=str(path),
        notices=(*unused, *dataset.notices),
        recipe=dataset.recipe,
    )


def refuse_single_csd(path: Path) -> Dataset:
    """Says what a single `.csd` file is, and that it takes a folder of them: a DataError."""
    raise DataError(
        f"{path}: {describe_csd(path)}, which is only one part of a data set, expected a folder "
        "with a label sequence and the modalities"
    )


def describe_csd(path: Path) -> str:
    """What a single `.csd` file is, in one line."""
    with open_csd(path, features=False) as sequence:
        return f"the computational sequence {sequence.root!r} of {sequence.total} videos"


def _hint() -> str:
    return f'say which is which in a {PLAN}: {{"labels": FILE, "audio": FILE, ...}}'


# ------------------------------------------------------------------ by name


def _guessed(path: Path) -> dict[str, Any]:
    """Role -> file name; what is not used under the empty name."""
    found: dict[str, list[str]] = {}
    for file in sorted(path.glob(f"*{_SUFFIX}")):
        _inside(path, path, file.name)
        with open_csd(file, features=False, videos=()) as sequence:
            role = _role(sequence.root)
        role = _role(file.stem) if role is None else role
        if role is None:
            raise DataError(f"{path}: {file.name} ({sequence.root!r}) may be anything; {_hint()}")
        found.setdefault(role, []).append(file.name)
    for role, names in found.items():
        if role and len(names) > 1:
            raise DataError(f"{path}: {len(names)} files of {role} found, {names}; {_hint()}")
    return {role: names if not role else names[0] for role, names in found.items()}


def _role(name: str) -> str | None:
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    return next((role for part, role in _ROLES if part in letters), None)


# ------------------------------------------------------------------ by csd.json


def _plan(path: Path) -> dict[str, Any]:
    """The content of `csd.json`, checked for its form."""
    if path.is_symlink():
        raise DataError(f"{path}: a link found, expected a file in the folder")
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: {type(content).__name__} found, expected an object")
    unknown = sorted(set(content) - {*_FILES, *_OPTIONS})
    if unknown:
        raise DataError(
            f"{path}: key {unknown[0][:40]!r} found, expected some of {[*_FILES, *_OPTIONS]}"
        )
    if content.get("folds") is not None:
        check_folds(path, content["folds"])
    for key, value in content.items():
        if not _fits(key, value):
            raise DataError(f"{path}: key {key!r}: {str(value)[:40]!r} is of the wrong kind")
    return content


def _fits(key: str, value: object) -> bool:
    if key == "columns":
        return isinstance(value, Mapping) and all(map(_are_columns, value.values()))
    if key == "first":
        return _is_count(value)
    if key == "label_column":
        return value is None or isinstance(value, str) or _is_count(value)
    return key == "folds" or value is None or isinstance(value, str)


def _are_columns(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(map(_is_count, value)))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31


def _inside(folder: Path, plan: Path, name: str) -> Path:
    """The file of that name in the folder; raises DataError for one that lies elsewhere."""
    parts = PurePath(name).parts
    file = folder / name
    if PurePath(name).is_absolute() or ".." in parts or "\0" in name:
        raise DataError(f"{plan}: {name[:80]!r} leaves the folder, expected a file in it")
    try:
        inside, found = file.resolve().is_relative_to(folder.resolve()), file.is_file()
    except (OSError, ValueError):  # too long a name, or none that the system can write
        inside, found = True, False
    if not inside:
        raise DataError(f"{plan}: {name[:80]!r} is a link out of the folder, expected a file in it")
    if not found:
        raise DataError(f"{plan}: {name[:80]!r} not found, expected a file in the folder")
    return file
