"""tricord data fix: a cleaned data set and a log of every change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tricord.cli.data.derived import Out, Overwrite, Source

if TYPE_CHECKING:
    from tricord.data.derive.fix_log import Change

_MOST_LINES = 12


def command(
    source: Source,
    out: Out,
    log: Annotated[
        Path | None,
        typer.Option(help="Where the log goes; NAME.fixes.json beside OUT if not told."),
    ] = None,
    replace_nonfinite: Annotated[
        str, typer.Option(help="NaN and inf become: zero, or column-mean (of train).")
    ] = "zero",
    drop_overlap: Annotated[
        str, typer.Option(help="Leaves training if another split has it: clip, or video.")
    ] = "clip",
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="Of one id with two contents keep the first.")
    ] = False,
    trim: Annotated[
        bool,
        typer.Option(
            "--trim-zero-padding/--keep-zero-padding", help="End lengths where zeros begin."
        ),
    ] = True,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Drop equal clips under other ids too.")
    ] = False,
    drop_dead_columns: Annotated[
        bool, typer.Option("--drop-dead-columns", help="Drop columns constant in train.")
    ] = False,
    zero_is_absent: Annotated[
        bool, typer.Option("--zero-is-absent", help="A modality of zeros alone is absent.")
    ] = False,
    drop_absent: Annotated[
        bool, typer.Option("--drop-absent", help="Drop clips that lack a modality.")
    ] = False,
    preset: Annotated[
        str | None, typer.Option(help="Report labels beyond the range of ch-sims, mosi, ...")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a cleaned copy, and a log of every change.

    Without options it mends what needs no decision: cells that are not finite
    become 0; a clip that is there twice, with equal content, stays once; a clip
    in two splits leaves the one of training (test never loses a clip); lengths
    end where the zeros of the padding begin. Labels are never changed: what is
    out of range is reported.

    Example:

    \b
        tricord data fix raw.pkl clean.tricord --drop-dead-columns
    """
    from typing import get_args

    from tricord import presets
    from tricord.cli.console import console
    from tricord.cli.data.derived import one_of, opened, save, show_changes
    from tricord.data.derive.fix import WIDEST, Rules, fix
    from tricord.data.derive.fix_frames import Fill
    from tricord.data.derive.fix_rows import Shared

    place = log or out.with_suffix(".fixes.json")
    labels = None if preset is None else presets.get(preset).labels
    rules = Rules(
        fill=one_of("--replace-nonfinite", replace_nonfinite, get_args(Fill)),
        overlap=one_of("--drop-overlap", drop_overlap, get_args(Shared)),
        keep_first=keep_first,
        trim=trim,
        equal_clips=drop_duplicates,
        dead_columns=drop_dead_columns,
        zero_is_absent=zero_is_absent,
        absent=drop_absent,
        label_range=WIDEST if labels is None else (labels.low, labels.high),
    )
    _check_log(place, overwrite)
    data = opened(source, out, overwrite=overwrite)
    with console.status("looking for what to fix"):
        fixed, changes = fix(data, rules)
    done = {"command": "fix", "log": place.name, "changes": len(changes)}
    notes = save(fixed, source, out, overwrite=overwrite, done=done)
    _write_log(place, source, out, changes)
    _show(changes)
    show_changes(data, fixed, out, (*notes, f"every change is in {place}"))


def _check_log(place: Path, overwrite: bool) -> None:
    from tricord.errors import DataError

    if place.exists() and not overwrite:
        raise DataError(f"{place}: exists already; --overwrite replaces it")


def _write_log(place: Path, source: Path, out: Path, changes: list[Change]) -> None:
    import json

    from tricord._version import __version__
    from tricord.data.derive.fix_log import as_json
    from tricord.files import write_atomically

    content = {
        "source": source.name,
        "written": out.name,
        "tricord": __version__,
        "changes": as_json(changes),
    }
    text = json.dumps(content, indent=1, ensure_ascii=True)
    write_atomically(place, lambda path: path.write_text(text, encoding="utf-8"))


def _show(changes: list[Change]) -> None:
    """One line for each kind of change; columns are in the log."""
    from tricord.data.derive.fix_log import summary

    lines = summary(changes)
    for line in lines[:_MOST_LINES] or ("nothing to fix",):
        typer.echo(line)
    if len(lines) > _MOST_LINES:
        typer.echo(f"and {len(lines) - _MOST_LINES} more kinds of changes")
