"""What commands show while they work and when they are done."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tricord.training.loop import Observer, Stage
from tricord.training.loop import Progress as Standing
from tricord.types import Subset

if TYPE_CHECKING:
    from tricord.data.schema import Dataset
    from tricord.evaluation.rows import Cell
    from tricord.evaluation.table import Evaluation

console = Console(stderr=True, highlight=False)
STAGES = {"pretrain": "stage 1, unimodal", "finetune": "stage 2, consensus"}
SIMULATED = "SIMULATED DATA: no conclusion about people or real data sets may be drawn"


class Live(Observer):
    """A line per epoch, and below it a bar with the time left to the last possible epoch."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}, at most"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> Live:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def stage_started(self, stage: Stage, progress: Standing) -> None:
        """Name the stage and say what the lines mean."""
        self._clips = stage.clips
        console.print(f"[bold]{STAGES.get(stage.name, stage.name)}[/bold]: {stage.clips} clips")
        self._task = self._bar.add_task(
            STAGES.get(stage.name, stage.name),
            total=stage.epochs * self._clips,
            completed=progress.epoch * self._clips,
            epoch=progress.epoch,
            epochs=stage.epochs,
        )

    def step_done(self, stage: Stage, epoch: int, clips: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, advance=clips, epoch=epoch)

    def epoch_done(self, stage: Stage, progress: Standing) -> None:
        """One line: losses, and how many labels stand elsewhere than at the start."""
        row = progress.history[-1]
        mark = "*" if progress.stale == 0 else " "
        console.print(f"{progress.epoch:4d}{mark} {describe_epoch(row)}", soft_wrap=True)

    def stage_finished(self, stage: Stage, progress: Standing) -> None:
        """Take the bar away."""
        self._bar.remove_task(self._task)

    def encoding(self, done: int, total: int) -> None:
        """Progress of a text encoder."""
        if "text" not in self._tasks:
            self._tasks["text"] = self._bar.add_task(
                "encoding text once", total=total, epoch=1, epochs=1
            )
        self._bar.update(self._bar.task_ids[-1], completed=done, total=total)
        if done == total:
            self._bar.remove_task(self._bar.task_ids[-1])
            del self._tasks["text"]


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


def describe_epoch(row: Mapping[str, float]) -> str:
    """``loss 3.04 | valid text .84 audio .94 | moved text 12 audio 0``, in under 80 columns."""
    valid = {k.removeprefix("valid_"): v for k, v in row.items() if k.startswith("valid_")}
    moved = [str(int(v)) for k, v in row.items() if k.startswith("moved_")]
    shown = list(valid)
    if "consensus" in valid:
        shown = [n for n in ("consensus", "accuracy") if n in valid]
    elif "supcon" in valid:  # stage 1, which looks at each modality by itself
        shown = [n for n in valid if n not in ("supcon", "loss")]
    parts = [
        f"loss {row['train_loss']:.3f}" if "train_loss" in row else "as handed over",
        "valid " + " ".join(f"{n} {valid[n]:.3f}" for n in shown),
    ]
    if moved:
        parts.append(f"moved {'/'.join(moved)}")
    return " | ".join(parts)


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
