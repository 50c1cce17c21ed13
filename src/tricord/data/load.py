"""One door for every kind of data file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tricord.data.admit import admit
from tricord.data.mmsa import read_mmsa
from tricord.data.npz import read_npz
from tricord.data.schema import Dataset
from tricord.errors import DataError

_READERS: dict[str, Callable[[Path], Dataset]] = {".pkl": read_mmsa, ".npz": read_npz}


def read(path: str | Path) -> Dataset:
    """What is in a file or folder, as it is: not cleaned, and read when asked for.

    Which reader, its suffix says (unknown ones are read as ``.pkl``). Raises DataError where there
    is no such file, or it cannot be used.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise DataError(f"{path}: is a folder, expected a feature file")
    if not path.exists():
        raise DataError(f"{path}: no such file")
    return _READERS.get(path.suffix.lower(), read_mmsa)(path)


def load(path: str | Path) -> Dataset:
    """The data set in a file or folder (see `read`), in memory, fit for use (see `admit`)."""
    return admit(read(path))
