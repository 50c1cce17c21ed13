"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tricord.errors import TricordError
from tricord.files import write_atomically


def test_a_new_file_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_atomically(path, lambda p: p.write_text("x"))
    assert path.read_text() == "x"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "b.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        assert temporary.parent == path.parent  # so that the rename is atomic
        temporary.write_text("half of the n")
        raise error

    with pytest.raises(error):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_text("old")
    seen: list[str] = []

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        seen.append(path.read_text())

    write_atomically(path, write)
    assert seen == ["old"]
    assert path.read_text() == "new"


def test_a_place_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TricordError, match=r"b\.txt: cannot be written \(") as error:
        write_atomically(tmp_path / "file" / "b.txt", lambda p: p.write_text("x"))
    assert "\n" not in str(error.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(TricordError, match=r"folder: cannot be written \("):
        write_atomically(tmp_path / "folder", lambda p: p.write_text("x"))
    assert {p.name for p in tmp_path.iterdir()} == {"file", "folder"}
