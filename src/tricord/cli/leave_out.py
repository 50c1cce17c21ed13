"""tricord leave-out: every speaker or video is test once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tricord.cli.train import DEVICE

if TYPE_CHECKING:
    from rich.console import Group

    from tricord.experiments.leave_out import LeftOut


def command(
    file: Annotated[
        Path, typer.Argument(help="A feature file, a store or a folder, of any known kind.")
    ],
    models: Annotated[
        str, typer.Option(help="Names with commas between, or all; tricord models lists them.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to make; it will hold all runs.")],
    by: Annotated[
        str,
        typer.Option(help="video, speaker, or a file: .csv (id,group) or .json (id -> group)."),
    ] = "speaker",
    preset: Annotated[
        str | None, typer.Option(help="Labels and sizes; chosen from the data if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many trainings of each model.")] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="MODEL.SETTING=VALUE, or all.SETTING=VALUE for every model; repeatable."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help=DEVICE)] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Judge models on people that they never saw, one speaker at a time.

    For small data: each group is test once, the others train and choose, so that every clip
    counts. All splits of the file are pooled. Writes leave-out.json and leave-out.md; the same
    command goes on where it stopped.

    Example:

    \b
        tricord leave-out mydata.tricord --models cmc,text-only --out honest
    """
    import json

    from rich.console import Console

    from tricord.cli.compare import by_model, models_named
    from tricord.cli.console import console, read
    from tricord.cli.data.split import groups_by
    from tricord.cli.live import Live
    from tricord.cli.train import parse_settings
    from tricord.experiments.leave_out import Plan, leave_out
    from tricord.experiments.leave_out_text import to_json

    names = models_named(models)
    chosen = by_model(parse_settings(settings or []), names)
    data = read(file)
    groups, notes = groups_by(data, by)
    for note in notes:
        console.print(f"note: {note}", soft_wrap=True)
    plan = Plan(names, preset, range(1, seeds + 1), settings=chosen)
    with Live() as live:
        found = leave_out(
            data,
            groups,
            plan,
            out,
            observer=live,
            tick=live.encoding,
            device=device,
            say=lambda line: console.print(line, style="bold", markup=False, soft_wrap=True),
        )
    if as_json:
        typer.echo(json.dumps(to_json(found), indent=1, ensure_ascii=False))
    else:
        Console(highlight=False).print(_shown(found))
    console.print(f"kept in {out}: leave-out.md, leave-out.json", soft_wrap=True)


def _shown(found: LeftOut) -> Group:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from tricord.experiments.compare_table import SIMULATED
    from tricord.experiments.leave_out_text import columns, title

    rows = {row.name: columns(found, row) for row in found.rows}
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column("", overflow="fold", max_width=20)
    for column in next(iter(rows.values())):
        table.add_column(column, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *cells.values())
    head = [Text(SIMULATED, style="bold")] if found.simulated else []
    note = "worst, best: of single groups; p: against the best model, Holm-corrected"
    return Group(*head, Text(title(found), style="bold"), table, Text(note))
