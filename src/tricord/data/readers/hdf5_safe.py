"""The entries of a `.csd` file, read by a process that may fail without harm (`hdf5_worker`)."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tricord.errors import DataError

PATIENCE = 60  # seconds for one step, of which a sound file takes a fraction
_WORKER = Path(__file__).with_name("hdf5_worker.py")
_LONGEST_LINE = 1 << 23
_ENVIRONMENT = {
    "HDF5_PLUGIN_PRELOAD": "::",  # the library's own switch against loading foreign filters
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Entry:
    """What a computational sequence holds of one video, or of one segment of it.

    number: of the segment, where the entry is named ``video[number]`` (an aligned file).
    intervals: (n, 2) seconds. width: numbers per frame.
    features: (n, width), None where they were not asked for or are words.
    words: n strings, None where there are numbers.
    """

    video: str
    number: int | None
    intervals: NDArray[np.float64]
    width: int
    features: NDArray[np.floating] | None
    words: tuple[str, ...] | None


@dataclass(frozen=True)
class Sequence:
    """A computational sequence that is being read.

    root: its name. metadata: the fields that were found, as text. total: number of entries.
    entries: one after another, by video, then by number.
    """

    root: str
    metadata: Mapping[str, str]
    total: int
    entries: Iterator[Entry]


@contextmanager
def open_csd(
    path: Path, *, features: bool = True, videos: Collection[str] | None = None
) -> Iterator[Sequence]:
    """Read a `.csd` file entry by entry.

    features: with numbers, not only their width; words come in any case.
    videos: the only ones wanted; all where None.

    Raises DataError where the file cannot be read, is no `.csd` file, refers to other files,
    claims more than it holds, or makes the HDF5 library fail; also while the entries are read.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise DataError(f"{path}: is no file, expected a .csd file")
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    request = {
        "path": str(path.absolute()),
        "features": features,
        "videos": None if videos is None else sorted(videos),
        "patience": PATIENCE,
    }
    process = launch(path)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        _send(process.stdin, request)
        answers = _answers(path, process, process.stdout)
        header, _ = next(answers)
        yield Sequence(
            str(header["root"]),
            header["metadata"],
            int(header["entries"]),
            (_entry(header, payload) for header, payload in answers),
        )
    finally:
        process.kill()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):  # a request that nobody took
                stream.close()
        process.wait()


def launch(path: Path) -> subprocess.Popen[bytes]:
    """Start the process that reads; raises DataError without h5py."""
    if importlib.util.find_spec("h5py") is None:
        raise DataError(
            f'{path}: h5py, which reads .csd files, is not installed: pip install "tricord[csd]"'
        )
    return subprocess.Popen(  # noqa: S603 (our own file, nothing of the user's in the arguments)
        [sys.executable, "-P", str(_WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **_ENVIRONMENT},
    )


def _send(stream: IO[bytes], request: Mapping[str, object]) -> None:
    try:
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()
    except BrokenPipeError:  # what happened, its exit status says
        return


def _answers(
    path: Path, process: subprocess.Popen[bytes], stream: IO[bytes]
) -> Iterator[tuple[dict[str, Any], bytes]]:
    while True:
        header = _header(stream.readline(_LONGEST_LINE))
        if "error" in header:
            raise DataError(f"{path}: {header['error']}")
        size = header.get("bytes", 0)
        payload = stream.read(size)
        if not header or len(payload) < size:
            raise DataError(f"{path}: {_death(process)}")
        if "end" in header:
            return
        yield header, payload


def _header(line: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:  # cut off
        return {}


def _death(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    if code == -signal.SIGALRM:
        return f"damaged: reading it does not end (stopped after {PATIENCE} s)"
    if code < 0:
        return f"damaged: the HDF5 library fails on it ({signal.Signals(-code).name})"
    return f"cannot be read: the reading process ended with code {code}"


def _entry(header: Mapping[str, Any], payload: bytes) -> Entry:
    rows, width, kind = header["rows"], header["width"], header["kind"]
    intervals = np.frombuffer(payload, "<f8", 2 * rows).reshape(rows, 2)
    rest = memoryview(payload)[16 * rows :]
    features = words = None
    if kind == "words":
        words = tuple(json.loads(bytes(rest)))
    elif kind:
        features = np.frombuffer(rest, kind).reshape(rows, width)
    return Entry(header["video"], header["number"], intervals, width, features, words)
