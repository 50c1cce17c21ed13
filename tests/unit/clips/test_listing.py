"""Which clips a table and a folder have: names found, names refused, what is said."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tricord.clips.finding import natural
from tricord.clips.listing import ClipTable, find_media, read_clips
from tricord.data.derive.grouping import groups_of, split_by_group
from tricord.data.readers.label_table import without_features
from tricord.data.schema import UNLABELLED, UNSPLIT
from tricord.errors import DataError


def folder_of(tmp_path: Path, *files: str) -> Path:
    """A folder with files that are media by their name only: nothing here opens them."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def read(folder: Path, text: str | bytes) -> ClipTable:
    labels = folder.parent / "label.csv"
    labels.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_clips(folder, labels)


def problem(folder: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, text)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{folder.parent / 'label.csv'}: ")


def files(folder: Path, table: ClipTable) -> list[str]:
    return [clip.path.relative_to(folder).as_posix() for clip in table.clips]


def test_media_in_natural_order_without_hidden_files_others_and_links(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path, "b/10.mp4", "b/2.MP4", "a.wav", "b/1.txt", ".x.mp4", ".git/1.mp4", "B/1.webm",
        "label.csv",
    )  # fmt: skip
    (folder / "link.mp4").symlink_to(folder / "a.wav")
    (folder / "more").symlink_to(folder / "b")
    found = [path.relative_to(folder).as_posix() for path in find_media(folder)]
    assert found == ["a.wav", "B/1.webm", "b/2.MP4", "b/10.mp4"]
    with pytest.raises(DataError, match=r"a\.wav: is a file, expected a folder with clips"):
        find_media(folder / "a.wav")
    (tmp_path / "none").mkdir()
    assert find_media(tmp_path / "none") == []


@given(st.lists(st.text(st.sampled_from("aB1029./é٣ "), min_size=1, max_size=8), max_size=8))
def test_any_names_have_an_order_that_does_not_depend_on_theirs(names: list[str]) -> None:
    paths = [Path(name) for name in names]
    backwards = paths[::-1]
    assert sorted(paths, key=natural) == sorted(backwards, key=natural)


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        ("anna/2.mp4", "anna/2.mp4"),
        ("anna/2", "anna/2.mp4"),
        ("anna/2.MP4", "anna/2.mp4"),
        (r"anna\2.mp4", "anna/2.mp4"),
        ("./anna/2.mp4", "anna/2.mp4"),
        ("take.v2", "take.v2.mov"),
        ("take.v2.mov", "take.v2.mov"),
        ("both.wav", "both.wav"),
        ("both.WAV", "both.wav"),
        ("case.MP4", "case.MP4"),
        ("case.mp4", "case.mp4"),
        ("odd.dat", "odd.dat"),
        (unicodedata.normalize("NFC", "josé"), unicodedata.normalize("NFD", "josé.mp4")),
        ("张三/开心.mp4", "张三/开心.mp4"),
    ],
)
def test_a_cell_finds_its_file(tmp_path: Path, cell: str, file: str) -> None:
    folder = folder_of(
        tmp_path, "anna/2.mp4", "take.v2.mov", "take.v1.mov", "both.mp4", "both.wav", "case.MP4",
        "case.mp4", "odd.dat", unicodedata.normalize("NFD", "josé.mp4"), "张三/开心.mp4",
    )  # fmt: skip
    table = read(folder, f"file,label\n{cell},1\n")
    assert files(folder, table) == [file]
    assert table.missing == ()


@pytest.mark.parametrize("file", ["v1/0001.mp4", "Raw/v1/0001.MP4", "v1_0001.wav", "v1$_$0001.mkv"])
def test_video_and_clip_find_their_file_and_stay_strings(tmp_path: Path, file: str) -> None:
    folder = folder_of(tmp_path, file, "v1/1.mp4")
    table = read(folder, "video_id,clip_id,label\nv1,0001,0.5\n")
    assert files(folder, table) == [file]
    assert [clip.id for clip in table.clips] == ["v1$_$0001"]


