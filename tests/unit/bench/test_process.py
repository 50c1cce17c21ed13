"""Work in a process of its own: answers, ticks, errors, an end without an answer."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import torch

from tricord.bench.memory import forget_peak, peak_rss_mib, resident_mib
from tricord.bench.process import Found, Tick, measure_apart
from tricord.errors import TricordError


def work(what: str, tick: Tick) -> Found:
    """What a process is asked to do here."""
    if what == "complain":
        raise TricordError("this will not do")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    tick(1, 2)
    return {"process": os.getpid(), "threads": torch.get_num_threads()}


def ask(what: str) -> tuple[Found, list[Any]]:
    ticks: list[Any] = []
    found = measure_apart(work, what, threads=1, tick=lambda *of: ticks.append(of))
    return found, ticks


def test_another_process_answers_and_tells_of_its_steps() -> None:
    found, ticks = ask("answer")
    assert found["process"] != os.getpid()
    assert found["threads"] == 1
    assert found["peak_rss_mib"] > 10
    assert ticks == [(1, 2)]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "message"), [("complain", "will not do"), ("die", "code -9")])
def test_what_goes_wrong_there_is_said_here(what: str, message: str) -> None:
    with pytest.raises(TricordError, match=message):
        ask(what)


def test_memory_that_was_held_is_seen_and_can_be_forgotten() -> None:
    if resident_mib() is None:
        pytest.skip("the system gives no account of a process's memory")
    held = torch.ones(64 * 2**18)  # 64 MiB
    before = resident_mib()
    assert before is not None
    assert peak_rss_mib() >= before - 1
    del held
    high = peak_rss_mib()
    forget_peak()
    assert peak_rss_mib() < high - 32
