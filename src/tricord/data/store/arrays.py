"""Safetensors files of known layout: written piece by piece, read by mapping, never as a whole."""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tricord.data.regular import open_regular
from tricord.errors import DataError

_CODES = {"float16": "F16", "float32": "F32", "float64": "F64", "int64": "I64"}
_ALIGNMENT = 8


class Shape(NamedTuple):
    """What an array of a file is: the name of its dtype (little-endian), its dimensions."""

    dtype: str
    dimensions: tuple[int, ...]

    @property
    def real_dtype(self) -> np.dtype[Any]:
        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.dimensions) * self.real_dtype.itemsize


Layout = Mapping[str, Shape]  # arrays in the order of the file


def file_bytes(layout: Layout) -> int:
    """How long a file of this layout is."""
    return len(_header(layout)) + sum(shape.size for shape in layout.values())


def _header(layout: Layout) -> bytes:
    """All that comes before the numbers: a length, JSON, and blanks that align what follows."""
    content, end = {}, 0
    for name, shape in layout.items():
        start, end = end, end + shape.size
        content[name] = {
            "dtype": _CODES[shape.dtype],
            "shape": list(shape.dimensions),
            "data_offsets": [start, end],
        }
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _starts(layout: Layout) -> dict[str, int]:
    """Where in the file each array begins."""
    place, starts = len(_header(layout)), {}
    for name, shape in layout.items():
        starts[name] = place
        place += shape.size
    return starts


class ArrayFile:
    """A new safetensors file, filled piece by piece; what is not written is 0.

    Arrays of the layout are aligned to their items if wider items come first. Used as a context:
    when it ends, the file is on the disk, not in a buffer. Raises OSError.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        self._starts = _starts(layout)
        self._file = path.open("wb")
        self._file.write(_header(layout))
        self._file.truncate(file_bytes(layout))

    def write(self, name: str, values: NDArray[Any], row: int = 0) -> None:
        """Rows of an array, from ``row`` on."""
        shape = self._layout[name]
        of_row = math.prod(shape.dimensions[1:]) * shape.real_dtype.itemsize
        self._file.seek(self._starts[name] + row * of_row)
        piece = np.ascontiguousarray(values, dtype=shape.real_dtype)
        self._file.write(piece.reshape(-1).view(np.uint8).data)

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if error is None:
                self._file.flush()
                os.fsync(self._file.fileno())


def map_arrays(path: Path, layout: Layout) -> dict[str, NDArray[Any]]:
    """The arrays of a file that `ArrayFile` wrote, mapped: nothing is read, or can be written to.

    Raises DataError where the file's length or header is not what the layout leads to.
    """
    expected = _header(layout)
    with open_regular(path) as file:
        found = os.fstat(file.fileno()).st_size
        if found != file_bytes(layout):
            raise DataError(f"{path}: {found} bytes found, expected {file_bytes(layout)}")
        if file.read(len(expected)) != expected:
            raise DataError(f"{path}: its header does not fit, expected {dict(layout)}")
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise DataError(f"{path}: cannot be mapped ({error.strerror})") from error
    starts = _starts(layout)
    return {name: _view(data, shape, starts[name]) for name, shape in layout.items()}


def _view(data: mmap.mmap, shape: Shape, start: int) -> NDArray[Any]:
    count = math.prod(shape.dimensions)
    return np.frombuffer(data, shape.real_dtype, count, start).reshape(shape.dimensions)
