"""One door for every kind of data file and folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tricord.data.admit import admit
from tricord.data.progress import Tick
from tricord.data.readers.csd_folder import read_csd_folder, refuse_single_csd
from tricord.data.readers.folder import is_clip_folder, read_folder
from tricord.data.readers.label_table import read_label_file
from tricord.data.readers.mmsa import read_mmsa
from tricord.data.readers.npz import read_npz
from tricord.data.schema import Dataset
from tricord.data.store import is_store, read_store
from tricord.errors import DataError

_READERS: dict[str, Callable[[Path], Dataset]] = {
    ".csd": refuse_single_csd,
    ".csv": read_label_file,
    ".npz": read_npz,
    ".pkl": read_mmsa,
}
_FOLDERS = "a store, label.csv with feature files, or .csd files"


def read(path: str | Path, tick: Tick | None = None) -> Dataset:
    """What is in a file or folder, as it is: not cleaned, and read when asked for where it can be.

    A folder is a store, a folder of clips or of `.csd` files, by what is in it; a file is what its
    suffix says (unknown ones are read as ``.pkl``). tick: of the files read, and in all. Raises
    DataError where there is no such path, or it cannot be used.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if not path.is_dir():
        return _READERS.get(path.suffix.lower(), read_mmsa)(path)
    if is_store(path):
        return read_store(path)
    if is_clip_folder(path):
        return read_folder(path, tick)
    if any(child.suffix.lower() == ".csd" for child in path.iterdir()):
        return read_csd_folder(path)
    raise DataError(f"{path}: is a folder, expected a feature file, or a folder with {_FOLDERS}")


def load(path: str | Path, tick: Tick | None = None) -> Dataset:
    """The data set in a file or folder (see `read`), fit for use (see `admit`).

    In memory, but for a store, which stays mapped.
    """
    found = read(path, tick)
    return found if is_store(Path(path).expanduser()) else admit(found)
