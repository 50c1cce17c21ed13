"""Work in a process of its own: its memory is its own, and nothing is warm that should not be."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from tricord.bench.memory import peak_rss_mib
from tricord.errors import TricordError

Tick = Callable[[int, int], None]  # done, in all
Found = dict[str, Any]


def measure_apart(
    work: Callable[..., Found], *arguments: object, threads: int | None, tick: Tick
) -> Found:
    """``work(*arguments, tick)`` in a fresh process, and the most memory that process held.

    work: a function of a module. threads: that torch computes with; None leaves its own choice.
    Raises TricordError where the work does, or the process ends without an answer.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, work, arguments, threads), daemon=True)
    process.start()
    theirs.close()
    try:
        return _listen(ours, tick)
    except EOFError:
        process.join()
        raise TricordError(
            f"{work.__name__}: the process that measured it ended with code {process.exitcode}; "
            "where it was killed, memory may have run out"
        ) from None
    finally:
        process.kill()
        process.join()
        ours.close()


def _listen(connection: Connection[Any, Any], tick: Tick) -> Found:
    while True:
        kind, content = connection.recv()
        if kind == "tick":
            tick(*content)
        elif kind == "error":
            raise TricordError(content)
        else:
            found: Found = content
            return found


def _answer(
    connection: Connection[Any, Any],
    work: Callable[..., Found],
    arguments: tuple[object, ...],
    threads: int | None,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this one ends it
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        found = work(*arguments, lambda done, total: connection.send(("tick", (done, total))))
        connection.send(("found", {**found, "peak_rss_mib": round(peak_rss_mib(), 1)}))
    except TricordError as error:
        connection.send(("error", str(error)))