def test_ids_and_file_together_name_clips_of_the_same_file_name(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a/x/1.mp4", "b/x/1.mp4")
    message = problem(folder, "file,label\na/x/1.mp4,1\nb/x/1.mp4,2\n")
    assert message.startswith("lines 2 and 3: the same clip found, 'x$_$1', expected one row")
    head = "video_id,clip_id,file,label"
    table = read(folder, f"{head}\na,1,a/x/1.mp4,1\nb,1,b/x/1.mp4,2\n")
    assert [clip.id for clip in table.clips] == ["a$_$1", "b$_$1"]
    assert files(folder, table) == ["a/x/1.mp4", "b/x/1.mp4"]
    message = problem(folder, f"{head}\na,1,a/x/1.mp4,1\n\nb,1,a/x/1,2\n")
    assert message.startswith("lines 2 and 4: the same file found")
    assert "line 2, column 'file'" not in message
    assert "../x.mp4" in problem(folder, f"{head}\na,1,../x.mp4,1\n")


@pytest.mark.parametrize("cell", ["../out.mp4", "/etc/passwd", "a/../../out.mp4"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, cell: str) -> None:
    folder = folder_of(tmp_path, "a.mp4")
    (tmp_path / "out.mp4").write_bytes(b"x")
    assert "expected the path of a file in the folder" in problem(folder, f"file,label\n{cell},1\n")


@pytest.mark.parametrize("name", ["..", "a/b", r"a\b", "."])
def test_no_video_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path, "a.mp4")
    (tmp_path / "out.mp4").write_bytes(b"x")
    for row in (f"{name},out.mp4", f"v,{name}"):
        message = problem(folder, f"video_id,clip_id,label\n{row},1\n")
        assert message == f"line 2: name {name!r} found, expected one without '/'"


def test_a_link_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.mp4")
    (folder / "b.mp4").symlink_to(folder / "a.mp4")
    message = problem(folder, "file,label\na.mp4,1\nb.mp4,1\n")
    assert message.startswith("line 3: ")
    assert "b.mp4: is a link" in message


def test_a_name_that_fits_two_files_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "v/1.mp4", "v/1.wav")
    message = problem(folder, "video_id,clip_id,label\nv,1,1\n")
    assert message.startswith("line 2: 'v/1' fits 'v/1.mp4', 'v/1.wav', expected one file")
    assert "fits" in problem(folder, "file,label\nv/1,1\n")


