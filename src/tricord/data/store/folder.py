"""A folder that appears whole or not at all, even if the process is killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tricord.errors import DataError
from tricord.files import lock, locked

PARTIAL, OLD = ".partial", ".old"


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """An empty folder beside ``path`` that takes its place when the block ends well.

    replace: a folder that is there stays until then. What processes that were killed left behind
    is removed first, and a folder that one of them was replacing is put back; a folder that is
    being filled is known by the lock that its process holds.

    Raises DataError where the place or the disk does not let it, and where something is there and
    not to be replaced.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent):
            _clear(path)
            if not replace and os.path.lexists(path):
                raise DataError(f"{path}: exists already, expected a new name")
            partial = Path(
                tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)
            )
            handle = os.open(partial, os.O_RDONLY)
            lock(handle)
        try:
            yield partial
            partial.chmod(0o755)
            _sync(partial)
            with locked(path.parent):
                _put(partial, path, replace)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            os.close(handle)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def _put(partial: Path, path: Path, replace: bool) -> None:
    old = partial.with_suffix(OLD)
    if replace and path.exists():
        path.rename(old)
    partial.rename(path)
    _sync_one(path.parent)
    if old.exists():
        _discard(old)


def _discard(old: Path) -> None:
    """Remove it under a name from which nothing is put back: it may be killed halfway."""
    doomed = old.with_suffix(PARTIAL)
    old.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _clear(path: Path) -> None:
    """Remove what was left behind beside ``path``, which is locked."""
    for entry in os.scandir(path.parent):
        if not entry.name.startswith(f".{path.name}.") or not entry.is_dir(follow_symlinks=False):
            continue
        left = Path(entry.path)
        if entry.name.endswith(OLD):
            if path.exists():
                _discard(left)
            else:
                left.rename(path)
        elif entry.name.endswith(PARTIAL) and _is_abandoned(left):
            shutil.rmtree(left)


def _is_abandoned(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY)
    try:
        return lock(handle)
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    """The names of all files on the disk; their contents are there already."""
    for place, _, _ in os.walk(folder):
        _sync_one(Path(place))


def _sync_one(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
