"""Reads one `.csd` file in a process of its own, and writes what it holds to standard output.

Damaged HDF5 files make the HDF5 library loop, crash or ask for any amount of memory. So it runs
here, under limits, without plugins, and what it gives is plain numbers. `hdf5_safe` starts this
file by its path and imports nothing of it; it imports nothing of the package either, so that it
starts fast. The request is one line of JSON on standard input. Answers are lines of JSON, each
with the number of bytes that follow it.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

# Deflate writes at least 1 byte for 1032, so more than this no honest file holds. One data set may
# come near it, of a face that was never found; not a whole file, unless it is small anyway.
MOST_EXPANSION = 1100
MOST_EXPANSION_OF_FILE = 100
_ALWAYS_FINE = 1 << 26
# The filters that the SDK writes with, or that come with them; any other may be foreign code.
_DEFLATE, _SHUFFLE, _CHECKSUM = 1, 2, 3
_MOST_DIMENSIONS = 4
_MOST_NAME = 200
_MOST_METADATA = 1 << 16  # characters of one field
_SPARE_MEMORY = 1 << 28
_FIELDS = (
    "root name",
    "computational sequence description",
    "computational sequence version",
    "dimension names",
    "dataset name",
    "dataset version",
)
_NUMBERED = re.compile(r"(.+)\[(\d{1,9})\]", re.DOTALL)


class RefusedError(Exception):
    """What is wrong with the file, in one line."""


def main(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer the one request: path, features, videos (or null for all), patience in seconds."""
    request = json.loads(requests.readline())
    try:
        held = os.stat(request["path"]).st_size
        limit_memory(held)
        # Another driver could name further files; plugins are switched off by the environment.
        with _Patience(request["patience"]), h5py.File(request["path"], "r", locking=False) as file:
            for header, payload in _Reader(file, held, request).messages():
                signal.alarm(0)  # the other side may take its time
                answers.write(json.dumps(header | {"bytes": len(payload)}).encode() + b"\n")
                answers.write(payload)
                signal.alarm(request["patience"])
    except RefusedError as error:
        _report(answers, str(error))
    except BrokenPipeError:
        return
    except Exception as error:  # h5py raises nearly any built-in exception on damage
        reason = (str(error).splitlines() or [""])[0][:100]
        _report(answers, f"damaged, or not an HDF5 file ({type(error).__name__}: {reason})")
    answers.flush()


def _report(answers: BinaryIO, error: str) -> None:
    answers.write(json.dumps({"error": error}).encode() + b"\n")


