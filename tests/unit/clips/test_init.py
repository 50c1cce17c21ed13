"""A label table made of a folder, the one that is there checked, and what is wrong with files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from drawn_clips import RATE, face, voice, write_clip
from tricord.clips.finding import Found
from tricord.clips.init import Report, init_labels
from tricord.clips.listing import read_clips
from tricord.clips.problems import Looked, Problem, problems_of
from tricord.data.readers.label_table import read_label_table
from tricord.errors import DataError, TricordError
from tricord.media.info import AudioInfo, MediaInfo, VideoInfo

NOTHING = Found((), (), ())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "clips"
    place.mkdir()
    return place


def hum(path: Path, pitch: float = 150.0, seconds: float = 1.2) -> Path:
    """A clip of sound only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_clip(path, sound=voice(seconds, pitch))


def kinds(report: Report) -> dict[str, Problem]:
    return {problem.kind: problem for problem in report.problems}


def cells(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8-sig").splitlines()


def test_a_table_of_every_clip(folder: Path) -> None:
    hum(folder / "Zoë" / "10.wav", 150)
    hum(folder / "Zoë" / "2.wav", 160)
    write_clip(folder / "张三.mp4", [face()] * 26, voice(1.04))
    hum(folder / "Al" / "1.wav", 170)
    (folder / "Zoë" / "2.txt").write_text('so, "well"\nyes')
    seen: list[tuple[int, int]] = []
    report = init_labels(folder, tick=lambda done, total: seen.append((done, total)))
    assert report.written
    assert (folder / "label.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert cells(folder / "label.csv") == [
        "file,label,text,speaker",
        "Al/1.wav,,,Al",
        'Zoë/2.wav,,"so, ""well"" yes",Zoë',
        "Zoë/10.wav,,,Zoë",
        "张三.mp4,,,",
    ]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert set(kinds(report)) == {"no-picture"}
    table = read_clips(folder, folder / "label.csv")
    assert [clip.id for clip in table.clips] == ["Al$_$1", "Zoë$_$2", "Zoë$_$10", "张三"]
    assert [clip.path for clip in table.clips] == [item.path for item in report.looked]
    assert table.clips[1].text == 'so, "well" yes'
    assert table.groups == ("Al", "Zoë", "Zoë", "张三")


def test_one_clip_in_no_folder(folder: Path) -> None:
    hum(folder / "only.wav")
    report = init_labels(folder)
    assert cells(folder / "label.csv")[1:] == ["only.wav,,,"]
    assert kinds(report)["no-picture"].severity == "note"
    assert "all of them" in kinds(report)["no-picture"].says


def test_one_folder_of_all_clips_is_no_speaker(folder: Path) -> None:
    for name in ("Raw/1.wav", "Raw/2.wav"):
        hum(folder / name, seconds=1 + 0.1 * len(name))
    report = init_labels(folder)
    assert [row.speaker for row in report.rows] == ["", ""]


def test_folders_named_like_labels_are_labels_and_no_speakers(folder: Path) -> None:
    hum(folder / "Angry" / "1.wav", 100)
    hum(folder / "calm" / "1.wav", 200)
    assert [(row.label, row.speaker) for row in init_labels(folder).rows] == [
        ("Angry", ""),
        ("calm", ""),
    ]
    hum(folder / "Anna" / "1.wav", 300)
    again = init_labels(folder, overwrite=True)
    assert [(row.label, row.speaker) for row in again.rows] == [
        ("", "Angry"),
        ("", "Anna"),
        ("", "calm"),
    ]


@pytest.mark.parametrize("make", [lambda path: None, lambda path: (path / "a.txt").write_text("")])
def test_a_folder_without_clips(folder: Path, make: Callable[[Path], object]) -> None:
    make(folder)
    with pytest.raises(DataError, match="no audio or video file found, expected such as mp4"):
        init_labels(folder)
    assert not (folder / "label.csv").exists()
    with pytest.raises(DataError, match="no such folder"):
        init_labels(folder / "none")


def test_a_table_that_is_there_is_checked_and_left(folder: Path) -> None:
    hum(folder / "a.wav", 100)
    init_labels(folder)
    mine = "file,label\na.wav,3\ngone.wav,2\n"
    (folder / "label.csv").write_text(mine)
    hum(folder / "b.wav", 200)
    hum(folder / "c.wav", 300)
    (folder / "broken.wav").write_bytes(b"RIFF")
    report = init_labels(folder)
    assert (folder / "label.csv").read_text() == mine
    assert not report.written
    assert report.new == ("b.wav", "c.wav")
    assert report.table is not None
    assert report.table.missing == (1,)
    assert "unreadable" in kinds(report)
    other = init_labels(folder, folder.parent / "other" / "mine.csv")
    assert other.written
    assert cells(folder.parent / "other" / "mine.csv")[1:] == ["a.wav,,,", "b.wav,,,", "c.wav,,,"]
    assert init_labels(folder, overwrite=True).written
    assert len(cells(folder / "label.csv")) == 4


def test_a_table_that_cannot_be_read_is_an_error_and_left(folder: Path) -> None:
    hum(folder / "a.wav")
    (folder / "label.csv").write_text("nothing\n")
    with pytest.raises(DataError, match=r"label\.csv: "):
        init_labels(folder)
    assert (folder / "label.csv").read_text() == "nothing\n"


def test_a_place_that_is_no_table_is_refused(folder: Path) -> None:
    hum(folder / "a.wav")
    for name in ("t.xlsx", "t"):
        with pytest.raises(DataError, match=r"expected one that ends in \.csv"):
            init_labels(folder, folder / name)
    (folder / "link.csv").symlink_to(folder.parent / "elsewhere.csv")
    (folder / "folder.csv").mkdir()
    for name in ("link.csv", "folder.csv"):
        with pytest.raises(DataError, match="is a folder or a link"):
            init_labels(folder, folder / name, overwrite=True)
    assert not (folder.parent / "elsewhere.csv").exists()
    (folder.parent / "file").write_text("")
    with pytest.raises(TricordError, match="cannot be written"):
        init_labels(folder, folder.parent / "file" / "t.csv")


def test_files_that_cannot_be_used_are_not_in_the_table(folder: Path) -> None:
    hum(folder / "good.wav")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no clip")
    whole = write_clip(folder / "whole.mp4", [face()] * 30, voice(1.2)).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    shutil.copy(folder / "good.wav", folder / "two\nlines.wav")
    shutil.copy(folder / "good.wav", os.fsencode(folder) + b"/\xff.wav")
    report = init_labels(folder)
    assert [row.file for row in report.rows] == ["good.wav", "whole.mp4"]
    unreadable = kinds(report)["unreadable"]
    assert unreadable.severity == "error"
    assert unreadable.files == ("cut.mp4", "empty.mp4", "text.mp4")
    assert unreadable.found[1] == "empty.mp4: is empty (0 bytes), expected audio or video"
    assert unreadable.says == "3 files cannot be read"
    assert len(kinds(report)["name"].files) == 2
    (folder / "good.wav").unlink()
    (folder / "whole.mp4").unlink()
    with pytest.raises(DataError, match=r"none of its 5 files .* such as cut\.mp4: is not"):
        init_labels(folder, overwrite=True)


def test_a_name_in_brackets_or_with_a_comma_is_kept(folder: Path) -> None:
    names = ["'q'.wav", "a, b.wav", "x {0} [y];z.wav", '"z".wav']
    for place, name in enumerate(names):
        hum(folder / name, 100 + 10 * place)
    report = init_labels(folder)
    assert sorted(row.file for row in report.rows) == sorted(names)
    table = read_clips(folder, folder / "label.csv")
    assert sorted(clip.path.name for clip in table.clips) == sorted(names)


def test_copies_and_same_names(folder: Path) -> None:
    hum(folder / "a" / "x" / "1.wav", 100)
    (folder / "b" / "x").mkdir(parents=True)
    shutil.copy(folder / "a" / "x" / "1.wav", folder / "b" / "x" / "1.wav")
    hum(folder / "y" / "2.wav", 200)  # as long as the others, and another sound
    report = init_labels(folder)
    copies, names = kinds(report)["same-content"], kinds(report)["same-name"]
    assert copies.found == names.found == ("a/x/1.wav = b/x/1.wav",)
    assert (copies.severity, names.severity) == ("warning", "error")
    with pytest.raises(DataError, match="lines 2 and 3: the same clip"):
        init_labels(folder)


def test_links_and_other_files_are_said(folder: Path) -> None:
    hum(folder / "a.wav")
    (folder / "b.wav").symlink_to(folder / "a.wav")
    for name in ("c.docx", "d.docx", "e", "a.srt", ".hidden"):
        (folder / name).write_text("")
    report = init_labels(folder)
    assert kinds(report)["link"].files == ("b.wav",)
    other = kinds(report)["not-media"]
    assert other.files == ("c.docx", "d.docx", "e")
    assert other.found == (".docx (2), no suffix (1)",)
    assert [problem.severity for problem in report.problems] == ["warning", "note", "note"]


def test_transcripts_that_are_odd_are_said(folder: Path) -> None:
    words = {"a": "- no", "b": "1 + 1", "c": "x" * 100_001, "d": "x" * 100_000, "e": "fine"}
    for place, (name, text) in enumerate(words.items()):
        hum(folder / f"{name}.wav", 100 + 10 * place)
        (folder / f"{name}.txt").write_text(text)
    (folder / "e.srt").write_text("words before any time")
    hum(folder / "f.wav", 90)
    (folder / "f.txt").write_bytes("café".encode("cp1252"))
    report = init_labels(folder)
    assert [row.text for row in report.rows] == ["- no", "1 + 1", "", words["d"], "", "café"]
    found = kinds(report)
    assert found["formula"].files == ("a.wav",)
    assert found["long-transcript"].files == ("c.wav",)
    assert found["transcript"].files == ("e.wav",)
    assert found["odd-transcript"].files == ("f.wav",)
    assert read_label_table(folder / "label.csv").text == tuple(row.text for row in report.rows)


# Of media there is only what was measured.


def looked(
    name: str, duration: float = 2.0, sound: int | None = 16_000, pictures: float | None = 25.0
) -> Looked:
    audio = None if sound is None else AudioInfo(sound, 1, "aac", 0.0)
    video = None if pictures is None else VideoInfo(64, 48, 0, pictures, False, "h264", 0.0)
    return Looked(Path(__file__), name, MediaInfo("mov", duration, audio, video))


def found_in(*items: Looked) -> dict[str, Problem]:
    every = problems_of(items, NOTHING, Path())
    return {problem.kind: problem for problem in every if problem.kind != "same-content"}


def test_nothing_is_said_of_usual_clips() -> None:
    assert found_in() == {}
    usual = (looked("a.mp4", 1.0), looked("b.mp4", 60.0, RATE, 10.0), looked("c.mp4"))
    assert found_in(*usual) == {}


def test_short_and_long_clips() -> None:
    found = found_in(looked("a.mp4", 0.98), looked("b.mp4", 60.1), looked("c.mp4"))
    assert found["short"].found == ("a.mp4: 0.98 s",)
    assert found["long"].found == ("b.mp4: 60 s",)
    assert "Cut them" in found["long"].do
    assert set(found) == {"short", "long"}


def test_missing_tracks() -> None:
    found = found_in(looked("a.mp4", sound=None), looked("b.wav", pictures=None), looked("c.mp4"))
    assert found["no-sound"].files == ("a.mp4",)
    assert found["no-picture"].files == ("b.wav",)
    assert found["no-picture"].severity == "warning"


def test_odd_rates() -> None:
    found = found_in(looked("a.mp4", sound=8000), looked("b.mp4", pictures=9.9), looked("c.mp4"))
    assert found["low-sound"].found == ("a.mp4: 8000",)
    assert found["few-pictures"].found == ("b.mp4: 9.9",)
    assert found["mixed-sound"].files == ("a.mp4",)
    assert found["mixed-sound"].found == (
        "16000 samples a second: 2 clips",
        "8000 samples a second: 1 clip",
    )


def test_files_of_one_name_and_two_suffixes() -> None:
    found = found_in(looked("v/1.mp4"), looked("v/1.wav"), looked("w/1.mp4"), looked("1.mp4"))
    assert found["same-name"].found == ("v/1.mp4 = v/1.wav",)
