"""Frames in a text table: one row a frame, one column a feature, with a header or without."""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tricord.data.readers.delimited import UNKNOWN, is_number, records, shown
from tricord.data.regular import open_regular
from tricord.errors import DataError

# What openSMILE (SMILExtract and its Python package), OpenFace and pandas write beside features
_NO_FEATURES = frozenset(
    ("", "unnamed: 0", "name", "file", "start", "end", "time", "timestamp", "frame")
).union(("frametime", "frameindex"))

Columns = tuple[str, ...]


class Frames(NamedTuple):
    """values: (T, D) float32. columns: the D names, header: all names; None without a header."""

    values: NDArray[np.float32]
    columns: Columns | None
    header: Columns | None


def read_frames(path: Path, choose: Callable[[Columns], Sequence[int]]) -> Frames:
    """The frames of a file.

    choose: the places of the columns wanted, given the header. A first row with a cell that is no
    number is a header, and so is 0, 1, 2, ..., which pandas writes where columns have no names.
    A cell that is empty or says "nan" becomes NaN, what float32 cannot hold infinite. (0, 0) for
    an empty file, (0, D) for a header alone.

    Raises DataError naming file, line, column, what was found and what was expected.
    """
    with open_regular(path) as file:
        lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
        rows = records(lines, path)
        line, first = next(rows, (0, []))
        header = None
        values = array("f")
        places: Sequence[int] = range(len(first))
        if not all(map(_is_cell, first)) or _are_places(first):
            header = tuple(map(str.strip, first))
            places = choose(header)
        elif first:
            values.extend(_numbers(path, line, first, places))
        for line, cells in rows:
            if len(cells) != len(first):
                raise DataError(
                    f"{path}: line {line}: {len(cells)} cells found, expected {len(first)} as in "
                    "the first row"
                )
            values.extend(_numbers(path, line, cells, places, header))
    frames = np.frombuffer(values, dtype=np.float32) if values else np.empty(0, np.float32)
    rows_found = len(frames) // len(places) if places else 0
    columns = None if header is None else tuple(header[place] for place in places)
    return Frames(frames.reshape(rows_found, len(places)), columns, header)


def feature_places(header: Columns) -> list[int]:
    """The columns of a header that are features: all but names of clips, frames and times."""
    return [place for place, name in enumerate(header) if name.lower() not in _NO_FEATURES]


def _is_cell(cell: str) -> bool:
    """Whether it is of a frame, not of a header. Python also reads ``1_0``, a name, as ten."""
    return is_number(cell) and "_" not in cell


def _are_places(cells: list[str]) -> bool:
    """Whether this is what pandas writes over columns without names: 0, 1, 2, ...

    With nothing above the row numbers, if these are written too. Two numbers may be a frame.
    """
    numbered = bool(cells) and not cells[0].strip()
    names = [cell.strip() for cell in cells[numbered:]]
    return names == [str(place) for place in range(len(names))] and (numbered or len(names) > 2)


def _numbers(
    path: Path,
    line: int,
    cells: Sequence[str],
    places: Iterable[int],
    header: Columns | None = None,
) -> list[float]:
    try:
        return [float(cells[place]) for place in places]
    except ValueError:
        pass  # rare: an empty cell, or one to be named
    numbers = []
    for place in places:
        cell = cells[place].strip()
        if not is_number(cell):
            name = "" if header is None else f" {shown(header[place])}"
            raise DataError(
                f"{path}: line {line}, column {place + 1}{name}: {shown(cell)} found, expected a "
                "number"
            )
        numbers.append(float("nan") if cell.lower() in UNKNOWN else float(cell))
    return numbers
