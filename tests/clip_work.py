"""Work for the workers of an engine; in a module of its own, since a new process imports it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tricord.errors import ConfigError, DataError, TricordError


@dataclass(frozen=True)
class Doubling:
    """Doubles numbers; a word makes it misbehave. opened: a folder with a file for each opening."""

    opened: Path | None = None

    def __call__(self) -> Callable[[int | str], object]:
        if self.opened is not None:
            (self.opened / str(os.getpid())).touch()
        return double


def double(task: int | str) -> object:
    if isinstance(task, int):
        return 2 * task
    return MISDEEDS[task]()


def no_data() -> None:
    raise DataError("clip.mp4: is no clip")


def disk_full() -> None:
    raise TricordError("cache: cannot be written (No space left on device)")


def defect() -> None:
    raise ValueError("a defect\nof two lines")


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ended() -> None:
    os._exit(3)


def limits() -> tuple[int, int]:
    """Threads that torch and OpenCV compute with."""
    import cv2
    import torch

    return torch.get_num_threads(), cv2.getNumThreads()


def slow() -> None:
    time.sleep(60)


MISDEEDS: dict[str, Callable[[], object]] = {
    "no data": no_data,
    "disk full": disk_full,
    "defect": defect,
    "killed": killed,
    "ended": ended,
    "limits": limits,
    "slow": slow,
}


@dataclass(frozen=True)
class Closed:
    """Cannot be opened."""

    how: str

    def __call__(self) -> Callable[[int], int]:
        if self.how == "killed":
            killed()
        raise ConfigError("no such extractor")
