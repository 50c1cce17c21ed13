"""A result as words: cells of a table, Markdown, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tricord.experiments.compare_table import SIMULATED
from tricord.experiments.reproduce.budget import BUDGETS, PROTOCOLS, TOO_SMALL
from tricord.experiments.reproduce.measure import SIZE
from tricord.experiments.reproduce.page import NONE, grid
from tricord.experiments.reproduce.result import Found, Number, Outcome, Result
from tricord.files import write_atomically
from tricord.report.words import percent, signed
from tricord.training.checkpoint import write_json

NOTES = (
    "Ours: the mean over seeds in percent, ± the standard deviation over seeds, and in brackets "
    "the 95 % interval of the mean, whole videos of test resampled. Paper: what it prints, of one "
    "seed.",
    "Rows that differ from CMC in stage 2 alone go on from the stage 1 of CMC with the same seed.",
)
CLAIMS = (
    "What the paper's text states, tested here: the first row minus the second in points, on the "
    "same clips, seeds and videos resampled, two-sided; p is corrected by Holm's method over the "
    "lines of this list."
)
FIELDS = (
    *("data set", "row", "column", "mean", "sd", "low", "high", "paper", "clips", "seeds"),
    "not run",
)


def write(result: Result, out: Path) -> None:
    """``NAME.json``, ``NAME.md`` and ``NAME.csv`` in the folder."""
    name = result.experiment.name
    write_json(out / f"{name}.json", result.to_json())
    for suffix, text in ((".md", markdown(result)), (".csv", as_csv(result))):
        write_atomically(out / f"{name}{suffix}", partial(_put, text=text))


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def ours(number: Number | None, *, brief: bool = False) -> str:
    """``84.9 ± 0.5 [82.1, 87.6]``; brief: without the interval."""
    if number is None:
        return NONE
    spread = "" if number.spread is None else f" ± {percent(number.spread)}"
    i = number.interval
    ends = "" if brief else f" [{percent(i.low)}, {percent(i.high)}]"
    return f"{percent(number.mean)}{spread}{ends}"


def cells(found: Found, columns: tuple[str, ...], *, brief: bool = False) -> list[str]:
    """Ours and the paper's, column by column."""
    return [text for column in columns for text in _pair(found, column, brief=brief)]


def _pair(found: Found, column: str, *, brief: bool) -> tuple[str, str]:
    printed = found.paper.get(column)
    if column == SIZE:
        sizes = (found.size, printed)
        own, paper = (NONE if size is None else f"{size:,.0f}" for size in sizes)
        return own, paper
    return ours(
        found.numbers.get(column), brief=brief
    ), NONE if printed is None else f"{printed:.2f}"


def verdict(result: Result, tested: Outcome) -> str:
    """Of a claim, in words."""
    return TOO_SMALL if result.too_small and tested.difference is not None else tested.verdict


def terms(result: Result) -> str:
    """Protocol, budget, seeds and what was set by hand in a line."""
    seeds = ", ".join(map(str, result.seeds))
    by_hand = ", ".join(f"`{setting}`" for setting in result.by_hand)
    return (
        f"Protocol {result.protocol}: {PROTOCOLS[result.protocol]}. "
        f"Budget {result.budget}: {BUDGETS[result.budget].about}. Seeds: {seeds}."
        f"{f' Set by hand: {by_hand}.' if by_hand else ''}"
    )


def markdown(result: Result) -> str:
    """The whole result as a document."""
    experiment = result.experiment
    parts = [
        f"# {experiment.title}",
        f"**{SIMULATED}**" if result.simulated else "",
        f"**Budget {result.budget}: {TOO_SMALL}.**" if result.too_small else "",
        terms(result),
        *(part for preset in result.columns for part in _of_preset(result, preset)),
        *NOTES,
        _claims(result),
        experiment.caution,
        _provenance(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _of_preset(result: Result, preset: str) -> Iterator[str]:
    """The table of one data set, and below it what its rows have to say."""
    columns = tuple(result.columns[preset])
    rows = result.of(preset)
    counts = ", ".join(f"{column} {n}" for column, n in result.clips[preset].items())
    simulated = ", SIMULATED" if result.simulated else ""
    yield f"## {preset}{simulated}{f' (clips of test: {counts})' if counts else ''}"
    head = ["", *(text for c in columns for text in (f"{c}, ours", f"{c}, paper"))]
    yield grid(head, [_safe([found.row.name, *cells(found, columns)]) for found in rows])
    notes = [f"- {found.row.name}: {'; '.join(said)}" for found in rows if (said := _said(found))]
    yield "\n".join(notes)


def _said(found: Found) -> list[str]:
    """The row's note and why it did not run, each once."""
    if found.row.model is None:
        return [found.reason]
    reason = f"not run: {found.reason}" if found.reason else ""
    return [text for text in (found.row.note, reason) if text]


def _safe(line: list[str]) -> list[str]:
    return [text.replace("|", "/") for text in line]


def _claims(result: Result) -> str:
    if not result.tested:
        return ""
    lines = [_claim(result, tested) for tested in result.tested]
    head = ["claim", "rows", "data set", "column", "difference", "p", "here"]
    return f"{CLAIMS}\n\n{grid(head, lines)}"


def _claim(result: Result, tested: Outcome) -> list[str]:
    claim, i = tested.claim, tested.difference
    difference = NONE
    if i is not None:
        estimate, low, high = (signed(100 * x, 1) for x in (i.estimate, i.low, i.high))
        difference = f"{estimate} [{low}, {high}]"
    p = NONE if tested.p_holm is None else p_value(tested.p_holm)
    rows = f"{claim.higher} above {claim.lower}"
    found = [claim.text, rows, tested.preset, claim.column, difference, p]
    return _safe([*found, verdict(result, tested)])


def p_value(p: float) -> str:
    """Never 0: only so many resamples were drawn."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _provenance(result: Result) -> str:
    data = ", ".join(f"{preset} {print_[:16]}" for preset, print_ in result.fingerprints.items())
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return f"Data {data}; {versions}."


def as_csv(result: Result) -> str:
    """A line for each row and column; percent, sizes as they are."""
    buffer = io.StringIO()
    if result.simulated:
        buffer.write(f"# {SIMULATED}\n")
    writer = csv.DictWriter(buffer, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for preset, columns in result.columns.items():
        for found in result.of(preset):
            writer.writerows(_record(result, found, column) for column in columns)
    return buffer.getvalue()


def _record(result: Result, found: Found, column: str) -> dict[str, object]:
    record: dict[str, object] = {
        "data set": found.preset,
        "row": found.row.name,
        "column": column,
        "paper": found.paper.get(column, ""),
        "clips": result.clips[found.preset].get(column, ""),
        "seeds": len(result.seeds) if found.cells else 0,
        "not run": found.reason,
    }
    if column == SIZE:
        return {**record, "mean": "" if found.size is None else found.size}
    number = found.numbers.get(column)
    if number is None:
        return record
    i = number.interval
    shares = {"mean": number.mean, "sd": number.spread, "low": i.low, "high": i.high}
    return {**record, **{k: "" if v is None else f"{100 * v:.3f}" for k, v in shares.items()}}
