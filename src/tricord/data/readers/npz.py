"""`.npz` files: arrays under the keys of the MMSA layout, per split or in one piece."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tricord.data.readers.delimited import shown
from tricord.data.readers.layout import read_layout
from tricord.data.readers.npy import NUMBERS_OR_TEXT, read_header
from tricord.data.schema import NAMED_SPLITS, UNSPLIT, Dataset
from tricord.errors import DataError

_SEPARATORS = ("/", ".", "_")
_MODE = "mode"
_MEMBER = ".npy"
# Deflate makes long runs of zeros a thousand times smaller; padded features are rarely beyond
# fifty. What is small anyway may be anything.
_MOST_EXPANSION = 100
_ALWAYS_FINE = 1 << 26
# What zipfile raises for files that it cannot make sense of
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, NotImplementedError, RuntimeError, ValueError, TypeError),
)


def read_npz(path: Path) -> Dataset:
    """The splits of a ``.npz`` file, as they are.

    Keys are those of the MMSA layout (`tricord.data.readers.layout`) after the split's name:
    ``train/audio``, ``train.audio`` or ``train_audio``. Without split names the file is one split,
    or split by the array ``mode`` (N words: train, valid, test).

    Raises DataError naming the file, the key, what was found and what was expected; also for
    arrays of objects, and for a file that would grow more than a hundredfold when unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(path, archive)
            arrays = {
                member.filename.removesuffix(_MEMBER): _read(path, archive, member)
                for member in archive.infolist()
            }
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [""])[0][:80]
        raise DataError(f"{path}: damaged, or not an .npz file ({reason})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    splits, unused = _by_split(path, arrays)
    tables, notices = read_layout(path, splits)
    return Dataset(splits=tables, source=str(path), notices=(*unused, *notices))


def _check_sizes(path: Path, archive: zipfile.ZipFile) -> None:
    names = [member.filename for member in archive.infolist()]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: an array stands in it twice, expected each once")
    claimed = sum(member.file_size for member in archive.infolist())
    held = path.stat().st_size
    if claimed > max(_ALWAYS_FINE, _MOST_EXPANSION * held):
        raise DataError(
            f"{path}: {held} bytes that claim to unpack to {claimed}, expected at most "
            f"{_MOST_EXPANSION} times as many"
        )


def _read(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """One array; memory is set aside only for the bytes that its member has."""
    where = f"{path}: key {shown(member.filename)}"
    if not member.filename.endswith(_MEMBER):
        raise DataError(f"{where}: found in the archive, expected arrays ({_MEMBER}) only")
    with archive.open(member) as file:
        shape, fortran, dtype = read_header(where, file, NUMBERS_OR_TEXT)
        size = math.prod(shape) * dtype.itemsize
        if size != member.file_size - file.tell():
            raise DataError(
                f"{where}: shape {str(shape)[:80]} does not fit its {member.file_size} bytes"
            )
        return np.ndarray(shape, dtype, file.read(size), order="F" if fortran else "C")


def _by_split(
    path: Path, arrays: dict[str, NDArray[Any]]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Split -> key -> array; and what was left aside."""
    splits: dict[str, dict[str, Any]] = {}
    rest: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        owner = next(
            (s for s in NAMED_SPLITS if name.startswith(tuple(s + c for c in _SEPARATORS))), None
        )
        if owner is None:
            rest[name] = array
        else:
            splits.setdefault(owner, {})[name[len(owner) + 1 :]] = array
    if splits:
        ordered = {name: splits[name] for name in NAMED_SPLITS if name in splits}
        return ordered, _unused(rest)
    if _MODE not in rest:
        return {UNSPLIT: cast(dict[str, Any], rest)}, []
    mode = rest.pop(_MODE)
    single = [name for name, array in rest.items() if not array.ndim]
    rows = {name: array for name, array in rest.items() if array.ndim}
    return _split_by(path, mode, rows), _unused(single)


def _unused(names: Iterable[str]) -> list[str]:
    return [f"key {shown(name)} not used" for name in names]


def _split_by(
    path: Path, mode: NDArray[Any], arrays: dict[str, NDArray[Any]]
) -> dict[str, dict[str, Any]]:
    try:
        words = mode.astype(str) if mode.ndim == 1 else np.empty(0, dtype=str)
        words.tolist()
    except (ValueError, SystemError):
        raise DataError(f"{path}: key '{_MODE}': text that is no Unicode found") from None
    unknown = sorted(set(words.tolist()) - set(NAMED_SPLITS))
    if not len(words) or unknown:
        found = unknown[0][:40] if unknown else f"shape {mode.shape}"
        raise DataError(f"{path}: key '{_MODE}': {found!r} found, expected {list(NAMED_SPLITS)}")
    for key, array in arrays.items():
        if len(array) != len(words):
            raise DataError(
                f"{path}: key {shown(key)}: shape {array.shape} found, expected {len(words)} rows, "
                f"as '{_MODE}' has"
            )
    return {
        name: {key: array[words == name] for key, array in arrays.items()}
        for name in NAMED_SPLITS
        if name in words
    }
