"""tricord importance: do the weights tell what a prediction depends on?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Group

    from tricord.evaluation.statistics import Interval
    from tricord.experiments.importance import Result


def command(
    run: Annotated[Path, typer.Argument(help="A folder that tricord train made, of CMC.")],
    split: Annotated[str, typer.Option(help="test or valid.")] = "test",
    repeats: Annotated[
        int, typer.Option(min=1, help="Permutations that are averaged for each modality.")
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """What shuffling or removing a modality changes, beside the weights that MCR gave it.

    All seeds of the run. Writes importance-SPLIT.json and a figure (.png, .svg) into its folder.

    Example:

    \b
        tricord importance my-run
    """
    import json

    from rich.console import Console

    from tricord.api import load_model
    from tricord.cli.console import console
    from tricord.experiments.importance import measure, write

    with console.status("reading the run") as status:
        trained = load_model(run)
        data = trained.dataset()
        total = len(trained.trained)
        status.update(f"shuffling and removing modalities, {total} to do (seeds)")
        found = measure(
            trained,
            data,
            split,
            repeats,
            tick=lambda done, total: status.update(f"seed {done} of {total} is done"),
        )
        assert trained.folder is not None  # it was read from there
        path = write(found, trained.folder)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        Console(highlight=False).print(_shown(found))
    console.print(f"kept: {path}, and a figure (.png, .svg) beside it", soft_wrap=True)


def _shown(found: Result) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from tricord.experiments.compare_table import SIMULATED
    from tricord.report.words import counted

    head = ("weight", "accuracy lost", "log loss gained", "change", "rank corr.")
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for column in head:
        table.add_column(column, justify="right", no_wrap=True)
    for one in found.modalities:
        table.add_row(
            one.name,
            _cell(one.weight),
            _cell(one.accuracy_lost, 100, 1),
            _cell(one.loss_gained),
            _cell(one.size),
            "-" if one.spearman is None else _cell(one.spearman),
        )
    title = (
        f"{found.model} on {found.split}: {counted(found.clips, 'clip')}, "
        f"{counted(len(found.seeds), 'seed')}, mean and 95 % interval"
    )
    return Group(
        *([Text(SIMULATED, style="bold")] if found.simulated else []),
        Text(title, style="bold"),
        table,
        Text(
            "accuracy lost (points), log loss gained: by shuffling the modality between clips; "
            "change: of the decided class' probability when it is removed; rank corr.: of weight "
            "and that change, over clips"
        ),
        Text(found.verdict, style="bold"),
    )


def _cell(interval: Interval, scale: float = 1, digits: int = 2) -> str:
    numbers = (interval.estimate, interval.low, interval.high)
    estimate, low, high = (f"{scale * x:.{digits}f}" for x in numbers)
    return f"{estimate}\n({low}, {high})"
