"""Safetensors files by pieces: what others read, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tricord.data.store.arrays import ArrayFile, Shape, file_bytes, map_arrays
from tricord.errors import DataError

LAYOUT = {"offsets": Shape("int64", (4,)), "values": Shape("float16", (5, 3))}
OFFSETS = np.array([0, 2, 2, 5])
VALUES = np.arange(15, dtype=np.float16).reshape(5, 3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    with ArrayFile(path, LAYOUT) as out:
        out.write("values", VALUES[3:], 3)  # in any order, by any pieces
        out.write("offsets", OFFSETS)
        out.write("values", VALUES[:3])
    return path


def test_the_safetensors_library_reads_what_was_written(file: Path) -> None:
    found = load_file(file)
    assert list(found) == ["offsets", "values"]
    np.testing.assert_array_equal(found["offsets"], OFFSETS)
    np.testing.assert_array_equal(found["values"], VALUES)
    assert found["values"].dtype == np.float16
    assert file.stat().st_size == file_bytes(LAYOUT)


def test_mapped_arrays_are_the_same_aligned_and_read_only(file: Path) -> None:
    found = map_arrays(file, LAYOUT)
    np.testing.assert_array_equal(found["offsets"], OFFSETS)
    np.testing.assert_array_equal(found["values"], VALUES)
    assert found["offsets"].flags.aligned
    assert found["offsets"].ctypes.data % 8 == found["values"].ctypes.data % 8 == 0
    with pytest.raises(ValueError, match="read-only"):
        found["values"][0, 0] = 1


def test_what_is_not_written_is_zero(tmp_path: Path) -> None:
    with ArrayFile(tmp_path / "a", LAYOUT) as out:
        out.write("values", VALUES[4:], 4)
    found = map_arrays(tmp_path / "a", LAYOUT)
    assert not found["offsets"].any()
    np.testing.assert_array_equal(found["values"].sum(axis=1), [0, 0, 0, 0, 39])


def test_other_kinds_of_numbers_are_converted_and_other_orders_straightened(tmp_path: Path) -> None:
    layout = {"values": Shape("float32", (2, 3))}
    with ArrayFile(tmp_path / "a", layout) as out:
        out.write("values", np.arange(6.0).reshape(3, 2).T.astype(">f8"))
    np.testing.assert_array_equal(
        map_arrays(tmp_path / "a", layout)["values"], [[0, 2, 4], [1, 3, 5]]
    )


@pytest.mark.parametrize("dimensions", [(0,), (0, 7), (3, 0)])
def test_arrays_without_a_number(tmp_path: Path, dimensions: tuple[int, ...]) -> None:
    layout = {"values": Shape("float32", dimensions)}
    with ArrayFile(tmp_path / "a", layout) as out:
        out.write("values", np.zeros(dimensions, np.float32))
    assert map_arrays(tmp_path / "a", layout)["values"].shape == dimensions


@pytest.mark.parametrize(
    "other",
    [
        {"offsets": Shape("int64", (4,)), "values": Shape("float16", (3, 5))},
        {"offsets": Shape("int64", (4,)), "others": Shape("float16", (5, 3))},
        {"values": Shape("float16", (5, 3)), "offsets": Shape("int64", (4,))},
        {"offsets": Shape("float64", (4,)), "values": Shape("float16", (5, 3))},
    ],
)
def test_another_header_is_refused(file: Path, other: dict[str, Shape]) -> None:
    with pytest.raises(DataError, match="its header does not fit"):
        map_arrays(file, other)


@pytest.mark.parametrize("change", [-1, 1])
def test_another_length_is_refused(file: Path, change: int) -> None:
    os.truncate(file, file.stat().st_size + change)
    with pytest.raises(DataError, match=r"bytes found, expected"):
        map_arrays(file, LAYOUT)


def test_a_claim_of_any_size_costs_nothing(file: Path) -> None:
    with pytest.raises(DataError, match="expected 4000000000"):
        map_arrays(file, {"values": Shape("float32", (10**12, 10**9))})


def test_only_files_are_opened(file: Path, tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(file)
    os.mkfifo(pipe)
    for path, problem in ((link, "is a link"), (pipe, "is not a file"), (tmp_path, "not a file")):
        with pytest.raises(DataError, match=problem):
            map_arrays(path, LAYOUT)
    with pytest.raises(DataError, match="missing"):
        map_arrays(tmp_path / "none", LAYOUT)
