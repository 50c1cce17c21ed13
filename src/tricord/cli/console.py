"""What commands show while they work and when they are done."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tricord.types import Subset

if TYPE_CHECKING:
    from tricord.data.schema import Dataset
    from tricord.evaluation.rows import Cell
    from tricord.evaluation.table import Evaluation

console = Console(stderr=True, highlight=False)
SIMULATED = "SIMULATED DATA: no conclusion about people or real data sets may be drawn"


def read(file: Path) -> Dataset:
    """A data set, and on the screen what was mended in it and whether it is simulated."""
    from tricord.data.load import load

    with console.status(f"reading {file}"):
        data = load(file)
    for notice in data.notices:
        console.print(f"note: {notice}")
    if data.simulated:
        console.print(SIMULATED, style="bold")
    return data


def say_absent(absent: Collection[str], modalities: Iterable[str], source: str) -> None:
    """What the data lacks and what it was predicted from, where it lacks something."""
    if absent:
        left = ", ".join(name for name in modalities if name not in absent)
        gone = ", ".join(name for name in modalities if name in absent)
        console.print(
            f"no {gone} in {source}: predicted from {left}; weights are over those present",
            soft_wrap=True,
        )


def percent(value: float) -> str:
    """A share as a number of points with one decimal."""
    return f"{100 * value:.1f}"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    interval = cell.interval
    spread = "" if cell.spread is None else f" sd {percent(cell.spread)}"
    separator = "\n" if spread else " "
    low, high = percent(interval.low), percent(interval.high)
    return f"{percent(interval.estimate)}{spread}{separator}({low}-{high})"


def evaluation_table(evaluation: Evaluation) -> Table:
    """The rows of an evaluation, 80 columns wide."""
    seeds = f", {len(evaluation.seeds)} seeds" if len(evaluation.seeds) > 1 else ""
    title = f"{evaluation.metric} on {evaluation.split}, % (95 % interval){seeds}"
    if evaluation.simulated:
        title = f"SIMULATED DATA\n{title}"
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    table.add_column("", overflow="fold")
    for subset, clips in evaluation.clips.items():
        name = "all" if subset is Subset.TEST and evaluation.split != "test" else subset
        table.add_column(f"{name} (n={clips})", justify="right", no_wrap=True)
    for row in evaluation.rows:
        table.add_row(row.name, *(_cell(row.cells[s]) for s in evaluation.clips))
    if evaluation.limits is not None:
        limits = [percent(evaluation.limits[s]) for s in evaluation.clips]
        table.add_row("Bayes limit (population)", *limits, style="italic")
    table.caption = "\n".join([*_beside(evaluation), *evaluation.notes()])
    table.caption_justify = "left"
    return table


def _beside(evaluation: Evaluation) -> list[str]:
    """A line per row with what a share of right decisions does not say, on the whole split."""
    wanted = ("mae", "corr", *(["macro_f1"] if evaluation.metric == "accuracy" else []))
    lines = []
    for row in evaluation.rows:
        cell = row.cells[Subset.TEST]
        found = {} if cell is None else cell.metrics
        numbers = [f"{name} {found[name]:.3f}" for name in wanted if name in found]
        if numbers:
            lines.append(f"{row.name}: {', '.join(numbers)}")
    return lines
