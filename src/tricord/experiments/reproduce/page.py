"""What an experiment that is more than rows writes: JSON, CSV, and a page; all say what it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tricord.files import write_atomically
from tricord.training.checkpoint import write_json
from tricord.training.trained import versions

if TYPE_CHECKING:
    from tricord.experiments.reproduce.work import Context  # which writes by means of this module

NONE = "-"


def marked(context: Context, title: str) -> str:
    """The title of a drawing; simulated data are named."""
    return f"SIMULATED DATA. {title}" if context.simulated else title


def write(
    context: Context,
    name: str,
    title: str,
    paragraphs: Iterable[str],
    results: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]] = (),
) -> None:
    """``name`` as .md (the terms, then the paragraphs), as .json, and rows as .csv if there are."""
    made_from = {
        "data": {preset: data.fingerprint() for preset, data in context.datasets.items()},
        "versions": versions(),
    }
    write_json(context.out / f"{name}.json", {**context.head(name, title), **made_from, **results})
    parts = [f"# {title}", *context.paragraphs(), *paragraphs]
    write_text(context.out / f"{name}.md", document(parts))
    if rows:
        write_text(context.out / f"{name}.csv", as_csv(rows, simulated=context.simulated))


def document(parts: Iterable[str]) -> str:
    """Those that are not empty, with a line between."""
    return "\n\n".join(part for part in parts if part) + "\n"


def write_text(path: Path, text: str) -> None:
    """Whole or not at all."""
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def as_csv(rows: Sequence[Mapping[str, Any]], *, simulated: bool) -> str:
    """Simulated data are named in a column, so that it stays a table."""
    told = [{**row, "data": "SIMULATED"} if simulated else row for row in rows]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(told[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(told)
    return buffer.getvalue()
