"""Where clips are measured: one after the other, or by processes side by side.

The seam is `Engine.map`; an engine for a cluster is one more class with it.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, TypeVar

from tricord.errors import DataError, TricordError

Task = TypeVar("Task")
Result = TypeVar("Result")
Answer = tuple[int, "Result | Failure"]

# Each worker computes with one thread: clips side by side use the cores, threads would only wait.
THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
    "OPENCV_FOR_THREADS_NUM",
)
GONE = (EOFError, BrokenPipeError, ConnectionResetError)  # the other side of a pipe has ended
PATIENCE = 2.0  # seconds that a worker has to end when it is told to


@dataclass(frozen=True)
class Failure:
    """Why a task has no result, in one line."""

    reason: str


class Engine(Protocol):
    """Does many tasks alike."""

    def map(
        self, make: Callable[[], Callable[[Task], Result]], tasks: Sequence[Task]
    ) -> Generator[Answer[Result]]:
        """(number of the task, its result or failure), in any order, every task once.

        make: gives the function that does a task; called once by each worker, so that what it
        opens is opened once. All that crosses processes can be pickled. Closing what is returned
        ends the work.

        A task that raises DataError, or breaks in any other way, becomes its failure and the rest
        goes on; another TricordError (such as a full disk) ends all.
        """
        ...


class Serial:
    """One task after the other, in this process."""

    def map(
        self, make: Callable[[], Callable[[Task], Result]], tasks: Sequence[Task]
    ) -> Generator[Answer[Result]]:
        """See `Engine.map`; in order of the tasks."""
        function = make()
        for number, task in enumerate(tasks):
            yield number, attempt(function, task)


class Processes:
    """workers processes, which take tasks in order. One that dies takes only its task with it.

    limit: task -> seconds that it may take, after which its process is ended: a library may hang
        on a damaged file for ever. None: any time.
    """

    def __init__(self, workers: int, limit: Callable[[Any], float] | None = None) -> None:
        self.workers, self.limit = workers, limit

    def map(
        self, make: Callable[[], Callable[[Task], Result]], tasks: Sequence[Task]
    ) -> Generator[Answer[Result]]:
        """See `Engine.map`; as they are done."""
        waiting = deque(enumerate(tasks))
        pool = [_Worker(make, self.limit) for _ in range(min(self.workers, len(tasks)))]
        try:
            while pool:
                for worker in _with_news(pool):
                    answer = worker.answer()
                    if not worker.alive:
                        pool.remove(worker)
                        worker.stop()
                        if waiting:
                            pool.append(_Worker(make, self.limit))
                    elif waiting:
                        worker.give(*waiting.popleft())
                    else:
                        pool.remove(worker)
                        worker.stop()
                    if answer is not None:
                        yield answer
        finally:
            for worker in pool:
                worker.stop(at_once=True)


def _with_news(pool: Sequence[_Worker]) -> list[_Worker]:
    until = min(worker.until for worker in pool)
    patience = None if until == math.inf else max(0.0, until - time.monotonic())
    ready = wait([worker.pipe for worker in pool], patience)
    for worker in pool:
        if worker.pipe not in ready and worker.until <= time.monotonic():
            worker.interrupt()
    return [worker for worker in pool if worker.pipe in ready]


class _Worker:
    """A process and what it does. It says once that it is ready, then answers each task.

    alive: whether it can be given a task. until: when its task is to be done, on the clock that
    never goes back. limit: as that of `Processes`.
    """

    def __init__(
        self, make: Callable[[], Callable[[Any], Any]], limit: Callable[[Any], float] | None
    ) -> None:
        context = multiprocessing.get_context("spawn")  # a fork copies locks that are held
        self.pipe, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(make, other), daemon=True)
        self.task: int | None = None
        self.alive = True
        self.until, self._allowed = math.inf, math.inf
        self._limit, self._late = limit, False
        with _calm():
            self.process.start()
        other.close()

    def give(self, number: int, task: object) -> None:
        self.task = number
        self._allowed = math.inf if self._limit is None else self._limit(task)
        self.until = time.monotonic() + self._allowed
        with suppress(*GONE):  # where it died meanwhile, its pipe says so next
            self.pipe.send(task)

    def answer(self) -> Answer[Any] | None:
        """What it has to say, once its pipe has something or ends: None, that it is ready.

        Raises the TricordError that ends all, also where it dies before it is ready.
        """
        self.until = math.inf
        try:
            said = self.pipe.recv()
        except GONE:
            self.process.join(PATIENCE)
            self.alive = False
            how = _ended(self.process.exitcode)
            if self.task is None:
                raise TricordError(
                    f"a worker {how} before its first clip: fewer workers need less memory; in a "
                    "script, the call belongs below \"if __name__ == '__main__':\""
                ) from None
            late = f"took more than {self._allowed:g} s, and was ended"
            return self.task, Failure(late if self._late else f"its process {how}")
        self.alive = not self._late  # done in the moment in which it was ended
        if isinstance(said, TricordError):
            raise said
        if self.task is None:
            return None
        return self.task, said

    def interrupt(self) -> None:
        """Ends it in the middle of its task, which its pipe says next."""
        self._late, self.until = True, math.inf
        self.process.kill()

    def stop(self, *, at_once: bool = False) -> None:
        """Ends it: by a closed pipe when it is idle, else in the middle of its task."""
        self.pipe.close()
        if at_once:
            self.process.terminate()
        self.process.join(PATIENCE)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.process.close()


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"was killed ({signal.Signals(-code).name})"
        except ValueError:
            return f"was killed (signal {-code})"
    return f"ended by itself (code {code})"


def _work(make: Callable[[], Callable[[Any], Any]], pipe: Connection) -> None:
    """The life of a worker; ends when its pipe does, so also when the main process is killed."""
    with suppress(*GONE):
        try:
            function = make()
            pipe.send(None)
            while True:
                pipe.send(attempt(function, pipe.recv()))
        except TricordError as error:
            pipe.send(error)


def attempt(function: Callable[[Task], Result], task: Task) -> Result | Failure:
    """The result, or why there is none; raises a TricordError that is not of this task alone."""
    try:
        return function(task)
    except DataError as error:
        return Failure(str(error))
    except TricordError:
        raise
    except Exception as error:  # whatever a decoder raises on one clip, the others go on
        lines = str(error).splitlines() or [""]
        return Failure(f"{type(error).__name__}: {lines[0][:300]}")


@contextmanager
def _calm() -> Iterator[None]:
    """What a process that starts now inherits: one thread, and no interest in Ctrl-C.

    The terminal sends Ctrl-C to all; the main process ends the others.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
