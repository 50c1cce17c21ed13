"""What an experiment that is more than rows writes: JSON, CSV, and a page; all say what it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tricord.experiments.compare_table import SIMULATED
from tricord.experiments.reproduce.budget import BUDGETS, PROTOCOLS, TOO_SMALL
from tricord.files import write_atomically
from tricord.training.checkpoint import write_json
from tricord.training.trained import versions

if TYPE_CHECKING:
    from tricord.experiments.reproduce.run import Context  # which writes by means of this module

NONE = "-"


def head(context: Context, title: str) -> str:
    """The title of a figure; simulated data are named."""
    return f"SIMULATED DATA. {title}" if context.simulated else title


def grid(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |" for line in lines)


def write(
    context: Context,
    name: str,
    title: str,
    paragraphs: Iterable[str],
    results: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]] = (),
) -> None:
    """``name`` as .md (the terms, then the paragraphs), as .json, and rows as .csv if there are."""
    write_json(context.out / f"{name}.json", {**_terms(context, name, title), **results})
    parts = [*_beginning(context, title), *paragraphs]
    _write_text(context, f"{name}.md", "\n\n".join(part for part in parts if part) + "\n")
    if rows:
        _write_text(context, f"{name}.csv", _csv(rows, simulated=context.simulated))


def _terms(context: Context, name: str, title: str) -> dict[str, Any]:
    """On what terms the experiment was run."""
    return {
        "kind": "reproduce",
        "head": SIMULATED if context.simulated else None,
        "simulated": context.simulated,
        "experiment": name,
        "title": title,
        "protocol": {"name": context.protocol, "rule": PROTOCOLS[context.protocol]},
        "budget": {"name": context.budget, "rule": BUDGETS[context.budget].about},
        "too_small": TOO_SMALL if too_small(context) else None,
        "seeds": list(context.seeds),
        "data": {preset: data.fingerprint() for preset, data in context.datasets.items()},
        "versions": versions(),
    }


def _beginning(context: Context, title: str) -> Iterable[str]:
    yield f"# {title}"
    yield f"**{SIMULATED}**" if context.simulated else ""
    yield (
        f"Protocol {context.protocol}: {PROTOCOLS[context.protocol]}. Budget {context.budget}: "
        f"{BUDGETS[context.budget].about}. Seeds: {', '.join(map(str, context.seeds))}."
    )
    yield f"**{TOO_SMALL.capitalize()}.**" if too_small(context) else ""


def too_small(context: Context) -> bool:
    """Whether no direction may be read off what the budget gives."""
    return BUDGETS[context.budget].epochs is not None


def _write_text(context: Context, name: str, text: str) -> None:
    write_atomically(context.out / name, lambda p: p.write_text(text, encoding="utf-8"))


def _csv(rows: Sequence[Mapping[str, Any]], *, simulated: bool) -> str:
    """Simulated data are named in a column, so that it stays a table."""
    marked = [{**row, "data": "SIMULATED"} if simulated else row for row in rows]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(marked[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(marked)
    return buffer.getvalue()
