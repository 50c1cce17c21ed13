"""`tricord clips init`, as a user types it in the first hour."""

from __future__ import annotations

import csv
import json
import shlex
from functools import partial
from pathlib import Path

import pytest

from commands import Type, narrow
from drawn_clips import talking, voice, write_clip
from tricord.clips.listing import read_clips


@pytest.fixture
def typed(user: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Type:
    """Runs a command of `tricord clips`, in a folder with clips of two people."""
    monkeypatch.chdir(tmp_path)
    for person, pitch in (("Ann Lee", 200.0), ("bob", 100.0)):
        (tmp_path / "my clips" / person).mkdir(parents=True)
        for number, smile in ((1, 1.0), (2, -1.0)):
            place = tmp_path / "my clips" / person / f"{number}.mp4"
            talking(place, 1 + 0.1 * number, smile=smile, pitch=pitch)
    (tmp_path / "my clips" / "bob" / "2.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nno!\n")
    return partial(user, "clips")


def fill(path: Path, labels: list[str]) -> None:
    """As a spreadsheet program saves it where commas are decimal points."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter=";")
        table.writeheader()
        table.writerows({**r, "label": word} for r, word in zip(rows, labels, strict=True))


def fits(text: str) -> bool:
    """A command to be typed stands on one line, so that it can be copied."""
    return narrow("\n".join(line for line in text.splitlines() if "tricord extract" not in line))


def test_help_fits_and_shows_an_example(typed: Type) -> None:
    for words in (["--help"], ["init", "--help"]):
        said = typed(*words)
        assert said.code == 0
        assert narrow(said.out)
    assert "tricord clips init clips/" in said.out


def test_from_a_folder_to_a_table_that_can_be_read(typed: Type) -> None:
    said = typed("init", "my clips/")
    assert (said.code, said.err) == (0, "")
    assert fits(said.out)
    assert [line.rstrip() for line in said.out.splitlines()] == (
        "my clips: 4 clips, 4.6 s (1.1 to 1.2 s, median 1.2 s)\n"
        "with sound 4, with pictures 4, with a transcript 1\n"
        "\n"
        "written: my clips/label.csv, 4 rows\n"
        "\n"
        "next:\n"
        "  fill in label: numbers, such as -1 to 1 or 1 to 5, or words, such as angry and\n"
        "  calm\n"
        "  look at speaker: it is filled with the name of the sub-folder\n"
        "  then check it:  tricord clips init 'my clips'\n"
        "  tricord extract 'my clips' --labels 'my clips/label.csv' --out 'my clips.tricord'\n"
    ).splitlines()
    command = shlex.split(said.out.splitlines()[-1])
    assert command[2:] == [
        "my clips",
        "--labels",
        "my clips/label.csv",
        "--out",
        "my clips.tricord",
    ]
    fill(Path("my clips/label.csv"), ["happy", "angry", "happy", "angry"])
    table = read_clips(Path(command[2]), Path(command[4]))
    assert [c.id for c in table.clips] == ["Ann Lee$_$1", "Ann Lee$_$2", "bob$_$1", "bob$_$2"]
    assert table.groups == ("Ann Lee", "Ann Lee", "bob", "bob")
    assert table.clips[3].text == "no!"
    again = typed("init", "my clips")
    assert again.code == 0
    assert "is there already, left as it is: 4 rows, 4 with a label" in again.out
    assert "labels: angry (2), happy (2)\n" in again.out
    assert "fill in label" not in again.out
    assert "not in the table" not in again.out


def test_a_second_time_says_what_is_missing(typed: Type) -> None:
    labels = Path("my clips/label.csv")
    labels.write_text("file,label\nbob/1.mp4,1\nbob/9.mp4,2\nbob/2.mp4,\n")
    (labels.parent / "bob" / "3.mp4").write_bytes(b"broken")
    before = labels.read_bytes()
    said = typed("init", "my clips")
    assert said.code == 0
    assert fits(said.out)
    assert labels.read_bytes() == before
    for line in (
        "error: 1 file cannot be read",
        "note: file: not found for 1 of 3 clips (line 3): 'bob/9.mp4'",
        "2 clips not in the table:\n  Ann Lee/1.mp4",
        "label: empty or unknown for 1 of 3 clips (line 4)",
        "3 rows, 2 with a label\nlabels: 1 (1), 2 (1)\n",
    ):
        assert line in said.out
    found = json.loads(typed("init", "my clips", "--json").out)
    assert found["written"] is False
    assert found["new"] == ["Ann Lee/1.mp4", "Ann Lee/2.mp4"]
    assert found["missing"] == ["bob$_$9"]
    assert found["unlabelled"] == 1
    assert [problem["kind"] for problem in found["problems"]] == ["unreadable"]
    assert typed("init", "my clips", "--overwrite").code == 0
    assert labels.read_text("utf-8-sig").count("\n") == 5


def test_of_many_different_numbers_the_ends_are_said(typed: Type) -> None:
    files = [Path("my clips/a", f"{number}.wav") for number in range(13)]
    for number, path in enumerate(files):
        path.parent.mkdir(exist_ok=True)
        write_clip(path, sound=voice(0.1, 100 + number))
    rows = (f"a/{path.name},{number / 4}\n" for number, path in enumerate(files))
    Path("my clips/label.csv").write_text("file,label\n" + "".join(rows) + "bob/1.mp4,\n")
    assert "labels: numbers from 0 to 3, 13 different ones\n" in typed("init", "my clips").out


def test_json_names_every_clip(typed: Type) -> None:
    said = typed("init", "my clips", "--out", "mine.csv", "--json")
    found = json.loads(said.out)
    assert found["written"] is True
    assert found["labels"] == "mine.csv"
    assert found["clips"][0]["file"] == "Ann Lee/1.mp4"
    assert found["clips"][0]["speaker"] == "Ann Lee"
    assert found["clips"][0]["duration"] == pytest.approx(1.1, abs=0.06)
    assert found["clips"][0]["video"]["width"] == 64
    assert not Path("my clips/label.csv").exists()
    said = typed("init", "my clips", "--out", "mine.csv")
    assert "tricord extract 'my clips' --labels mine.csv" in said.out


def test_many_problems_are_cut_short(typed: Type, tmp_path: Path) -> None:
    for number in range(7):
        place = tmp_path / "my clips" / "short" / f"{number}.wav"
        place.parent.mkdir(exist_ok=True)
        write_clip(place, sound=voice(0.5, 100 + number))
    said = typed("init", "my clips")
    assert fits(said.out)
    assert "warning: 7 files shorter than 1 s" in said.out
    assert "short/4.wav: 0.50 s" in said.out
    assert "short/5.wav" not in said.out
    assert "and 2 more, see --json" in said.out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["none"], "error: none: no such folder, expected a folder with clips\n"),
        (["empty"], "error: empty: no audio or video file found, expected such as mp4, mov, "),
        (["my clips", "--out", "a.xlsx"], "error: a.xlsx: name found, expected one that ends in"),
    ],
)
def test_what_a_user_can_mend_is_one_line(typed: Type, words: list[str], error: str) -> None:
    Path("empty").mkdir()
    said = typed("init", *words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(error)
    assert said.err.count("\n") == 1
