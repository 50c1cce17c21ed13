"""Cells: one model trained with one seed on one data set, kept under what it depends on.

A cell's key is the hash of its settings, its data, its seed and the source files that training
depends on, so that experiments share the cells that are the same and a finished one is never
trained again. Variants of CMC's stage 2 go on from the stage 1, and the random numbers, of the
cell whose stage 2 is not varied (`Cell.base`), which is trained first: they differ in what is
varied and in nothing else.
"""

from __future__ import annotations

import ast
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import torch

from tricord import api
from tricord.config import CommonConfig, RunConfig
from tricord.data.derive.subset import retained
from tricord.data.load import load
from tricord.data.schema import Dataset
from tricord.errors import ConfigError, DataError, TricordError
from tricord.files import locked, write_atomically
from tricord.report.words import counted
from tricord.training.folder import MODEL_FILE, STAGE1_FILE
from tricord.training.run import load_trained, train_one
from tricord.training.trained import TrainedModel

PACKAGE = "tricord"
# All that a cell's bits depend on is imported from here.
ROOTS = (
    "tricord.training.run",
    "tricord.data.derive.subset",
    "tricord.data.validate",
    "tricord.features.text",
)
Say = Callable[[str], object]
Trainer = Callable[[Sequence["Cell"]], Iterator[tuple["Cell", str]]]


