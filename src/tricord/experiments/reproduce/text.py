"""A result as words: cells of a table, Markdown, CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tricord.experiments.reproduce import page
from tricord.experiments.reproduce.measure import SIZE
from tricord.experiments.reproduce.page import NONE, document, write_text
from tricord.experiments.reproduce.result import Found, Number, Outcome, Result
from tricord.report.words import grid, p_value, percent, signed
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
    write_text(out / f"{name}.md", markdown(result))
    write_text(out / f"{name}.csv", as_csv(result))


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
    paper = NONE if printed is None else f"{printed:.2f}"
    return ours(found.numbers.get(column), brief=brief), paper


def verdict(result: Result, tested: Outcome) -> str:
    """Of a claim, in words."""
    return tested.judged(result.inconclusive)


def markdown(result: Result) -> str:
    """The whole result as a document."""
    experiment = result.experiment
    parts = [
        f"# {experiment.title}",
        *result.paragraphs(),
        *(part for preset in result.columns for part in _of_preset(result, preset)),
        *NOTES,
        _claims(result),
        experiment.caution,
        _provenance(result),
    ]
    return document(parts)


def _of_preset(result: Result, preset: str) -> Iterator[str]:
    """The table of one data set, and below it what its rows have to say."""
    columns = tuple(result.columns[preset])
    rows = result.of(preset)
    counts = ", ".join(f"{column} {n}" for column, n in result.clips[preset].items())
    simulated = ", SIMULATED" if result.simulated else ""
    yield f"## {preset}{simulated}{f' (clips of test: {counts})' if counts else ''}"
    head = ["", *(text for c in columns for text in (f"{c}, ours", f"{c}, paper"))]
    yield grid(head, [[found.row.name, *cells(found, columns)] for found in rows])
    notes = [f"- {found.row.name}: {'; '.join(said)}" for found in rows if (said := _said(found))]
    yield "\n".join(notes)
    if preset in result.power:
        yield result.power[preset].note


def _said(found: Found) -> list[str]:
    """The row's note and why it did not run, each once."""
    if found.row.model is None:
        return [found.reason]
    reason = f"not run: {found.reason}" if found.reason else ""
    return [text for text in (found.row.note, reason) if text]


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
    return [*found, verdict(result, tested)]


def _provenance(result: Result) -> str:
    data = ", ".join(f"{preset} {print_[:16]}" for preset, print_ in result.fingerprints.items())
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return f"Data {data}; {versions}."


def as_csv(result: Result) -> str:
    """A line for each row and column; percent, sizes as they are."""
    records = [
        _record(result, found, column)
        for preset, columns in result.columns.items()
        for found in result.of(preset)
        for column in columns
    ]
    return page.as_csv(records, simulated=result.simulated)


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
    record = {**dict.fromkeys(FIELDS, ""), **record}
    if column == SIZE:
        return {**record, "mean": "" if found.size is None else found.size}
    number = found.numbers.get(column)
    if number is None:
        return record
    i = number.interval
    shares = {"mean": number.mean, "sd": number.spread, "low": i.low, "high": i.high}
    return {**record, **{k: "" if v is None else f"{100 * v:.3f}" for k, v in shares.items()}}
