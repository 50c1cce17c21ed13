"""Read a pickle that holds numpy arrays and plain containers, and nothing else.

A pickle is a program. Here the only names it may ask for are those that arrays, their dtypes and
bytes are written with, and each is answered by a stand-in of ours: the real numpy functions accept
states that forge dtype flags or unpickle a second time. Any other name is refused, unrun.

A pickle may name what it holds any number of times, so nothing is copied that it can name: arrays
are views of their bytes, and what has to be made of bytes is made once.
"""

from __future__ import annotations

import io
import math
import mmap
import os
import pickle
import pickletools
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tricord.errors import DataError

_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|O8?|[SU][1-9][0-9]{0,8}")
_BYTE_ORDERS = ("<", ">", "=", "|")


def load_pickle(path: Path) -> Any:
    """The content of a pickle file: arrays, strings, numbers, lists, tuples, dictionaries, sets.

    Arrays are numpy arrays of booleans, integers, floats, strings or such objects, of which only
    the last can be written to; the large ones are mapped from the file, not read. Ordered
    dictionaries come as plain ones. Raises DataError, one line, where the file cannot be read, is
    no pickle, is cut short, claims more than it holds, or asks for any other name.
    """
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise DataError("empty file, expected a pickle in the MMSA layout")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return _load(data)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    # What a malformed pickle raises is not documented: nearly any built-in exception.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:100]
        raise DataError(
            f"{path}: not a readable pickle ({type(error).__name__}: {reason}), expected a "
            "feature file in the MMSA layout"
        ) from error


def _load(data: mmap.mmap) -> Any:
    """Run the pickle with its large blocks of bytes left where they are.

    An ordinary unpickler reads each block, copies it into an array, and keeps both to the end.
    """
    blocks, frames, length = _walk(data)
    program = _without(data, blocks, frames, length)
    data.madvise(mmap.MADV_DONTNEED)
    mapped = [np.frombuffer(data, np.uint8, size, start) for _, start, size in blocks]
    return _resolved(_Unpickler(program, mapped).load(), {})


def _without(data: mmap.mmap, blocks: list[_Block], frames: list[int], length: int) -> io.BytesIO:
    """The pickle with a persistent id, the block's number, in the place of each block."""
    program, place = io.BytesIO(), 0
    # Frames are hints for reading ahead and would be too long.
    cuts = [(place, place + _FRAME_BYTES, b"") for place in frames]
    cuts += [
        (opcode, start + size, _BININT + number.to_bytes(4, "little") + _BINPERSID)
        for number, (opcode, start, size) in enumerate(blocks)
    ]
    for start, end, instead in sorted(cuts):
        program.write(data[place:start])
        program.write(instead)
        place = end
    program.write(data[place:length])
    program.seek(0)
    return program


def _resolved(value: Any, known: dict[int, tuple[Any, Any]]) -> Any:
    """The same containers, with every array in place of its stand-in."""
    if isinstance(value, _Array) and value.array is not None:
        return value.array
    if not isinstance(value, _HOLDERS):
        return value
    if id(value) in known:
        return known[id(value)][1]
    known[id(value)] = value, value
    if isinstance(value, tuple):
        whole = tuple(_resolved(item, known) for item in value)
        known[id(value)] = value, whole  # the old one too: no other may take its id
        return whole
    places: Any = value.flat if isinstance(value, np.ndarray) else value
    items = value.items() if isinstance(value, dict) else enumerate(_each(value))
    for key, item in items:
        if isinstance(item, _HOLDERS):
            places[key] = _resolved(item, known)
    return value


