"""tricord data convert, as a user types it, and killed at any moment."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import Type
from tricord.data.load import load
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.schema import Dataset
from tricord.data.store import manifest_of, read_store, verify_store, write_store
from tricord.errors import DataError


@pytest.fixture
def odd(simulated: tuple[Any, Any], tmp_path: Path) -> Path:
    """The simulated file with cells as COVAREP leaves them."""
    splits = {name: dict(split) for name, split in simulated[0].items()}
    audio = splits["train"]["audio"] = np.array(splits["train"]["audio"])
    audio[0, 0, :2] = -np.inf
    path = tmp_path / "odd.pkl"
    write_mmsa(path, splits, simulated[1])
    return path


# ---------------------------------------------------------------------- the command


def test_a_file_becomes_a_store_that_holds_the_same(
    user: Type, sim: Path, data: Dataset, tmp_path: Path
) -> None:
    store = tmp_path / "sim.tricord"
    said = user("data", "convert", sim, store, "--preset", "ch-sims")
    assert (said.code, said.err) == (0, "")
    found = read_store(store, verify=True)
    assert found.fingerprint() == data.fingerprint()
    assert found.simulation == data.simulation
    size = sum(p.stat().st_size for p in store.rglob("*") if p.is_file())
    share = size / sim.stat().st_size
    assert f"kept in {store}: {size / 1e6:.1f} MB, {share:.2f} of the source's" in said.out
    shown = [user("data", "show", path).out.partition("SIMULATED")[2] for path in (sim, store)]
    assert shown[0] == shown[1] != ""
    about = manifest_of(store)
    assert about.polarity == "non_positive"
    assert (about.provenance.source, about.provenance.bytes) == ("sim.pkl", sim.stat().st_size)
    assert about.provenance.sha256 is not None


def test_what_was_mended_and_shortened_is_said(user: Type, odd: Path, tmp_path: Path) -> None:
    store = tmp_path / "odd.tricord"
    said = user("data", "convert", odd, store, "--dtype", "vision=float16")
    assert said.code == 0
    assert "note: train: audio: 2 -inf cells replaced by 0\n" in said.out
    assert "note: vision: kept as float16\n" in said.out
    found = read_store(store)
    np.testing.assert_array_equal(found["train"].sequences["audio"].values[0, :2], 0)
    assert found["train"].sequences["vision"].values.dtype == np.float16


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["{sim}", "{here}/there.tricord"], "there.tricord: exists already"),
        (["{sim}", "{here}/x"], "ends in .tricord"),
        (["{here}/none.pkl", "{here}/x.tricord"], "none.pkl: no such file"),
        (["{sim}", "{here}/x.tricord", "--dtype", "audio"], "--dtype 'audio' found, expected"),
        (["{sim}", "{here}/x.tricord", "--dtype", "audio=int8"], "audio: dtype 'int8' asked for"),
        (["{sim}", "{here}/x.tricord", "--preset", "none"], "'none'"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    user: Type, sim: Path, tmp_path: Path, data: Dataset, words: list[str], problem: str
) -> None:
    write_store(data, tmp_path / "there.tricord")
    said = user("data", "convert", *(w.format(sim=sim, here=tmp_path) for w in words))
    assert (said.code, said.out) == (2, "")
    assert problem in said.err.replace("\n", " ")
    assert [p.name for p in tmp_path.iterdir()] == ["there.tricord"]


def test_overwriting(user: Type, sim: Path, odd: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.tricord"
    assert user("data", "convert", sim, store).code == 0
    before = read_store(store).fingerprint()
    assert user("data", "convert", odd, store, "--overwrite").code == 0
    assert read_store(store, verify=True).fingerprint() != before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tricord", "odd.pkl"]


# ---------------------------------------------------------------------- killed

# Forks for each line: a conversion that kills itself before the event of a number, as the
# interpreter counts them (files opened, made, renamed, removed, locked): so every moment between
# two of them is reached.
PARENT = """
import os, signal, sys
from pathlib import Path
from tricord.data.load import load
from tricord.data.store import write_store
data, count, last = load(Path(sys.argv[1])), 0, 0
def hook(event, arguments):
    global count
    if event == "open" or event.startswith(("os.", "shutil.", "fcntl.")):
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
for line in sys.stdin:
    store, overwrite, last = line.split()
    last, child = int(last), os.fork()
    if not child:
        sys.addaudithook(hook)
        write_store(data, store, overwrite=overwrite == "True")
        print("events", count, flush=True)
        os._exit(0)
    print("child", child, flush=True)
    print("end", os.waitpid(child, 0)[1], flush=True)
