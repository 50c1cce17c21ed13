from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tricord.clips.failures import Failed, write_failures
from tricord.errors import TricordError

FAILED = [Failed("b", Path("b.mp4"), 'cut off, "early"'), Failed("a", Path("ä.mp4"), "no sound")]


def test_failures_are_rows_by_id(tmp_path: Path) -> None:
    path = tmp_path / "my.failures.csv"
    write_failures(path, FAILED)
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["id", "file", "reason"],
            ["a", "ä.mp4", "no sound"],
            ["b", "b.mp4", 'cut off, "early"'],
        ]


def test_without_failures_those_of_an_earlier_run_go(tmp_path: Path) -> None:
    path = tmp_path / "my.failures.csv"
    write_failures(path, [])
    assert not path.exists()
    write_failures(path, FAILED)
    write_failures(path, [])
    assert not path.exists()


def test_a_name_that_is_no_text_is_written_as_well(tmp_path: Path) -> None:
    path = tmp_path / "my.failures.csv"
    write_failures(path, [Failed("a", Path("b\udcff.mp4"), "no sound")])
    assert "b\\udcff.mp4" in path.read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TricordError, match="cannot be written"):
        write_failures(tmp_path / "file" / "my.failures.csv", FAILED)
