from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from clip_work import Closed, Doubling
from tricord.clips.engine import Engine, Failure, Processes, Serial
from tricord.errors import ConfigError, TricordError


@pytest.fixture(params=[Serial(), Processes(2)], ids=["serial", "processes"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    return found


def test_every_task_is_answered_once(engine: Engine, tmp_path: Path) -> None:
    answers = list(engine.map(Doubling(tmp_path), range(20)))
    assert sorted(answers) == [(number, 2 * number) for number in range(20)]
    workers = len(list(tmp_path.iterdir()))
    assert 1 <= workers <= 2  # opened once by each, not for each task


def test_no_task_needs_no_worker() -> None:
    assert list(Processes(2).map(Doubling(), [])) == []


def test_a_task_that_fails_is_its_failure_and_the_rest_goes_on(engine: Engine) -> None:
    answers = dict(engine.map(Doubling(), ["no data", 1, "defect", 2]))
    assert answers == {
        0: Failure("clip.mp4: is no clip"),
        1: 2,
        2: Failure("ValueError: a defect"),
        3: 4,
    }


def test_what_no_other_clip_would_survive_ends_all(engine: Engine) -> None:
    with pytest.raises(TricordError, match="No space left"):
        list(engine.map(Doubling(), [1, "disk full", 2]))


def test_a_killed_process_takes_only_its_task_with_it() -> None:
    answers = dict(Processes(2).map(Doubling(), [0, "killed", 2, "ended", 4, 5]))
    assert answers[1] == Failure("its process was killed (SIGKILL)")
    assert answers[3] == Failure("its process ended by itself (code 3)")
    assert [answers[number] for number in (0, 2, 4, 5)] == [0, 4, 8, 10]


def test_a_last_task_that_kills_is_answered_too() -> None:
    assert dict(Processes(1).map(Doubling(), ["killed"])) == {
        0: Failure("its process was killed (SIGKILL)")
    }


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [("error", ConfigError, "no such extractor"), ("killed", TricordError, "fewer workers")],
)
def test_workers_that_cannot_begin_end_all(how: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        list(Processes(2).map(Closed(how), [1, 2]))


def test_stopping_does_not_wait_for_tasks(tmp_path: Path) -> None:
    answers = Processes(2).map(Doubling(tmp_path), [1, "slow", "slow"])
    assert next(answers) == (0, 2)
    start = time.perf_counter()
    answers.close()
    assert time.perf_counter() - start < 10
    for worker in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(worker.name), 0)


def test_a_task_that_hangs_is_ended_and_the_rest_goes_on() -> None:
    def limit(task: object) -> float:
        return 0.5 if task == "slow" else 60.0

    start = time.perf_counter()
    answers = dict(Processes(2, limit).map(Doubling(), [0, "slow", 2, 3, "slow"]))
    assert time.perf_counter() - start < 30
    assert {answers.pop(1), answers.pop(4)} == {Failure("took more than 0.5 s, and was ended")}
    assert answers == {0: 0, 2: 4, 3: 6}


def test_workers_compute_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert dict(Processes(1).map(Doubling(), ["limits"])) == {0: (1, 1)}
    assert "OMP_NUM_THREADS" not in os.environ