class _Patience:
    """Ends this process where a step takes longer, even inside the library."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)


class _Reader:
    """Walks one file; counts what its data sets claim to store."""

    def __init__(self, file: h5py.File, held: int, request: dict[str, Any]) -> None:
        self.file = file
        self.held = held  # bytes of the file
        self.left = held  # bytes of it that no data set has claimed yet
        self.room = max(_ALWAYS_FINE, MOST_EXPANSION_OF_FILE * held)  # for what they unpack to
        self.features: bool = request["features"]
        self.videos = None if request["videos"] is None else set(request["videos"])

    def messages(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        name, root = self._root()
        data = self._member(root, "data", h5py.Group)
        entries = sorted(_entry_name(key) for key in data)
        yield {"root": name, "metadata": self._metadata(root), "entries": len(entries)}, b""
        for video, number, key in entries:
            if self.videos is None or video in self.videos:
                header, payload = self._entry(data, key)
                yield header | {"video": video, "number": None if number < 0 else number}, payload
        yield {"end": True}, b""

    def _root(self) -> tuple[str, h5py.Group]:
        names = sorted(self.file)
        if len(names) != 1:
            raise RefusedError(f"{len(names)} root groups {names[:4]} found, expected one")
        _check_name(names[0])
        return names[0], self._member(self.file, names[0], h5py.Group)

    def _member(self, group: h5py.Group, name: str, kind: type) -> Any:
        where = f"'{group.name}', '{name}'"
        # Asked of the links themselves: group.get and `in` follow them, into other files too.
        if not group.id.links.exists(name.encode()):
            raise RefusedError(f"{where}: missing, expected a {kind.__name__.lower()}")
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise RefusedError(f"{where}: a link to another place found, which is not admitted")
        member = group[name]
        if not isinstance(member, kind):
            found = type(member).__name__.lower()
            raise RefusedError(f"{where}: {found} found, expected a {kind.__name__.lower()}")
        return member

    # ------------------------------------------------------------------ entries

    def _entry(self, data: h5py.Group, key: str) -> tuple[dict[str, Any], bytes]:
        group = self._member(data, key, h5py.Group)
        intervals = self._numbers(group, "intervals")
        rows = len(intervals)
        if intervals.shape != (rows, 2):
            raise RefusedError(
                f"{group.name}/intervals: shape {intervals.shape} found, expected (n, 2)"
            )
        features = self._admitted(group, "features")
        if not features.ndim or features.shape[0] != rows:
            raise RefusedError(
                f"{group.name}/features: shape {features.shape} found, expected {rows} rows, one "
                "for each interval"
            )
        width = math.prod(features.shape[1:])
        header = {"rows": rows, "width": width, "kind": ""}
        payload = intervals.astype("<f8").tobytes()
        if _holds_words(features.dtype):
            words = json.dumps(self._words(features)).encode()
            return header | {"kind": "words", "width": 1}, payload + words
        _check_numbers(features)
        if not self.features:
            return header, payload
        values = self._values(features)
        header["kind"] = "<f4" if values.dtype.itemsize <= 4 and values.dtype.kind == "f" else "<f8"
        with np.errstate(all="ignore"):
            return header, payload + values.astype(header["kind"], copy=False).tobytes()

    def _numbers(self, group: h5py.Group, name: str) -> NDArray[Any]:
        dataset = self._admitted(group, name)
        _check_numbers(dataset)
        return self._values(dataset)

    def _values(self, dataset: h5py.Dataset) -> NDArray[Any]:
        chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
        limit_memory(4 * (dataset.nbytes + chunk))  # chunk, array, bytes, message
        values: NDArray[Any] = dataset[()]
        return values

    def _words(self, dataset: h5py.Dataset) -> list[str]:
        if math.prod(dataset.shape) != len(dataset):
            raise RefusedError(
                f"{dataset.name}: shape {dataset.shape} of words found, expected (n, 1)"
            )
        found: list[str] = []
        left = self.held if dataset.dtype.hasobject else dataset.nbytes
        for start in range(0, len(dataset), 256):  # one stored string may stand for many
            limit_memory(3 * self.held)
            part = dataset[start : start + 256].ravel().tolist()
            left -= sum(map(len, part))
            if left < 0:
                raise RefusedError(f"{dataset.name}: words longer than the file holds")
            found += [
                word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
                for word in part
            ]
        return found

    def _metadata(self, root: h5py.Group) -> dict[str, str]:
        if not root.id.links.exists(b"metadata"):
            return {}
        group = self._member(root, "metadata", h5py.Group)
        links = group.id.links
        return {name: self._field(group, name) for name in _FIELDS if links.exists(name.encode())}

    def _field(self, group: h5py.Group, name: str) -> str:
        dataset = self._admitted(group, name)
        where = f"{group.name}/{name}"
        if not _holds_words(dataset.dtype) or math.prod(dataset.shape) != 1:
            raise RefusedError(
                f"{where}: {dataset.dtype} {dataset.shape} found, expected one string"
            )
        limit_memory(self.held)
        (value,) = np.ravel(dataset[()]).tolist()
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        if len(text) > _MOST_METADATA:
            raise RefusedError(f"{where}: {len(text)} characters found, expected at most 65536")
        return text

    # ------------------------------------------------------------------ what is admitted

    def _admitted(self, group: h5py.Group, name: str) -> h5py.Dataset:
        """A data set that lies in this file and is no larger than its bytes justify."""
        dataset = self._member(group, name, h5py.Dataset)
        settings = dataset.id.get_create_plist()
        where = f"{group.name}/{name}"
        if settings.get_external_count() or dataset.is_virtual:
            raise RefusedError(f"{where}: data in other files, which is not admitted")
        filters = [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]
        if not set(filters) <= {_DEFLATE, _SHUFFLE, _CHECKSUM} or len(set(filters)) < len(filters):
            raise RefusedError(f"{where}: filters {filters[:4]} found, expected gzip or none")
        if dataset.shape is None or dataset.ndim > _MOST_DIMENSIONS:
            found = "no shape" if dataset.shape is None else f"{dataset.ndim} dimensions"
            raise RefusedError(
                f"{where}: {found} found, expected 1 to {_MOST_DIMENSIONS} dimensions"
            )
        self._check_size(dataset, where, MOST_EXPANSION if _DEFLATE in filters else 1)
        return dataset

    def _check_size(self, dataset: h5py.Dataset, where: str, expansion: int) -> None:
        stored, item = dataset.id.get_storage_size(), dataset.dtype.itemsize
        claimed = math.prod(dataset.shape) * item
        chunk = math.prod(dataset.chunks or (0,)) * item if claimed else 0
        self.left -= stored
        self.room -= max(claimed, chunk)
        if self.left < 0:
            raise RefusedError(f"{where}: {stored} stored bytes claimed, more than the file has")
        if max(claimed, chunk) > expansion * stored:
            raise RefusedError(
                f"{where}: shape {dataset.shape} claims {max(claimed, chunk)} bytes of {stored} "
                f"stored, expected at most {expansion} times as many"
            )
        if self.room < 0:
            raise RefusedError(
                f"{where}: with it the {self.held} bytes of the file claim to unpack to more than "
                f"{MOST_EXPANSION_OF_FILE} times as many"
            )


def _entry_name(key: str) -> tuple[str, int, str]:
    """(video, number, key): aligned files name their entries ``video[3]``; -1 for no number."""
    _check_name(key)
    match = _NUMBERED.fullmatch(key)
    return (match[1], int(match[2]), key) if match else (key, -1, key)


def _check_name(name: str) -> None:
    """A name with a slash would be a path, along links that nobody looked at."""
    if not name.isprintable() or "/" in name or name == "." or not 0 < len(name) <= _MOST_NAME:
        raise RefusedError(
            f"name {name[:40]!r} found, expected a short printable one without slash"
        )


def _holds_words(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "S" or h5py.check_string_dtype(dtype) is not None


def _check_numbers(dataset: h5py.Dataset) -> None:
    if dataset.dtype.kind not in "biuf":
        raise RefusedError(f"{dataset.name}: {str(dataset.dtype)[:60]} found, expected numbers")


def limit_memory(extra: int) -> None:
    """Let this process have what it has now, and ``extra`` bytes more with some to spare."""
    try:
        import resource

        with open("/proc/self/statm", "rb") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + extra + _SPARE_MEMORY, hard))
    except (ImportError, OSError, ValueError):  # a system without such limits
        return


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