def _each(value: NDArray[Any] | list[Any]) -> Iterable[Any]:
    return value.flat if isinstance(value, np.ndarray) else value


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, mapped: list[NDArray[np.uint8]]) -> None:
        super().__init__(file)
        self._mapped = mapped
        # None of these may refer to this object, or its memo would outlive it.
        scalar = _Admitted(_scalars())
        self._names = {
            **_ADMITTED,
            ("_codecs", "encode"): _Admitted(cache(_latin1)),
            ("numpy.core.multiarray", "scalar"): scalar,
            ("numpy._core.multiarray", "scalar"): scalar,
        }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._names[module, name]
        except KeyError:
            raise DataError(
                f"asks for {f'{module}.{name}'[:100]!r}, which is not admitted (only numpy arrays "
                "and plain containers are); nothing of it was run"
            ) from None

    def persistent_load(self, pid: int) -> NDArray[np.uint8]:
        return self._mapped[pid]  # `_walk` refuses the pickle's own


class _Admitted:
    """A callable that a pickle may name; it has no attribute that a pickle could change."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setstate__(self, state: Any) -> NoReturn:
        raise pickle.UnpicklingError("a state for a function")


class _DType:
    """A dtype that is still being read: its code, then its byte order."""

    __slots__ = ("dtype",)
    dtype: np.dtype[Any]

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise DataError(f"holds an array of type {str(code)[:40]!r}, which is not admitted")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *parts = state
        if order not in _BYTE_ORDERS or any(part is not None for part in parts[:3]):
            raise DataError("holds an array of a compound type, which is not admitted")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray[Any, Any]):
    """Stands for an array until it is known where its bytes are.

    array: the real one, a view of its bytes; None for one of objects, which is its own.
    """

    __slots__ = ("array",)
    array: NDArray[Any] | None

    def __array_finalize__(self, source: object) -> None:
        self.array = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, data = state[-4:]
        real = _real_dtype(dtype)
        # A large block of bytes comes as an array; what a pickle makes itself is an `_Array`.
        is_buffer = isinstance(data, bytes | bytearray) or type(data) is np.ndarray
        if isinstance(data, list) != real.hasobject or not (is_buffer or isinstance(data, list)):
            raise pickle.UnpicklingError("array data of the wrong kind")
        if not all(type(n) is int and n >= 0 for n in shape):
            raise pickle.UnpicklingError("array shape of other than whole numbers")
        held = len(data) * (1 if is_buffer else real.itemsize)
        if held != math.prod(shape) * real.itemsize:
            raise DataError(f"an array claims shape {str(shape)[:80]}, its {held} bytes do not fit")
        if is_buffer:
            self.array = np.ndarray(tuple(shape), real, data, order="F" if fortran else "C")
            self.array.flags.writeable = False
            return
        checked: Any = (1, tuple(shape), real, bool(fortran), data)
        super().__setstate__(checked)
        data.clear()  # numpy writes a list for each array; one must not fill many


def _real_dtype(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, _DType):
        raise pickle.UnpicklingError("an array without a type")
    return dtype.dtype


def _new_array(*_: Any) -> _Array:
    return _Array((0,), dtype=np.int8)


def _array_from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _new_array()
    array.__setstate__((1, shape, dtype, order == "F", buffer))
    return array


def _scalars() -> Callable[[Any, Any], Any]:
    """Makes scalars, of a large block of bytes only once."""
    of_large = cache(_plain_scalar)

    def scalar(dtype: Any, data: Any) -> Any:
        return (_plain_scalar if len(data) <= _SMALL else of_large)(_real_dtype(dtype), data)

    return scalar


def _plain_scalar(dtype: np.dtype[Any], data: Any) -> Any:
    """A plain Python number or string; numpy would unpickle the data of an object."""
    if dtype.hasobject or not isinstance(data, bytes) or len(data) != dtype.itemsize:
        raise DataError("holds a numpy scalar of objects, which is not admitted")
    value: NDArray[Any] = np.frombuffer(data, dtype)
    return value[0].item()


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes of an unknown encoding")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


def _empty_dict() -> dict[Any, Any]:
    return {}


def _not_callable(*_: Any) -> NoReturn:
    raise pickle.UnpicklingError("a call of a type")


_HOLDERS = (np.ndarray, dict, list, tuple)
_SMALL = 64  # bytes of a scalar that may be made anew each time
_ADMITTED = {
    ("numpy", "dtype"): _Admitted(_DType),
    ("numpy", "ndarray"): _Admitted(_not_callable),
    **{
        (f"numpy.{core}.{module}", name): _Admitted(make)
        for core in ("core", "_core")
        for module, name, make in (
            ("multiarray", "_reconstruct", _new_array),
            ("numeric", "_frombuffer", _array_from_buffer),
        )
    },
    ("__builtin__", "bytes"): _Admitted(_empty_bytes),
    ("builtins", "bytes"): _Admitted(_empty_bytes),
    ("collections", "OrderedDict"): _Admitted(_empty_dict),
}

_OPCODES = {ord(op.code): op for op in pickletools.opcodes}
_ARGUMENT_BYTES = {code: op.arg.n if op.arg else 0 for code, op in _OPCODES.items()}
_COUNT_BYTES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_LINES = {code: 2 if op.name in ("GLOBAL", "INST") else 1 for code, op in _OPCODES.items()}
_STOP, _FRAME, _PUT, _LONG_BINPUT = (ord(c) for c in (".", "\x95", "p", "r"))
_PUTS = frozenset(ord(c) for c in ("p", "q", "r", "\x94"))
_PERSISTENT = frozenset(ord(c) for c in ("P", "Q"))
_BYTES = {ord("B"): 4, ord("\x8e"): 8, ord("\x96"): 8}  # bytes of their count
_BININT, _BINPERSID = b"J", b"Q"
_FRAME_BYTES = 9
_LARGE_BLOCK = 1 << 16

_Block = tuple[int, int, int]  # place of the opcode, of the bytes, their number


def _walk(data: mmap.mmap) -> tuple[list[_Block], list[int], int]:
    """Large blocks of bytes, places of frames, and the pickle's length, found without running it.

    Raises DataError where a size goes beyond the file or a memo index beyond the number of things
    memorised: the unpickler would set memory aside for either before it noticed.
    """
    blocks: list[_Block] = []
    frames: list[int] = []
    place, memorised = 0, 0
    while place < len(data):
        code = data[place]
        start, place = place + 1, _next_opcode(data, place)
        claim, limit = place, len(data)
        if code == _STOP:
            return blocks, frames, place
        if code in _PERSISTENT:
            raise DataError("asks for an object outside the file, which is not admitted")
        if code in _PUTS:
            memorised += 1
        if code == _LONG_BINPUT:
            claim, limit = int.from_bytes(data[start:place], "little"), memorised
        elif code == _PUT:
            claim, limit = int(data[start:place]), memorised
        elif code == _FRAME:
            claim, limit = int.from_bytes(data[start:place], "little"), len(data) - place
            frames.append(start - 1)
        elif code in _BYTES and place - start > _LARGE_BLOCK:
            blocks.append((start - 1, start + _BYTES[code], place - start - _BYTES[code]))
        if claim > limit:
            raise DataError("truncated or damaged: it claims more than the file holds")
    raise DataError("not a pickle, or a truncated one: the file ends before the pickle does")


def _next_opcode(data: mmap.mmap, place: int) -> int:
    """Where the opcode after the one at ``place`` stands, by what this one says of its size."""
    size = _ARGUMENT_BYTES.get(data[place])
    if size is None:
        raise DataError("not a pickle, or a damaged one, expected a feature file (MMSA layout)")
    if size >= 0:
        return place + 1 + size
    if size == pickletools.UP_TO_NEWLINE:
        end = place
        for _ in range(_LINES[data[place]]):
            end = data.find(b"\n", end + 1)
            if end < 0:
                return len(data) + 1
        return end + 1
    start = place + 1 + _COUNT_BYTES[size]
    return start + int.from_bytes(data[place + 1 : start], "little")
