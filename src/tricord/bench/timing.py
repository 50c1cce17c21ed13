"""Clocks: repeated work, and the epochs of a run, after warm-up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from tricord.bench.process import Tick
from tricord.config import RunConfig
from tricord.data.schema import Dataset
from tricord.device import CPU
from tricord.training.cmc import TrainedCMC, train_cmc
from tricord.training.loop import Observer, Stage
from tricord.training.session import Session

_FEW = 16


def seconds(
    work: Callable[[], object], *, runs: int, warm_up: int = 1, tick: Tick | None = None
) -> list[float]:
    """Of each run; the runs before them, for warming up, are not counted."""
    times = []
    for run in range(warm_up + runs):
        start = time.perf_counter()
        work()
        if run >= warm_up:
            times.append(time.perf_counter() - start)
        if tick is not None:
            tick(run + 1, warm_up + runs)
    return times


def median_seconds(work: Callable[[], object], *, runs: int = 3, warm_up: int = 1) -> float:
    """The median of `seconds`."""
    return float(np.median(seconds(work, runs=runs, warm_up=warm_up)))


def epoch_seconds(
    data: Dataset,
    config: RunConfig,
    stage: Literal["pretrain", "finetune"],
    runs: int,
    *,
    folder: Path | None = None,
    tick: Tick | None = None,
    device: torch.device = CPU,
) -> tuple[list[float], TrainedCMC]:
    """Of each epoch, training and validation, of a run of one stage; after an epoch on few clips.

    folder: where the run keeps what runs keep; None in memory. Also returns what was trained.
    """
    one_stage = config.with_settings({"pretrain.epochs": 0, "finetune.epochs": 0})
    run = partial(Session, name="cmc", seed=1, device=device)
    train_cmc(run(few(data), one_stage.with_settings({f"{stage}.epochs": 1})))
    one_stage = one_stage.with_settings({f"{stage}.epochs": runs})
    observer = Observer() if tick is None else _Ticking(tick, runs * len(data["train"]))
    trained = train_cmc(run(data, one_stage, folder=folder, observer=observer))
    return [row["seconds"] for row in trained.history[stage]], trained


def few(data: Dataset) -> Dataset:
    """Some clips of every split, for warming up."""
    rows = {name: np.arange(min(_FEW, len(table))) for name, table in data.splits.items()}
    return replace(data, splits={name: t.take(rows[name]) for name, t in data.splits.items()})


class _Ticking(Observer):
    """Tells of every step, in clips."""

    def __init__(self, tick: Tick, total: int) -> None:
        self.tick, self.total, self.done = tick, total, 0

    def step_done(self, stage: Stage, epoch: int, clips: int) -> None:
        self.done += clips
        self.tick(self.done, self.total)
