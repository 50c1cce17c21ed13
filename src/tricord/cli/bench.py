"""tricord bench: how fast this machine trains, predicts and loads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from typing import Any

    from rich.console import Group

    from tricord.bench.session import Watch
    from tricord.bench.tables import Table

KINDS = ("train", "predict", "load", "growth", "extract")
BASELINES = ("naive", "none")


def command(
    what: Annotated[
        str,
        typer.Argument(
            help="train, predict, load, extract, or growth: how the cost of stage 1 grows."
        ),
    ] = "train",
    size: Annotated[
        str,
        typer.Option(
            help="ch-sims, ch-sims-v2, mosi, mosei or tiny; growth and extract have their own."
        ),
    ] = "ch-sims",
    against: Annotated[
        str, typer.Option(help="For train: naive, the same computation written plainly, or none.")
    ] = "naive",
    quick: Annotated[bool, typer.Option("--quick", help="A few steps stand for an epoch.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="To compute with; torch's own choice if not given.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="For train, which then has no baseline: cpu, cuda, or auto.")
    ] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    out: Annotated[Path | None, typer.Option(help="A JSON file to write as well.")] = None,
) -> None:
    """Measure speed and memory on SIMULATED data, and against the machine's own limits.

    extract: drawn clips through each recipe that is installed, on one core.

    Nothing is fetched: the language model has the shape of BERT-base and random weights. Minutes
    at ch-sims's size; nothing else should run meanwhile.

    Example:

    \b
        tricord bench train --size ch-sims --quick
    """
    import json

    from rich.console import Console

    from tricord.bench.tables import table_of
    from tricord.errors import ConfigError
    from tricord.training.checkpoint import write_json

    if what not in KINDS:
        raise ConfigError(f"{what!r} cannot be measured; there is: {', '.join(KINDS)}")
    if against not in BASELINES:
        raise ConfigError(f"--against {against}: expected one of {', '.join(BASELINES)}")
    if what != "train" and device != "cpu":
        raise ConfigError(f"--device {device}: {what} is measured on the processor alone")
    with _progress() as watch:
        found = _measure(what, size, against, quick, threads, device, watch)
    if out is not None:
        write_json(out, found)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        Console(highlight=False).print(_shown(table_of(found)))


def _measure(
    what: str,
    size: str,
    against: str,
    quick: bool,
    threads: int | None,
    device: str,
    watch: Watch,
) -> dict[str, Any]:
    from tricord.bench.extract import measure_extract
    from tricord.bench.growth import measure_growth
    from tricord.bench.load import measure_load
    from tricord.bench.predict import measure_predict
    from tricord.bench.train import measure_train
    from tricord.device import device_of

    if what == "train":
        return measure_train(
            size,
            plain=against == "naive",
            quick=quick,
            threads=threads,
            device=device_of(device),
            watch=watch,
        )
    if what == "extract":
        return measure_extract(quick=quick, watch=watch)
    if what == "growth":
        return measure_growth(quick=quick, threads=threads, watch=watch)
    measure = measure_predict if what == "predict" else measure_load
    return measure(size, quick=quick, threads=threads, watch=watch)


@contextmanager
def _progress() -> Iterator[Watch]:
    """A bar for what is being measured; where there is no terminal, a line when it begins."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from tricord.cli.console import console

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task("", total=None)
    last = ""

    def watch(what: str, done: int, total: int) -> None:
        nonlocal last
        if what != last:
            last = what
            bar.reset(task, description=what, total=None)
            if not console.is_terminal:
                console.print(what)
        bar.update(task, completed=done, total=total or None)

    with bar:
        yield watch


def _shown(found: Table) -> Group:
    from rich.console import Group
    from rich.table import Table as Cells
    from rich.text import Text

    cells = Cells(box=None, pad_edge=False)
    for place, name in enumerate(found.head):
        cells.add_column(name, justify="left" if place == 0 else "right", overflow="fold")
    for row in found.rows:
        cells.add_row(*row)
    return Group(Text(found.title, style="bold"), cells, *map(Text, found.notes))