"""


class Converter:
    """A process that converts, and is killed."""

    def __init__(self, source: Path, store: Path) -> None:
        self.store = store
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(source)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
        )

    def convert(
        self, *, overwrite: bool, last: int = 0, seconds: float | None = None
    ) -> dict[str, int]:
        """Kill it at this event or after this time; the events it came through, and its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{self.store} {overwrite} {last}\n")
        self.process.stdin.flush()
        said: dict[str, int] = {}
        while "end" not in said:
            word, number = self.process.stdout.readline().split()
            said[word] = int(number)
            if word == "child" and seconds is not None:
                time.sleep(seconds)
                with contextlib.suppress(ProcessLookupError):  # it may be done
                    os.kill(said["child"], signal.SIGKILL)
        return said

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def check_what_is_left(store: Path, possible: set[str]) -> str:
    """Nothing, or one of these data sets, whole; and the way is free for the next conversion."""
    found = "nothing"
    for path in store.parent.iterdir():
        if path.name.endswith(".partial"):
            with pytest.raises(DataError):
                read_store(path)
        elif path == store:
            assert verify_store(path) == []
            assert read_store(path).fingerprint() in possible
            found = "a whole store"
        else:  # between the renames of a replacement
            assert path.name.endswith(".old")
            assert read_store(path, verify=True).fingerprint() in possible
    return found


def kill_often(sim: Path, odd: Path, folder: Path, times: int, seed: int) -> Counter[str]:
    """Alternately a new store and a replaced one, at a random event or a random moment."""
    rng, counts = random.Random(seed), Counter[str]()
    store = folder / "a.tricord"
    first, second = load(sim), load(odd)
    converter = Converter(odd, store)
    events, seconds = [], []
    for overwrite in (False, True):  # when nothing happens to it
        began = time.perf_counter()
        events.append(converter.convert(overwrite=overwrite)["events"])
        seconds.append(time.perf_counter() - began)
        assert read_store(store, verify=True).fingerprint() == second.fingerprint()
    assert min(events) > 30
    for i in range(times):
        overwrite, by_event = i % 2 == 1, i % 4 < 2
        possible = {second.fingerprint()}
        write_store(first, store, overwrite=True)  # which also clears what was left
        if overwrite:
            possible.add(first.fingerprint())
        else:
            shutil.rmtree(store)
        assert len(list(folder.iterdir())) == overwrite
        if by_event:
            last = rng.randrange(1, events[overwrite] + 1)
            end = converter.convert(overwrite=overwrite, last=last)["end"]
            assert end == signal.SIGKILL
        else:
            converter.convert(overwrite=overwrite, seconds=rng.uniform(0, seconds[overwrite]))
        kind = "replaced" if overwrite else "new"
        counts[f"{kind}: {check_what_is_left(store, possible)}"] += 1
    converter.close()
    write_store(first, store, overwrite=True)
    assert [p.name for p in folder.iterdir()] == ["a.tricord"]
    return counts


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "killed"
    folder.mkdir()
    return folder


def test_killed_conversions_leave_nothing_or_a_store(sim: Path, odd: Path, place: Path) -> None:
    counts = kill_often(sim, odd, place, 5, seed=1)
    assert sum(counts.values()) == 5


@pytest.mark.slow
def test_conversions_killed_50_times(sim: Path, odd: Path, place: Path) -> None:
    counts = kill_often(sim, odd, place, 50, seed=2)
    print(dict(counts))
    assert counts["new: nothing"] > 5
    assert counts["replaced: a whole store"] > 15
