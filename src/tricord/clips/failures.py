"""Clips that could not be measured, and why: a table beside the store."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tricord.errors import TricordError
from tricord.files import write_atomically


@dataclass(frozen=True)
class Failed:
    """id, path: of the clip. reason: one line."""

    id: str
    path: Path
    reason: str


def write_failures(path: Path, failed: Sequence[Failed]) -> None:
    """The table (columns id, file, reason), by id; with none, a table of an earlier run is removed.

    Raises TricordError where the disk does not let it.
    """
    if not failed:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise TricordError(f"{path}: cannot be removed ({error.strerror})") from error
        return
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(("id", "file", "reason"))
    rows.writerows((f.id, f.path, f.reason) for f in sorted(failed, key=lambda f: f.id))
    # A file's name may hold bytes that are no text.
    data = text.getvalue().encode("utf-8", "backslashreplace")
    write_atomically(path, lambda place: place.write_bytes(data))
