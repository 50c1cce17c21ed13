"""tricord data check: what is wrong, odd or worth knowing about a data file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from tricord.data.check import Finding, Report

_COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_CLASSES = ("negative", "neutral", "positive")
_MOST_NOTICES = 4


def command(
    file: Annotated[
        Path, typer.Argument(help="A feature file, a store, a folder or a label table.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where an error is found.")
    ] = False,
    known: Annotated[
        str | None,
        typer.Option("--as", help="Compare with: ch-sims, ch-sims-v2, mosi, mosei."),
    ] = None,
    by: Annotated[
        Path | None,
        typer.Option(
            help="Speakers, none of which may be in two splits: .csv (id,group) or .json."
        ),
    ] = None,
) -> None:
    """What is wrong, odd or worth knowing about a data file, and what to do.

    It is compared with the published data sets that it looks like: checksums, split sizes, shapes,
    D_msc and D_msi. Then its numbers, lengths, labels, duplicates, overlaps, tokens and texts are
    looked at. Nothing is changed.

    Example:

    \b
        tricord data check unaligned_39.pkl
        tricord data check my.tricord --strict --json > check.json
    """
    import json
    from functools import partial

    from rich.console import Console

    from tricord.data.check import check
    from tricord.data.derive.grouping import read_groups
    from tricord.data.load import read

    named = None if by is None else read_groups(by)
    with _progress() as progress:
        progress("reading", 0, 0)
        report = check(
            read(file, partial(progress, "reading")),
            path=file.expanduser(),
            known=known,
            groups=named,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
    else:
        console = Console(highlight=False)
        for part in _render(report):
            console.print(part)
    if strict and report.has_errors:
        raise typer.Exit(1)


def _progress() -> AbstractContextManager[Callable[[str, int, int], None]]:
    """A bar on a terminal, nothing elsewhere; told what is done, how much, and of how much."""
    from contextlib import contextmanager

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from tricord.cli.console import console

    @contextmanager
    def bar() -> Iterator[Callable[[str, int, int], None]]:
        columns = (TextColumn("{task.description}"), BarColumn(24), TimeRemainingColumn())
        shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        with shown:
            task = shown.add_task("", total=None)

            def tell(what: str, done: int, total: int) -> None:
                shown.update(task, description=what, completed=done, total=total or None)

            yield tell

    return bar()


def _render(report: Report) -> Iterator[RenderableType]:
    """For 80 columns: what it is, what it holds, findings worst first, the verdict."""
    yield _title(report)
    yield _splits(report)
    for notice in report.counts["notices"][:_MOST_NOTICES]:
        yield _text(f"read: {notice}")
    if len(report.counts["notices"]) > _MOST_NOTICES:
        yield _text(f"and {len(report.counts['notices']) - _MOST_NOTICES} more, see --json")
    for group in _grouped(report):
        yield _finding(group)
    yield _verdict(report)


def _text(words: str, style: str = "") -> Text:
    """Words of any file, without what would move the cursor."""
    from rich.text import Text

    from tricord.cli.data.plain import plain

    return Text(plain(words), style=style, overflow="fold")


def _title(report: Report) -> Text:
    found = report.recognised
    name = Path(report.file).name
    if found["title"] is None:
        line = _text(f"{name}: no data set that is known", "bold")
    else:
        line = _text(f"{name}: {found['title']}, {found['certainty']}", "bold")
    line.append_text(_text("\n" + "; ".join(found["why"]), "not bold"))
    if report.sha256:
        line.append_text(_text(f"\nSHA-256 {report.sha256}", "not bold"))
    return line


def _splits(report: Report) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    splits: dict[str, Any] = report.counts["splits"]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    signed = any(split["classes"].keys() == set(_CLASSES) for split in splits.values())
    labels = "neg/neu/pos" if signed else "labels"
    for place, column in enumerate(("split", "clips", "videos", labels, "largest", "msc/msi")):
        table.add_column(column, justify="left" if place == 0 else "right")
    paper = any("paper_subsets" in split for split in splits.values())
    if paper:
        table.add_column("Table I", justify="right")
    for name, split in splits.items():
        majority = split["majority"]
        table.add_row(
            _text(name),
            str(split["clips"]),
            str(split["videos"]),
            _text("/".join(map(str, split["classes"].values()))),
            "-" if majority is None else f"{100 * majority:.1f} %",
            _pair(split["subsets"]),
            *([_pair(split.get("paper_subsets", {}))] if paper else []),
        )
    widths = report.counts["widths"]
    lengths = (split["lengths"] for split in splits.values())
    shapes = {
        modality: max(found["padded"] for found in of)
        for modality, of in _by_modality(list(lengths)).items()
        if widths[modality]
    }
    table.caption = ", ".join(f"{m} {length} x {widths[m]}" for m, length in shapes.items())
    table.caption_justify = "left"
    return table


def _by_modality(splits: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [split[name] for split in splits if name in split] for name in splits[0]}


def _pair(subsets: dict[str, int]) -> str:
    return f"{subsets['D_msc']}/{subsets['D_msi']}" if "D_msc" in subsets else "-"


def _grouped(report: Report) -> Iterator[list[Finding]]:
    """Findings that differ in the place only, together."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in report.findings:
        key = (finding.severity, finding.rule, finding.means, finding.do)
        groups.setdefault(key, []).append(finding)
    yield from groups.values()


def _finding(group: list[Finding]) -> RenderableType:
    from rich.console import Group
    from rich.padding import Padding

    first = group[0]
    head = _text(f"\n{first.severity} ", _COLOURS[str(first.severity)])
    head.append_text(_text(first.rule, "bold"))
    lines = [_text(line) for finding in group for line in _found(finding)]
    lines += [_text(first.means, "dim"), _text(f"-> {first.do}", "green")]
    return Group(head, *(Padding(line, (0, 0, 0, 2), expand=False) for line in lines))


def _found(finding: Finding) -> Iterator[str]:
    where = finding.where
    place = ", ".join(filter(None, ["/".join(where.splits), where.modality]))
    yield f"{place}: {finding.found}" if place else finding.found
    if where.ids:
        yield f"such as {', '.join(where.ids)}"


def _verdict(report: Report) -> Text:
    from tricord.data.check import Severity

    counts = {severity: len(report.of(severity)) for severity in Severity}
    said = ", ".join(f"{n} {severity}{'s' if n != 1 else ''}" for severity, n in counts.items())
    if counts[Severity.ERROR]:
        return _text(f"\n{said}: results on this file would be wrong", _COLOURS["error"])
    if counts[Severity.WARNING]:
        return _text(f"\n{said}: look at the warnings before training", _COLOURS["warning"])
    if not _has_features(report):
        return _text(f"\n{said}: labels only, there are no features to train on", "bold green")
    return _text(f"\n{said}: nothing stands against using it", "bold green")


def _has_features(report: Report) -> bool:
    splits = report.counts["splits"].values()
    return any(report.counts["widths"].values()) or any(split["tokens"] for split in splits)
