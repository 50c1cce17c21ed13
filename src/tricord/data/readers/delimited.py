"""Text tables of comma, semicolon or tab separated cells, read row by row."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from tricord.data.readers.encoding import GB18030, WESTERN, decoded
from tricord.errors import DataError

_FOREIGN = re.compile(r"\w*[^\x00-\x7f]\w*")  # a word with what is not ASCII
_DELIMITERS = (",", ";", "\t")
_MOST_COLUMNS = 1 << 16
_SHOWN = 40
# Of a label table; CMU-MOSEI's, the largest of this field, has 23 thousand rows.
_MOST_BYTES = 1 << 25
_MOST_ROWS = 1_000_000
UNKNOWN = frozenset(("", "nan", "na", "n/a", "none", "null"))  # in lower case


def shown(cell: str) -> str:
    """A cell as messages quote it: on one line, and not endless."""
    return repr(cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}...")


def named(names: Iterable[str], most: int = 3) -> str:
    """Some of the names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(map(shown, every[:most])) + more


def records(lines: Iterable[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number from 1, cells) of every row that is not blank.

    lines: with their line ends. The separator is the one found most often in the first line that
    is not blank. Cells may be quoted, and then hold separators and line ends; blanks in front of
    a cell are left out.

    Raises DataError naming file and line, for a quote that does not end where the cell does, a
    cell of more than 128 KiB, more than 65,536 columns, or a NUL character.
    """
    checked = _checked(lines, path)
    start, first = next(((n, text) for n, text in checked if text.strip()), (1, ""))
    rows = csv.reader(
        chain([first], (text for _, text in checked)),
        delimiter=_delimiter(first),
        skipinitialspace=True,
        strict=True,  # a forgotten quote would swallow rows without a word
    )
    line = start
    try:
        for cells in rows:
            if any(map(str.strip, cells)):
                yield line, cells
            line = start + rows.line_num
    except csv.Error as error:
        raise DataError(f"{path}: line {line}: no readable row ({error})") from None


def read_rows(path: Path) -> tuple[list[tuple[int, list[str]]], list[str], str]:
    """All rows of a file (see `records`), at least one; notices; and what separates cells.

    The text is decoded as by `decoded`; a guess is a notice.
    """
    text, notices = _decoded(path)
    lines = io.StringIO(text, newline="")
    separator = _delimiter(next(filter(str.strip, lines), ""))
    rows = list(islice(records(io.StringIO(text, newline=""), path), _MOST_ROWS + 1))
    if len(rows) > _MOST_ROWS:
        raise DataError(f"{path}: more than {_MOST_ROWS} rows found, expected a label table")
    if not rows:
        raise DataError(f"{path}: empty file, expected a label table")
    return rows, notices, separator


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def file_in(folder: Path, name: str) -> Path | None:
    """The file of this name below a folder; raises DataError where a link is on the way."""
    path = folder
    try:
        for part in PurePosixPath(name).parts:
            path = path / part
            if path.is_symlink():
                raise DataError(f"{path}: is a link, expected what belongs to the folder itself")
        return path if path.is_file() else None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _checked(lines: Iterable[str], path: Path) -> Iterator[tuple[int, str]]:
    for number, text in enumerate(lines, start=1):
        if "\0" in text:
            raise DataError(f"{path}: line {number}: a NUL character found, expected text")
        most = max(map(text.count, _DELIMITERS))
        if most >= _MOST_COLUMNS:
            raise DataError(
                f"{path}: line {number}: {most + 1} columns found, expected at most {_MOST_COLUMNS}"
            )
        yield number, text


def number(cell: str) -> float | None:
    """The finite number that a cell holds, if it holds one."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def is_number(cell: str) -> bool:
    """Whether a cell is a number, infinite or unknown ones included."""
    if cell.strip().lower() in UNKNOWN:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def unknown(cells: Sequence[str]) -> NDArray[np.bool_]:
    """(N,) whether a cell says that nothing is known."""
    return np.array([cell.strip().lower() in UNKNOWN for cell in cells])


class Cells:
    """The cells of a table, by the names in its header, which may be in any case.

    separator: of the cells; with ";", as spreadsheet programs write it in many countries, numbers
    may have decimal commas.
    """

    def __init__(
        self,
        path: Path,
        header: Sequence[str],
        rows: Sequence[tuple[int, list[str]]],
        separator: str = ",",
    ) -> None:
        self.path, self.separator = path, separator
        self.header = [name.strip() for name in header]
        self.places = {name.lower(): place for place, name in enumerate(self.header)}
        self.rows = rows
        twice = [name for name, n in Counter(map(str.lower, self.header)).items() if n > 1 and name]
        if twice:
            raise DataError(f"{path}: column {shown(twice[0])} found twice, expected once")
        if not rows:
            raise DataError(f"{path}: no row below the header found, expected at least one")
        for line, cells in rows:
            surplus = cells[len(self.header) :]
            if len(cells) < len(self.header) or any(map(str.strip, surplus)):
                raise DataError(
                    f"{path}: line {line}: {len(cells)} cells found, expected {len(self.header)} "
                    "as in the header"
                )

    def __contains__(self, name: str) -> bool:
        return name.lower() in self.places

    def expect(self, *choices: tuple[str, ...]) -> None:
        """Raises DataError where none of these sets of columns is there."""
        if not any(all(name in self for name in choice) for choice in choices):
            wanted = ", or ".join(" and ".join(map(repr, choice)) for choice in choices)
            raise DataError(
                f"{self.path}: columns {named(self.header, 10)} found, expected {wanted}"
            )

    def error(self, row: int, name: str, problem: str) -> DataError:
        return DataError(f"{self.path}: line {self.rows[row][0]}, column '{name}': {problem}")

    def column(self, name: str) -> tuple[str, ...]:
        """Its cells as they are."""
        place = self.places[name.lower()]
        return tuple(cells[place] for _, cells in self.rows)

    def names(self, name: str) -> tuple[str, ...]:
        """Its cells without blanks around them."""
        return tuple(map(str.strip, self.column(name)))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """(N,) float64, NaN where a cell says that it is unknown."""
        values = np.full(len(self.rows), np.nan)
        cells = self.names(name)
        for row, cell in enumerate(self._with_points(cells) or cells):
            if cell.lower() in UNKNOWN:
                continue
            value = number(cell)
            if value is None:
                comma = ", with a point and no comma" if "," in cell else ""
                raise self.error(
                    row, name, f"{shown(cell)} found, expected a number such as -0.4{comma}"
                )
            values[row] = value
        return values

    def _with_points(self, cells: Sequence[str]) -> list[str] | None:
        """The cells with points for decimal commas, unless some number is of another kind."""
        points = [cell.replace(",", ".") for cell in cells]
        fit = (number(cell) is not None or cell.lower() in UNKNOWN for cell in points)
        commas = self.separator == ";" and not any("." in cell for cell in cells)
        return points if commas and all(fit) else None


def _decoded(path: Path) -> tuple[str, list[str]]:
    """The text of a file, and a notice where it is not UTF-8."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(
                f"{path}: {path.stat().st_size} bytes found, expected a label table of at most "
                f"{_MOST_BYTES}"
            )
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    text, guess = decoded(data)
    if guess is None:
        return text, []
    if "\ufffd" in text:
        raise DataError(f"{path}: no text in UTF-8, {GB18030} or {WESTERN}, expected a label table")
    sample = "".join(_FOREIGN.findall(text)[:1])
    said = f"no UTF-8: read as {guess}, such as {shown(sample)}; look at it, and save it as UTF-8"
    return text, [said]