def test_missing_files_are_said_and_all_missing_is_an_error(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.mp4")
    table = read(folder, "file,label\nb.mp4,1\na.mp4,2\nc.mp4,3\n")
    assert table.missing == (0, 2)
    assert len(table.clips) == len(table.table.videos) == 3
    assert "file: not found for 2 of 3 clips (line 2, 4): 'b.mp4', 'c.mp4'" in table.notices
    message = problem(folder, "file,label\nx/b.mp4,1\nx/c.mp4,2\n")
    assert message == (
        f"none of its 2 clips found in {folder}: looked for 'x/b.mp4', 'x/c.mp4'; "
        "there are: 'a.mp4'"
    )


def test_a_table_by_a_spreadsheet_program(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "Zoë/1.mp4", "Zoë/2.mp4", "Åsa/1.mp4")
    rows = ["file;label;text;speaker", "Zoë/1.mp4;froh;Na; Zoë", "Zoë/2.mp4;wütend;;Zoë"]
    rows += ["Åsa/1.mp4;froh;\"Ja; gut\";Åsa", ";;;"]  # fmt: skip
    table = read(folder, b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    assert [clip.id for clip in table.clips] == ["Zoë$_$1", "Zoë$_$2", "Åsa$_$1"]
    assert [clip.text for clip in table.clips] == ["Na", None, "Ja; gut"]
    assert table.table.words == ("froh", "wütend", "froh")
    assert table.groups == ("Zoë", "Zoë", "Åsa")


def test_text_is_the_cell_or_the_transcript_beside_the_clip(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{n}.wav" for n in "abcd"))
    for name, words in (("a.txt", "not this"), ("b.txt", " said\nhere \n"), ("d.srt", "no time")):
        (folder / name).write_text(words)
    table = read(folder, "file,label,text\na.wav,1,this\nb.wav,2,\nc.wav,3,  \nd.wav,1,\n")
    assert [clip.text for clip in table.clips] == ["this", "said here", None, None]
    assert table.table.text == ("this", "said here", "", "")
    notices = "\n".join(table.notices)
    assert "text: from the transcripts beside 1 of 4 clips" in notices
    assert "text: none for 2 of 4 clips (line 4, 5)" in notices
    assert (
        f"text: transcripts that cannot be read: 1, such as {folder / 'd.srt'}: line 1" in notices
    )
    bare = read(folder, "file,label\na.wav,1\n")
    assert bare.clips[0].text == "not this"
    (folder / "b.txt").unlink()
    (folder / "b.txt").symlink_to(folder / "a.txt")
    linked = read(folder, "file,label\nb.wav,1\n")
    assert linked.clips[0].text is None
    assert "is a link" in "\n".join(linked.notices)


def test_rows_without_a_label_are_in_a_split_of_their_own(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{n}.wav" for n in "abcdefg"))
    rows = ["a,happy", "b,", "c,calm", "d,NA", "e,happy", "f,calm", "g,calm"]
    table = read(folder, "\n".join(["file,label", *rows]))
    np.testing.assert_array_equal(table.labelled, [True, False, True, False, True, True, True])
    assert (
        "label: empty or unknown for 2 of 7 clips (line 3, 5): measured, but not trained on "
        "(split 'unlabelled')"
    ) in table.notices
    data = without_features(table.table)
    assert data[UNLABELLED].ids == ("b", "d")
    assert data[UNLABELLED].label_names is None
    assert data[UNSPLIT].label_names == ("happy", "calm", "happy", "calm", "calm")
    made, _ = split_by_group(data, groups_of(data))
    assert made[UNLABELLED].ids == ("b", "d")
    assert set(made) == {"train", "valid", "test", UNLABELLED}


def test_rows_without_a_label_leave_the_split_they_are_in(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.wav", "b.wav")
    table = read(folder, "file,label,mode\na,0.5,train\nb,,train\n")
    assert table.table.modes == ("train", UNLABELLED)
    empty = read(folder, "file,label\na,\nb,\n")
    assert not empty.labelled.any()
    assert empty.table.modes is None
    assert "label: empty in every row: fill it in before training" in empty.notices


def test_a_table_without_a_column_label_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.wav")
    message = problem(folder, "file,emotion\na.wav,happy\n")
    assert message == "columns 'file', 'emotion' found, expected 'label' among them"
    assert read(folder, "file,Label\na.wav,\n").clips


def test_words_and_numbers_do_not_mix(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{n}.wav" for n in "abc"))
    message = problem(folder, "file,label\na,happy\nb,calm\nc,3\n")
    assert message == "line 4, column 'label': '3' found, expected a word as in 2 other rows"
    message = problem(folder, "file,label\na,1\nb,calm\nc,3\n")
    assert message == "line 3, column 'label': 'calm' found, expected a number such as -0.4"


def test_words_that_look_alike_are_said_but_not_made_one(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{n}.wav" for n in "abcd"))
    table = read(folder, "file,label,speaker\na,Happy,Al\nb,happy ,al\nc,sad,Bo\nd,calm,Bo\n")
    assert table.table.words == ("Happy", "happy", "sad", "calm")
    told = "'Happy', 'happy' are taken as two classes: write them alike if they are one"
    assert f"label: {told}" in table.notices
    assert "speaker: 'Al', 'al' are taken as two speakers" in "\n".join(table.notices)
    assert table.groups == ("Al", "al", "Bo", "Bo")


def test_speakers(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "x/1.wav", "x/2.wav", "y/1.wav")
    rows = "file,label,speaker\nx/1,1,Al\nx/2,2,\ny/1,3,Bo\n"
    table = read(folder, rows)
    assert table.groups == ("Al", "x", "Bo")
    assert "speaker: empty for 1 of 3 clips (line 3): taken to be the folder or video" in (
        table.notices
    )
    empty = read(folder, "file,label,speaker\nx/1,1,\nx/2,2,\ny/1,3,\n")
    assert empty.groups is None
    assert "speaker: not known: splits keep the 2 folders or videos apart" in "".join(empty.notices)
    modes = read(folder, "file,label,mode\nx/1,1,train\nx/2,2,valid\ny/1,3,test\n")
    assert modes.groups is None
    assert "speaker" not in "".join(modes.notices)


def test_clips_in_no_folder_are_each_a_video_and_that_is_said(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.wav", "b.wav")
    table = read(folder, "file,label\na.wav,1\nb.wav,2\n")
    assert [clip.id for clip in table.clips] == ["a", "b"]
    assert "puts clips of one person into train and into test" in "".join(table.notices)


def test_folders_of_one_label_each_are_said(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "angry/1.wav", "angry/2.wav", "calm/1.wav")
    table = read(folder, "file,label\nangry/1,angry\nangry/2,angry\ncalm/1,calm\n")
    assert (
        "each folder or video holds one label only, and some label is in fewer than 3"
        in "".join(table.notices)
    )


def test_videos_of_one_label_are_split_as_videos_where_each_label_has_enough(
    tmp_path: Path,
) -> None:
    labels = {f"v{n}": ("angry", "calm")[n % 2] for n in range(6)}
    folder = folder_of(tmp_path, *(f"{video}/{n}.wav" for video in labels for n in "12"))
    rows = [f"{video}/{n},{label}" for video, label in labels.items() for n in "12"]
    table = read(folder, "\n".join(["file,label", *rows]))
    assert "splits keep the 6 folders or videos apart" in "".join(table.notices)
    fewer = read(folder, "\n".join(["file,label", *rows[:-2]]))
    assert "one label only" in "".join(fewer.notices)
    # clips without a label change nothing
    unlabelled = [*rows[:-2], *(row.partition(",")[0] + "," for row in rows[-2:])]
    partly = read(folder, "\n".join(["file,label", *unlabelled]))
    assert "one label only" in "".join(partly.notices)


def test_one_clip(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "only.mp4")
    table = read(folder, "file,label\nonly,1\n")
    assert files(folder, table) == ["only.mp4"]
    assert table.table.scores[0, 0] == 1


def test_the_clips_of_the_shared_folder(shared: Path) -> None:
    folder = shared / "data" / "mosi_clips"
    if not folder.is_dir():
        pytest.skip("no clips there")
    table = read_clips(folder, folder / "label.csv")
    assert len(table.clips) == 209
    assert table.missing == ()
    assert table.labelled.all()
    assert len({clip.id.partition("$_$")[0] for clip in table.clips}) == 8
    assert "03bSnISJMiM$_$1" in {clip.id for clip in table.clips}
    assert table.notices == ()
