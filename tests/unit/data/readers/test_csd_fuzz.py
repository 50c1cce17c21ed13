"""Mutated `.csd` files are read or refused, in bounded time and memory, whatever the library does.

Run as a script (seed, count), this file mutates and reads in a process of its own and prints the
totals. The reading process is forked there, not started: that saves the imports for every file.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
PATIENCE = 2  # seconds a step may take here
MOST_KILOBYTES = 700_000  # an interpreter with what it holds, and the spare of `limit_memory`


def fuzz(seed: int, count: int) -> dict[str, Any]:
    script = [sys.executable, str(Path(__file__)), str(seed), str(count)]
    paths = [str(ROOT / "src"), str(ROOT / "tests")]
    done = subprocess.run(
        script,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
    )
    totals: dict[str, Any] = json.loads(done.stdout)
    return totals


def check(totals: dict[str, Any], count: int) -> None:
    assert totals["other"] == []
    assert totals["read"] + totals["refused"] == count
    assert min(totals["read"], totals["refused"]) > count // 20
    assert totals["reader_kilobytes"] < MOST_KILOBYTES
    assert totals["parent_kilobytes"] < MOST_KILOBYTES
    assert totals["slowest"] < 3 * PATIENCE + 4


def test_mutated_files_are_read_or_refused() -> None:
    check(fuzz(seed=0, count=120), 120)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_many_mutated_files_are_read_or_refused(seed: int) -> None:
    check(fuzz(seed=seed, count=2000), 2000)


# ------------------------------------------------------------------ the process that does it


class Forked:
    """Stands for the reading process."""

    most_kilobytes = 0

    def __init__(self, path: Path) -> None:
        from tricord.data.readers import hdf5_worker

        asked, ask = os.pipe()
        answer_read, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, 2)
                os.close(ask)
                os.close(answer_read)
                with os.fdopen(asked, "rb") as requests, os.fdopen(answer, "wb") as answers:
                    hdf5_worker.main(requests, answers)
                os._exit(0)
            except BaseException:
                os._exit(1)
        os.close(asked)
        os.close(answer)
        self.stdin, self.stdout = os.fdopen(ask, "wb"), os.fdopen(answer_read, "rb")
        self.code: int | None = None

    def kill(self) -> None:
        if self.code is None:
            os.kill(self.pid, 9)

    def wait(self) -> int:
        if self.code is None:
            _, status, used = os.wait4(self.pid, 0)
            Forked.most_kilobytes = max(Forked.most_kilobytes, used.ru_maxrss)
            self.code = os.waitstatus_to_exitcode(status)
        return self.code


def valid_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Name -> (a valid file, its role)."""
    import h5py
    import numpy as np

    from csd_files import AUDIO, LABELS, WORDS, write_csd

    strings = np.array([["it"], ["is"], ["sp"], ["not"]], dtype=object)
    variable = {"b": (strings.astype(h5py.string_dtype()), WORDS["b"][1])}
    plain = {"compression": None, "compression_opts": None}
    filtered = {"shuffle": True, "fletcher32": True}
    files = {
        "labels": (write_csd(folder / "l.csd", "All Labels", LABELS), "labels"),
        "gzip": (write_csd(folder / "a.csd", "COVAREP", AUDIO), "audio"),
        "plain": (write_csd(folder / "p.csd", "COVAREP", AUDIO, **plain), "audio"),
        "filtered": (write_csd(folder / "f.csd", "COVAREP", AUDIO, **filtered), "audio"),
        "words": (write_csd(folder / "w.csd", "words", WORDS), "text"),
    }
    path = write_csd(folder / "v.csd", "words", {})
    with h5py.File(path, "a") as file:
        entry = file["words/data"].create_group("b")
        kind = h5py.string_dtype()
        entry.create_dataset("features", data=variable["b"][0], dtype=kind)
        entry.create_dataset("intervals", data=variable["b"][1])
    files["variable words"] = (path, "text")
    newest = folder / "n.csd"
    with h5py.File(newest, "w", libver="latest") as copy, h5py.File(files["gzip"][0]) as source:
        source.copy("COVAREP", copy)
    files["newest layout"] = (newest, "audio")
    return files


