"""Files that are opened only if they are files: no link, no pipe, no device."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from tricord.errors import DataError


def open_regular(path: Path) -> BinaryIO:
    """A file for reading; raises DataError where it is missing, a link, or anything but a file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise DataError(f"{path}: missing") from None
    except OSError as error:
        what = "is a link" if path.is_symlink() else f"cannot be read ({error.strerror})"
        raise DataError(f"{path}: {what}, expected a file") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise DataError(f"{path}: is not a file, expected one")
    return os.fdopen(handle, "rb")


def read_regular(path: Path, most: int) -> bytes:
    """All of a small file; raises DataError where it is more than ``most`` bytes."""
    with open_regular(path) as file:
        found = os.fstat(file.fileno()).st_size
        if found > most:
            raise DataError(f"{path}: {found} bytes found, expected {most} at most")
        return file.read()
