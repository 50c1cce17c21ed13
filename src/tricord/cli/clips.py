"""tricord clips: from a folder of clips to a label table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tricord.clips.init import Report
    from tricord.clips.listing import ClipTable
    from tricord.clips.problems import Problem

_COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
_MOST = 5  # files shown of a problem
_MOST_LABELS = 12  # different ones that are counted one by one
_PATIENCE = 2.0  # seconds without a bar

app = typer.Typer(
    help="Get a folder of clips ready: a label table to fill in, and what may be wrong.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    pass


@app.command("init")
def init(
    clips: Annotated[Path, typer.Argument(help="A folder with clips, in sub-folders or not.")],
    out: Annotated[
        Path | None, typer.Option(help="The label table. Else label.csv in the folder.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a table, with all that was typed into it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Look at every clip, and write a label table to fill in.

    The table has a row for each clip: file, label, text (from a transcript of
    the same name: .txt, .srt or .vtt), speaker (the sub-folder, where there are
    several). Open it in a spreadsheet program, fill in label, and save it as
    CSV. What may be wrong with the files is listed.

    Where the table is there already, it is left as it is and checked: what is
    missing in it, and what is missing in the folder.

    Example:

    \b
        tricord clips init clips/
    """
    import json

    from tricord.clips.init import init_labels

    with _progress("looking at clips") as tick:
        report = init_labels(clips, out, overwrite=overwrite, tick=tick)
    if as_json:
        typer.echo(json.dumps(_json(report), indent=1, ensure_ascii=False))
        return
    _say(_summary(report))
    for problem in report.problems:
        _say_problem(problem)
    _say_table(report)
    _say_next(report)


@app.command("transcribe")
def transcribe(
    clips: Annotated[Path, typer.Argument(help="A folder with clips, or one clip.")],
    model: Annotated[
        str,
        typer.Option(help="faster-whisper:SIZE_OR_FOLDER or transformers:NAME_OR_FOLDER."),
    ],
    download: Annotated[
        bool, typer.Option("--download", help="Allow fetching a model that is not here.")
    ] = False,
) -> None:
    """Let a model of yours write down what is said: CLIP.srt beside every clip.

    Clips that have a transcript (.srt, .vtt, .txt) are left alone, so that the
    same command goes on where it stopped. One that breaks is named, and the
    rest goes on. What a model hears is a guess: look at the words before you
    train on them.

    Example:

    \b
        tricord clips transcribe clips/ --model faster-whisper:small --download
    """
    from tricord.clips.finding import walk
    from tricord.clips.transcribe import transcribe as write
    from tricord.errors import DataError
    from tricord.words.recognise import recogniser

    paths = walk(clips).media if clips.is_dir() else (clips,)
    if not clips.exists() or not paths:
        raise DataError(f"{clips}: no clip found")
    hear = recogniser(model, download=download)
    with _progress("listening") as tick:
        found = write(paths, hear, tick)
    written = [heard for heard in found if heard.written is not None]
    _say(f"{_count(len(written), 'transcript')} written, such as:" if written else "none written")
    for heard in written[:_MOST]:
        _say(f"{heard.written}: {heard.text[:60]}", indent=2)
    others = [heard for heard in found if heard.written is None]
    others.sort(key=lambda heard: not heard.failed)  # of many, these are to be seen
    for heard in others[:_MOST]:
        _say(f"{heard.path}: {heard.why_not}", indent=2)
    if len(others) > _MOST:
        _say(f"and {len(others) - _MOST} more without a new one", indent=2)
    failed = [heard for heard in found if heard.failed]
    if len(failed) == len(found):
        raise DataError(
            f"{clips}: none of {len(found)} clips could be transcribed; the first: "
            f"{failed[0].path}: {failed[0].why_not}"
        )
    if failed:
        _say(f"{len(failed)} failed; the same command tries them again")