def mutated(data: bytes, dice: random.Random, other: bytes) -> bytes:
    content = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 2, 4, 16])):
        place = dice.randrange(len(content))
        field = place // 8 * 8
        kind = dice.randrange(7)
        if kind == 0:
            content[place] ^= 1 << dice.randrange(8)
        elif kind == 1:
            content[place] = dice.choice([0, 1, 127, 128, 255, dice.randrange(256)])
        elif kind == 2:  # a length or an address
            value = dice.choice([2**64 - 1, 2**63 - 1, 2**40, 10**12, dice.randrange(len(data))])
            content[field : field + 8] = value.to_bytes(8, "little")
        elif kind == 3:
            start, size = dice.randrange(len(other)), dice.choice([4, 8, 64, 512])
            content[place : place + size] = other[start : start + size]
        elif kind == 4:
            start = dice.randrange(len(content)) // 8 * 8
            content[field : field + 8] = content[start : start + 8]
        elif kind == 5 and len(content) > 64:
            del content[place : place + dice.choice([1, 8, 512])]
        elif kind == 6 and dice.random() < 0.2:
            del content[max(64, place) :]
    return bytes(content)


def outcome(labels: Path, role: str, path: Path) -> str:
    import numpy as np

    from tricord.data.readers.csd import read_csd
    from tricord.errors import DataError

    try:
        if role == "labels":
            dataset = read_csd(path, {"audio": labels.with_name("a.csd")})
        else:
            dataset = read_csd(labels, {role: path})
        for table in dataset.splits.values():
            for name, length in table.lengths.items():
                ragged = table.sequences[name]
                assert ragged.values.dtype == np.float32
                assert ragged.lengths.tolist() == length.tolist()
    except DataError as error:
        message = str(error)
        assert "\n" not in message
        assert str(path) in message or str(labels) in message
        if "does not end" in message:
            return "hang"
        return "crash" if "library fails" in message else "refused"
    return "read"


def main(seed: int, count: int) -> dict[str, Any]:
    # Nothing here calculates with it, and forking a process that holds it takes ten times as long.
    sys.modules["torch"] = ModuleType("torch")
    sys.modules["torch"].Tensor = sys.modules["torch"].device = object  # type: ignore[attr-defined]
    from tricord.data.readers import csd, hdf5_safe

    hdf5_safe.launch, hdf5_safe.PATIENCE = Forked, PATIENCE
    read, known = csd.read_labels, {}

    def read_once(path: Path, *settings: Any) -> Any:
        if path.name != "l.csd":
            return read(path, *settings)
        if path not in known:
            known[path] = read(path, *settings)
        return known[path][0], []

    csd.read_labels = read_once
    dice, totals, other, slowest = random.Random(seed), Counter[str](), [], 0.0
    with tempfile.TemporaryDirectory() as place:
        files = valid_files(Path(place))
        contents = {name: path.read_bytes() for name, (path, _) in files.items()}
        labels = files["labels"][0]
        for name, (path, role) in files.items():
            found = outcome(labels, role, path)
            assert found == "read", (name, found)
        bad = Path(place) / "mutated.csd"
        for number in range(count):
            name = dice.choice(list(files))
            bad.write_bytes(mutated(contents[name], dice, contents[dice.choice(list(files))]))
            began = time.monotonic()
            try:
                totals[outcome(labels, files[name][1], bad)] += 1
            except Exception as error:
                other.append(f"{number}: {name}: {type(error).__name__}: {error}"[:300])
            slowest = max(slowest, time.monotonic() - began)
    return {
        "read": totals["read"],
        "refused": totals.total() - totals["read"],
        "hangs": totals["hang"],
        "crashes": totals["crash"],
        "other": other,
        "slowest": round(slowest, 2),
        "reader_kilobytes": Forked.most_kilobytes,
        "parent_kilobytes": most_kilobytes(),
    }


def most_kilobytes() -> int:
    """Memory that this process held at most; `ru_maxrss` would count who started it."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
