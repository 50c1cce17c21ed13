"""tricord robustness: a run's models on broken data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Group

    from tricord.experiments.robustness_result import Robustness

ALL = "frames,removal,noise,shift,shuffle,transcript"


def command(
    run: Annotated[Path, typer.Argument(help="A folder that tricord train made.")],
    split: Annotated[str, typer.Option(help="test or valid.")] = "test",
    conditions: Annotated[
        str, typer.Option(help="Which, with commas between.", metavar="NAMES")
    ] = ALL,
    repeats: Annotated[
        int, typer.Option(min=1, help="How often what is random is drawn: seeds 1111 and on.")
    ] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Accuracy with lost frames, modalities removed, noise and wrong pairs.

    All seeds of the run are tried. Keeps robustness-SPLIT.json, .md, .png and .svg in the run's
    folder.

    Example:

    \b
        tricord robustness my-run --conditions frames,removal
    """
    import json

    from rich.console import Console

    from tricord.api import load_model
    from tricord.cli.console import console
    from tricord.experiments.robustness import robustness
    from tricord.experiments.robustness_files import write_robustness

    with console.status("reading"):
        trained = load_model(run)
        data = trained.dataset()
    wanted = [name.strip() for name in conditions.split(",") if name.strip()]
    with _bar() as tick:
        found = robustness(
            trained.trained, data, split, conditions=wanted, repeats=repeats, tick=tick
        )
    write_robustness(run, found)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        Console(highlight=False).print(_shown(found))
    console.print(f"kept in {run}: robustness-{split}.json, .md, .png, .svg", soft_wrap=True)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    from tricord.cli.console import console

    columns = (TextColumn("predicting"), BarColumn(24), MofNCompleteColumn(), Left())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _shown(found: Robustness) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from tricord.experiments.compare_table import SIMULATED
    from tricord.experiments.robustness_text import cells, lines, remarks
    from tricord.report.words import counted

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold")
    for column in cells(found, found.clean):
        table.add_column(column, justify="right", no_wrap=True)
    for name, subsets in lines(found):
        table.add_row(name, *cells(found, subsets).values())
    title = (
        f"{found.name} on {found.split}, % ({counted(found.clips_in_all, 'clip')}, "
        f"{counted(len(found.seeds), 'seed')}, {counted(found.repeats, 'repeat')})"
    )
    parts = [Text(SIMULATED, style="bold")] if found.simulated else []
    return Group(*parts, Text(title, style="bold"), table, *(Text(line) for line in remarks(found)))