def _progress(what: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """A bar on terminals, once it takes longer than two seconds."""
    from contextlib import contextmanager
    from time import monotonic

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    from tricord.cli.console import console

    @contextmanager
    def shown() -> Iterator[Callable[[int, int], None]]:
        bar = Progress(
            *(TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), Left()),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        task = bar.add_task(what, total=None)
        begun = monotonic()

        def tick(done: int, total: int) -> None:
            if monotonic() - begun > _PATIENCE:
                bar.start()
            bar.update(task, completed=done, total=total)

        try:
            yield tick
        finally:
            bar.stop()

    return shown()


def _json(report: Report) -> dict[str, Any]:
    from dataclasses import asdict

    table = report.table
    return {
        "folder": str(report.folder),
        "labels": str(report.labels),
        "written": report.written,
        "clips": [
            {**asdict(row), **asdict(item.info)}
            for row, item in zip(report.rows, report.looked, strict=True)
            if item.info is not None
        ],
        "problems": [asdict(problem) for problem in report.problems],
        "new": list(report.new),
        "missing": [] if table is None else [table.clips[row].id for row in table.missing],
        "unlabelled": len(report.rows) if table is None else int((~table.labelled).sum()),
        "notices": [] if table is None else list(table.notices),
    }


def _summary(report: Report) -> str:
    from statistics import median

    infos = [item.info for item in report.looked if item.info is not None]
    lengths = [info.duration for info in infos]
    texts = sum(bool(row.text) for row in report.rows)
    total = sum(lengths)
    span = f"{total / 60:.1f} minutes" if total >= 60 else f"{total:.1f} s"
    if len(lengths) > 1:
        span += f" ({min(lengths):.1f} to {max(lengths):.1f} s, median {median(lengths):.1f} s)"
    return (
        f"{report.folder}: {_count(len(infos), 'clip')}, {span}\n"
        f"with sound {sum(info.audio is not None for info in infos)}, "
        f"with pictures {sum(info.video is not None for info in infos)}, "
        f"with a transcript {texts}"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _say(words: str, style: str = "", indent: int = 0) -> None:
    """Words of any file, without what would move the cursor."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from tricord.cli.data.plain import plain

    text = Text(plain(words), style=style, overflow="fold")
    screen = Console(highlight=False)
    screen.print(Padding(text, (0, 0, 0, indent), expand=False) if indent else text)


def _say_problem(problem: Problem) -> None:
    _say(f"\n{problem.severity}: {problem.says}", _COLOURS[problem.severity])
    for line in problem.found[:_MOST]:
        _say(line, indent=2)
    if len(problem.found) > _MOST:
        _say(f"and {len(problem.found) - _MOST} more, see --json", indent=2)
    _say(f"-> {problem.do}", "green", indent=2)


def _say_table(report: Report) -> None:
    """What was written, or what is to be known of the table that was there."""
    table = report.table
    if table is None:
        _say(f"\nwritten: {report.labels}, {_count(len(report.rows), 'row')}", "bold")
        return
    known = int(table.labelled.sum())
    labels = f"{_count(len(table.clips), 'row')}, {known} with a label"
    _say(f"\n{report.labels} is there already, left as it is: {labels}", "bold")
    if known:
        _say(f"labels: {_labels(table)}")
    for notice in table.notices:
        _say(f"note: {notice}")
    if report.new:
        _say(f"{_count(len(report.new), 'clip')} not in the table:", _COLOURS["warning"])
        for name in report.new[:_MOST]:
            _say(name, indent=2)
        if len(report.new) > _MOST:
            _say(f"and {len(report.new) - _MOST} more, see --json", indent=2)
        _say("-> Add rows for them, or leave them out.", "green", indent=2)


def _labels(table: ClipTable) -> str:
    """How often each label is there; of many different numbers the least and the greatest.

    So that a slip of the keyboard, such as 55 on a scale to 5, is seen before the extraction.
    """
    from collections import Counter

    words, numbers = table.table.words, table.table.scores[:, 0].tolist()
    of = numbers if words is None else words
    counts = Counter(label for label, known in zip(of, table.labelled, strict=True) if known)
    if words is None and len(counts) > _MOST_LABELS:
        return f"numbers from {min(counts):g} to {max(counts):g}, {len(counts)} different ones"
    shown = (label if isinstance(label, str) else f"{label:g}" for label in sorted(counts))
    parts = [f"{name} ({n})" for name, (_, n) in zip(shown, sorted(counts.items()), strict=True)]
    more = f" and {len(parts) - _MOST_LABELS} more" if len(parts) > _MOST_LABELS else ""
    return ", ".join(parts[:_MOST_LABELS]) + more


def _say_next(report: Report) -> None:
    from shlex import quote

    folder, labels = quote(str(report.folder)), quote(str(report.labels))
    out = quote(f"{report.folder.resolve().name or 'clips'}.tricord")
    table = report.table
    typer.echo("\nnext:")
    if table is None or not table.labelled.all():
        for line in _to_fill(report):
            _say(line, indent=2)
    if table is None:
        own = "" if report.labels.parent == report.folder else f" --out {labels}"
        typer.echo(f"  then check it:  tricord clips init {folder}{own}")
    typer.echo(f"  tricord extract {folder} --labels {labels} --out {out}")


def _to_fill(report: Report) -> list[str]:
    rows = report.rows
    table = report.table
    if table is None and all(row.label for row in rows):
        lines = ["label is filled with the names of the folders: look whether that is meant"]
    else:
        lines = [
            "fill in label: numbers, such as -1 to 1 or 1 to 5, or words, such as angry and calm"
        ]
    if table is not None:
        return lines
    if any(row.speaker for row in rows):
        return [*lines, "look at speaker: it is filled with the name of the sub-folder"]
    return [*lines, "fill in speaker too, if you can: a model has to be tested on other people"]