@dataclass(frozen=True)
class Cell:
    """What is trained.

    keep: share of the training clips with one sign in all labels that stays; which of them is
    drawn with the seed. fingerprint: of the data before that. base: the cell whose stage 1 this
    one starts from. label: what it is called while it trains, if not by its model.
    """

    preset: str
    model: str
    config: CommonConfig
    seed: int
    fingerprint: str
    keep: float = 1.0
    base: Cell | None = None
    label: str = ""

    @property
    def key(self) -> str:
        """Different wherever settings, data, seed or code are.

        Libraries and the number of threads, which may change the last bits, are not in it.
        """
        # variants of CMC differ in settings alone
        family = "cmc" if isinstance(self.config, RunConfig) else self.model
        content = {
            "model": family,
            "config": self.config.model_dump(mode="json"),
            "seed": self.seed,
            "data": self.fingerprint,
            "keep": self.keep,
            "base": self.base and self.base.key,
            "code": code_version(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    def __str__(self) -> str:
        return f"{self.preset}, {self.label or self.model}, seed {self.seed}"


def is_finished(cell: Cell, folder: Path) -> bool:
    """Whether the cell's model is kept in ``folder``."""
    return (folder / cell.key / MODEL_FILE).is_file()


def load_cell(cell: Cell, folder: Path) -> TrainedModel:
    """A finished cell; raises ModelError where it is not there."""
    return load_trained(folder / cell.key)


def train_cell(cell: Cell, data: Dataset, folder: Path) -> None:
    """Train it, or go on where it stopped; raises TricordError where that cannot be done.

    One process at a time: what another trains meanwhile is waited for.
    """
    own = folder / cell.key
    own.mkdir(parents=True, exist_ok=True)
    with locked(own):
        if is_finished(cell, folder):
            return
        if cell.keep < 1:
            data = retained(data, cell.keep, cell.seed)
        if cell.base is not None:
            _take_stage1(folder / cell.base.key / STAGE1_FILE, own / STAGE1_FILE)
        checked = api.checked(data, cell.config)
        train_one(checked, cell.config, name=cell.model, seed=cell.seed, folder=own)


def _take_stage1(there: Path, here: Path) -> None:
    """As if the run had been stopped after stage 1: random numbers too go on from there."""
    if not here.exists():
        write_atomically(here, partial(shutil.copyfile, there))


def run_cells(
    cells: Iterable[Cell],
    datasets: Mapping[str, Dataset],
    folder: Path,
    *,
    workers: int = 1,
    say: Say = lambda line: None,
) -> dict[str, str]:
    """Train what is not finished; returns key -> why, for the cells that could not be.

    datasets: by preset. workers: how many cells at a time, each in a process of its own where
    there are several, which reads the data from its file. A cell that fails keeps no other one
    from being trained. Raises ConfigError for less than one worker, or several where data are not
    in a file.
    """
    if workers < 1:
        raise ConfigError(f"workers: {workers} found, 1 or more expected")
    first, then = _in_order(cells, folder)
    if not first and not then:
        return {}
    train: Trainer = partial(_here, datasets=datasets, folder=folder)
    workers = min(workers, max(len(first), len(then)))
    if workers > 1:
        sources = _files(datasets)
        train = partial(_in_processes, sources=sources, folder=folder, workers=workers)
    progress = _Progress(len(first) + len(then), say)
    failed: dict[str, str] = {}
    for wave in (first, then):
        without_base = [(c, failed[c.base.key]) for c in wave if c.base and c.base.key in failed]
        ready = [c for c in wave if not (c.base and c.base.key in failed)]
        for cell, reason in chain(without_base, train(ready)):
            if reason:
                failed[cell.key] = reason
            progress.done(cell, reason)
    return failed


def _in_order(cells: Iterable[Cell], folder: Path) -> tuple[list[Cell], list[Cell]]:
    """Cells to train, each once, those that others start from first; a data set at a time."""
    wanted = {cell.key: cell for cell in cells if not is_finished(cell, folder)}
    bases = {
        cell.base.key: cell.base
        for cell in wanted.values()
        if cell.base is not None and not is_finished(cell.base, folder)
    }
    ordered = sorted({**wanted, **bases}.values(), key=lambda cell: cell.preset)
    return [c for c in ordered if c.base is None], [c for c in ordered if c.base is not None]


def _files(datasets: Mapping[str, Dataset]) -> dict[str, Path]:
    found = {preset: Path(data.source).resolve() for preset, data in datasets.items()}
    if absent := [path for path in found.values() if not path.exists()]:
        raise ConfigError(f"workers: {absent[0]} is no file that several could read")
    return found


class _Progress:
    """A line a cell, with the time left if the others take as long as those before."""

    def __init__(self, total: int, say: Say) -> None:
        self.total, self.say, self.count = total, say, 0
        self.started = time.monotonic()
        say(f"{counted(total, 'cell')} to train")

    def done(self, cell: Cell, reason: str) -> None:
        """Say what became of it."""
        self.count += 1
        passed = time.monotonic() - self.started
        left = passed / self.count * (self.total - self.count)
        end = f"not run: {reason}" if reason else f"{duration(passed)} passed"
        after = f", about {duration(left)} left" if self.count < self.total else ""
        self.say(f"cell {self.count} of {self.total}: {cell}: {end}{after}")


def duration(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _here(
    cells: Iterable[Cell], datasets: Mapping[str, Dataset], folder: Path
) -> Iterator[tuple[Cell, str]]:
    """Train cells, and give each with why it could not be, or nothing."""
    for cell in cells:
        yield cell, _reason(cell, partial(datasets.__getitem__, cell.preset), folder)


def _in_processes(
    cells: Sequence[Cell], sources: Mapping[str, Path], folder: Path, workers: int
) -> Iterator[tuple[Cell, str]]:
    """The same in processes; where one was killed, the cells left have one each, one at a time."""
    others = set(multiprocessing.active_children())
    threads = max(1, (os.cpu_count() or 1) // workers)
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, _start_worker, (threads,))
    left = []
    try:
        jobs = {pool.submit(_from_file, cell, sources[cell.preset], folder): cell for cell in cells}
        for job in as_completed(jobs):
            error = job.exception()
            if isinstance(error, BrokenProcessPool) and len(jobs) > 1:
                left.append(jobs[job])
            else:
                yield jobs[job], _words(error) if error else job.result()
    except BaseException:  # interrupted: a cell may have hours to go, and goes on from its folder
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    for cell in left:
        yield from _in_processes([cell], sources, folder, 1)


def _start_worker(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it ends it
    torch.set_num_threads(threads)


def _from_file(cell: Cell, source: Path, folder: Path) -> str:
    return _reason(cell, partial(_read, source, cell.fingerprint), folder)


@lru_cache(maxsize=1)
def _read(source: Path, fingerprint: str) -> Dataset:
    data = load(source)
    if data.fingerprint() != fingerprint:
        raise DataError(f"{source}: has changed since the experiment began")
    return data


def _reason(cell: Cell, data: Callable[[], Dataset], folder: Path) -> str:
    """Train a cell; why that could not be done, naming files without their folder, or nothing."""
    place = ""
    try:
        found = data()
        place = f"{Path(found.source).parent}/"
        train_cell(cell, found, folder)
    except Exception as error:  # hours of other cells must not be lost to one
        return _words(error).replace(place, "")
    return ""


def _words(error: BaseException) -> str:
    """One line; the kind of error too, where it is not one that the user can mend."""
    text = " ".join(str(error).split())
    return text if isinstance(error, TricordError) else f"{type(error).__name__}: {text}"


@cache
def code_version() -> str:
    """SHA-256 over the source files that training imports, directly or not."""
    digest = hashlib.sha256()
    for name, path in sorted(sources_of(ROOTS).items()):
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def sources_of(roots: Iterable[str]) -> dict[str, Path]:
    """Module -> file, of the package's modules that these import, they themselves included."""
    found: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found or (path := _source(name)) is None:
            continue
        found[name] = path
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
    return found


def _source(module: str) -> Path | None:
    """None where it is no module of the package."""
    parts = module.split(".")
    if parts[0] != PACKAGE or len(parts) == 1:
        return None
    spec = find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    place = Path(spec.origin).parent.joinpath(*parts[1:])
    options = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in options if path.is_file()), None)
