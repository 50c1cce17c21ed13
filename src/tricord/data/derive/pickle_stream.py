"""A pickle of plain containers and arrays, written without ever holding an array whole.

The standard pickler keeps every array alive to the end, and names numpy's functions where the
newest numpy has them; here rows go to the file as they come, under the names that every numpy
since 1.0 answers to.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_PROTOCOL = b"\x80\x04"
_EMPTY_DICT, _MARK, _SET_ITEMS, _STOP = b"}", b"(", b"u", b"."
_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
_VERSION, _NOT_FORTRAN, _BYTES8, _TUPLE, _BUILD = b"K\x01", b"\x89", b"\x8e", b"t", b"b"


@dataclass(frozen=True)
class Rows:
    """An array of this shape and dtype whose rows come in blocks, in order."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    blocks: Iterable[NDArray[np.generic]]


def dump(content: Mapping[str, object], file: BinaryIO) -> None:
    """Write a dictionary as a pickle of protocol 4.

    Its values, and those of dictionaries in it, may be arrays, `Rows`, or functions without
    arguments that give one of these when its turn comes; all else is what `pickle` takes, without
    references to itself.
    Raises ValueError where blocks do not make up the shape, and for arrays of objects.
    """
    file.write(_PROTOCOL)
    _dump(content, file)
    file.write(_STOP)


def _dump(value: object, file: BinaryIO) -> None:
    if isinstance(value, Mapping):
        file.write(_EMPTY_DICT + _MARK)
        for key, item in value.items():
            file.write(_plain(key))
            _dump(item, file)
        file.write(_SET_ITEMS)
    elif callable(value):
        _dump(value(), file)
    elif isinstance(value, np.ndarray):
        _dump(Rows(value.shape, value.dtype, [value]), file)
    elif isinstance(value, Rows):
        _dump_rows(value, file)
    else:
        file.write(_plain(value))


def _dump_rows(rows: Rows, file: BinaryIO) -> None:
    if rows.dtype.hasobject:
        raise ValueError("an array of objects has no bytes to write")
    size = int(np.prod(rows.shape, dtype=object)) * rows.dtype.itemsize
    file.write(_ARRAY + _MARK + _VERSION + _plain(rows.shape) + _plain(rows.dtype))
    file.write(_NOT_FORTRAN + _BYTES8 + size.to_bytes(8, "little"))
    for block in rows.blocks:
        size -= file.write(np.ascontiguousarray(block, dtype=rows.dtype).tobytes())
    if size:
        raise ValueError(f"{rows.shape}: {size} bytes are missing")
    file.write(_TUPLE + _BUILD)


def _plain(value: object) -> bytes:
    """The opcodes of a small value, without header and end.

    Protocol 3 has no frames, whose lengths would no longer fit; without a memo the opcodes mean
    the same wherever they stand.
    """
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=3)
    pickler.fast = True
    pickler.dump(value)
    return buffer.getvalue()[2:-1]
