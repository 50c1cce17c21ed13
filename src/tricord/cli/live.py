"""Training as it goes on, on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tricord.cli.console import console
from tricord.training.loop import Observer, Stage
from tricord.training.loop import Progress as Standing

STAGES = {"pretrain": "stage 1, unimodal", "finetune": "stage 2, consensus"}


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
