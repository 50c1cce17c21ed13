"""`.npy` files of numbers: nothing is set aside that the file does not hold."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.readers.delimited import shown
from tricord.data.regular import open_regular
from tricord.errors import DataError

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}  # by version: of the header's length
_MOST_HEADER = 10_000  # numpy's own limit
_MOST_DIGITS = 13
_HEADER = re.compile(
    rb"\{\s*'descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),\s*"
    rb"'shape':\s*\(([0-9, ]*)\),?\s*\}\s*"
)
NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
NUMBERS_OR_TEXT = re.compile(rf"{NUMBERS.pattern}|[<>|=]?[SU][1-9][0-9]{{0,8}}")


def read_npy_frames(path: Path) -> NDArray[np.float32]:
    """(T, D) float32 frames; a file of (D,) is one frame, an empty file (0, 0).

    What float32 cannot hold becomes infinite. Raises DataError where the file is no such array,
    or its header and its length do not agree.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return np.zeros((0, 0), dtype=np.float32)
        shape, fortran, dtype = read_header(str(path), file)
        if len(shape) not in (1, 2) or shape[-1] == 0:
            raise DataError(f"{path}: shape {shape} found, expected (frames, width) or (width,)")
        held = size - file.tell()
        if math.prod(shape) * dtype.itemsize != held:
            raise DataError(f"{path}: shape {shape} does not fit the {held} bytes that follow it")
        values = np.frombuffer(file.read(held), dtype=dtype)
    if values.size != math.prod(shape):
        raise DataError(f"{path}: cut short while it was read")
    with np.errstate(over="ignore", invalid="ignore"):
        frames = values.reshape(shape, order="F" if fortran else "C").astype(np.float32, order="C")
    return np.atleast_2d(frames)


def read_header(
    where: str, file: IO[bytes], admitted: re.Pattern[str] = NUMBERS
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is in Fortran's order, and dtype of the array that follows in the file.

    where: for messages. admitted: codes of dtypes. Nothing of the header is evaluated, and its
    shape is only a claim. Raises DataError.
    """
    start = file.read(8)
    if start[: len(_MAGIC)] != _MAGIC or len(start) < 8 or start[6] not in _LENGTH_BYTES:
        raise DataError(f"{where}: no .npy file, or of an unknown version")
    length = int.from_bytes(file.read(_LENGTH_BYTES[start[6]]), "little")
    if length > _MOST_HEADER:
        raise DataError(f"{where}: a header of {length} bytes claimed, at most {_MOST_HEADER} read")
    found = _HEADER.fullmatch(file.read(length))
    if found is None:
        raise DataError(f"{where}: no readable .npy header found, or one of a compound type")
    kind, fortran, shape = (group.decode("latin-1") for group in found.groups())
    if not admitted.fullmatch(kind):
        expected = "plain numbers" if admitted is NUMBERS else "numbers or text"
        raise DataError(f"{where}: dtype {shown(kind)} found, expected {expected}")
    sizes = shape.replace(" ", "").split(",")
    if max(map(len, sizes)) > _MOST_DIGITS:
        raise DataError(f"{where}: shape ({shown(shape)}) found, expected what a file can hold")
    return tuple(int(size) for size in sizes if size), fortran == "True", np.dtype(kind)
