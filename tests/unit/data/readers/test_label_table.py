"""Label tables: every spelling of this field in, strings kept as strings, errors with a place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tricord.data.describe import describe
from tricord.data.readers import delimited
from tricord.data.readers.ch_sims_metadata import read_metadata
from tricord.data.readers.label_table import (
    LabelTable,
    read_label_file,
    read_label_table,
    without_features,
)
from tricord.data.schema import UNLABELLED, UNSPLIT
from tricord.data.splits import subset_masks
from tricord.errors import DataError
from tricord.labels import nominal
from tricord.types import Subset

HEADER = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode"
ROWS = (
    'v1,0001,"hello, you",-0.4,-0.2,0.0,-1,Negative,train',
    'v1,0002,"two\nlines",0.0,0.0,0.0,0.0,Neutral,valid',
    "v2,0001,,1,0.8,0.6,1.0,Positive,test",
)


def table_of(tmp_path: Path, text: str | bytes) -> LabelTable:
    path = tmp_path / "label.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_label_table(path)


def problem(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        table_of(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'label.csv'}: ")
    assert "\n" not in message
    return message.removeprefix(f"{tmp_path / 'label.csv'}: ")


def lines(*rows: str, header: str = HEADER) -> str:
    return "\n".join((header, *rows)) + "\n"


def test_all_columns(tmp_path: Path) -> None:
    table = table_of(tmp_path, lines(*ROWS))
    assert table.ids == ("v1$_$0001", "v1$_$0002", "v2$_$0001")
    assert table.clips == ("0001", "0002", "0001")
    assert table.text == ("hello, you", "two\nlines", "")
    expected = [[-0.4, -0.2, 0, -1], [0, 0, 0, 0], [1, 0.8, 0.6, 1]]
    np.testing.assert_array_equal(table.scores, expected)
    assert table.annotations == ("Negative", "Neutral", "Positive")
    assert table.modes == ("train", "valid", "test")
    assert table.words is None
    assert table.notices == ()


@pytest.mark.parametrize("order", [(8, 3, 1, 0, 2, 7, 6, 5, 4), (4, 5, 6, 3, 0, 1, 2, 8, 7)])
def test_columns_are_taken_by_name_whatever_their_order_and_case(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    plain = [HEADER.split(","), *(f"v1,{i},x,.5,{i},.2,-.3,Neutral,train".split(",") for i in "12")]
    plain[0] = [name.upper() if i % 2 else name for i, name in enumerate(plain[0])]
    table = table_of(tmp_path, "\n".join(",".join(row[i] for i in order) for row in plain))
    assert table.clips == ("1", "2")
    np.testing.assert_array_equal(table.scores, [[0.5, 1, 0.2, -0.3], [0.5, 2, 0.2, -0.3]])


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_line_ends_and_a_byte_order_mark(
    tmp_path: Path, separator: str
) -> None:
    rows = ["video_id,clip_id,label", "v,01,0.5", "", ",,", "v,02,-1"]
    text = "\r\n".join(rows).replace(",", separator)
    table = table_of(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert table.ids == ("v$_$01", "v$_$02")
    np.testing.assert_array_equal(table.scores[:, 0], [0.5, -1])


def test_gbk_is_read_and_said(tmp_path: Path) -> None:
    text = lines("v,1,我是真的爱你,1.0", header="video_id,clip_id,text,label")
    assert table_of(tmp_path, text).text == ("我是真的爱你",)
    table = table_of(tmp_path, text.encode("gbk"))
    assert table.text == ("我是真的爱你",)
    assert "read as GB18030 (GBK), such as '我是真的爱你'; look at it" in table.notices[0]
    blank = text.encode().replace("我是真的爱你".encode(), b"\xa0")  # splits words
    assert r"Windows-1252), such as '\xa0'" in table_of(tmp_path, blank).notices[0]
    assert problem(tmp_path, b"file\x81\xff,1").startswith("no text in UTF-8, GB18030")


def test_file_column(tmp_path: Path) -> None:
    table = table_of(
        tmp_path,
        lines(
            "Raw/v1/0001.mp4,1", r"v2\7.wav,2", "clip.v2.mp4,3", "s01_x.3,4", header="file,label"
        ),
    )
    assert table.ids == ("v1$_$0001", "v2$_$7", "clip.v2", "s01_x.3")
    assert table.files
    for name in ("/etc/passwd", "../x.mp4", "a/../../x.mp4", ".."):
        assert "column 'file'" in problem(tmp_path, lines(f"{name},1", header="file,label"))


def test_nominal_labels_are_words(tmp_path: Path) -> None:
    text = lines("v,1,happy,train", "v,2,angry,train", header="video_id,clip_id,label,mode")
    table = table_of(tmp_path, text)
    assert table.words == ("happy", "angry")
    assert np.isnan(table.scores).all()
    train = read_label_file(tmp_path / "label.csv")["train"]
    assert train.label_names == ("happy", "angry")
    assert nominal(("angry", "happy")).encode(train.label_names or ()).tolist() == [1, 0]


def test_clips_without_a_word_are_no_class_of_their_own(tmp_path: Path) -> None:
    rows = ["v,1,happy,train", "v,2,,train", "v,3,sad,train", "v,4,N/A,test", "v,5,sad,test"]
    table = table_of(tmp_path, lines(*rows, header="video_id,clip_id,label,mode"))
    assert "label: unknown for 2 of 5 clips, now 'unlabelled'" in table.notices
    data = read_label_file(tmp_path / "label.csv")
    assert data[UNLABELLED].ids == ("v$_$2", "v$_$4")
    assert data[UNLABELLED].label_names is None
    assert data["train"].label_names == ("happy", "sad")
    without_modes = [row.rpartition(",")[0] for row in rows]
    table_of(tmp_path, lines(*without_modes, header="video_id,clip_id,label"))
    data = read_label_file(tmp_path / "label.csv")
    assert {name: len(part) for name, part in data.splits.items()} == {UNSPLIT: 3, UNLABELLED: 2}


@pytest.mark.parametrize("cell", ["0,4", "-1,0", "40%"])
def test_numbers_in_another_spelling_are_no_words(tmp_path: Path, cell: str) -> None:
    found = problem(tmp_path, f'video_id,clip_id,label\nv,1,"{cell}"\n')
    assert found.startswith(f"line 2, column 'label': '{cell}' found")


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path: Path) -> None:
    rows = ["v;1;-0,5;1", "v;2;NA;0", "v;3;1;", "v;4;2,25;-1"]
    table = table_of(tmp_path, lines(*rows, header="video_id;clip_id;label;label_T"))
    np.testing.assert_array_equal(table.scores[:, 0], [-0.5, np.nan, 1, 2.25])
    np.testing.assert_array_equal(table.scores[:, 1], [1, 0, np.nan, -1])
    assert "label: commas read as decimal points" in table.notices
    assert not [line for line in table.notices if line.startswith("label_T: commas")]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (("v;1;0,5", "v;2;0.5"), "line 2, column 'label': '0,5' found"),
        (("v;1;0,5", "v;2;1,000,5"), "line 2, column 'label': '0,5' found"),
        (("v;1;1.000,5", "v;2;0,5"), "line 2, column 'label': '1.000,5' found"),
        (("v;1;0,5", "v;2;sad"), "line 2, column 'label': '0,5' found"),
    ],
)
def test_commas_are_refused_beside_numbers_of_another_kind(
    tmp_path: Path, rows: tuple[str, ...], found: str
) -> None:
    assert found in problem(tmp_path, lines(*rows, header="video_id;clip_id;label"))


def test_unknown_scores_are_counted(tmp_path: Path) -> None:
    table = table_of(
        tmp_path,
        lines("v,1,0.2,", "v,2,nan,", "v,3,N/A,", header="video_id,clip_id,label,label_T"),
    )
    np.testing.assert_array_equal(np.isnan(table.scores[:, 0]), [False, True, True])
    assert table.notices == (
        "label_T, label_A, label_V: unknown for all clips",
        "label: unknown for 2 of 3 clips",
    )


def test_modes(tmp_path: Path) -> None:
    rows = ("v,1,Train", "v,2,val", "v,3,dev", "v,4,test", "v,5,valid")
    table = table_of(tmp_path, lines(*rows, header="video_id,clip_id,mode"))
    assert table.modes == ("train", "valid", "valid", "test", "valid")
    assert "mode: 'val' read as 'valid', 1 clips" in table.notices
    assert "mode: 'dev' read as 'valid', 1 clips" in table.notices
    assert "mode: 'Train' read as 'train', 1 clips" in table.notices
    assert table_of(tmp_path, "video_id,clip_id,mode\nv,1,\n").modes is None
    message = problem(tmp_path, lines("v,1,train_mix", header="video_id,clip_id,mode"))
    assert message.startswith("line 2, column 'mode': 'train_mix' found, expected one of ['train'")
    assert "line 3, column 'mode': ''" in problem(tmp_path, "video_id,clip_id,mode\nv,1,test\nv,2,")


def test_duplicates_are_kept_and_other_columns_are_named(tmp_path: Path) -> None:
    header = "video_id,clip_id,label,label_by,"
    table = table_of(tmp_path, lines("v,1,0,7,", "v,1,1,7,", header=header))
    assert table.ids == ("v$_$1", "v$_$1")
    assert "columns not used: 'label_by', ''" in table.notices


def test_a_line_number_counts_lines_inside_quotes(tmp_path: Path) -> None:
    rows = ('v,1,"a\nb\nc",0', "v,2,,much")
    message = problem(tmp_path, lines(*rows, header="video_id,clip_id,text,label"))
    assert message == "line 5, column 'label': 'much' found, expected a number such as -0.4"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty file"),
        ("\n , \n", "empty file"),
        ("video_id,clip_id,label\n", "no row below the header"),
        ("a,b\n1,2\n", "columns 'a', 'b' found, expected 'video_id' and 'clip_id', or 'file'"),
        ("video_id,clip_id,Clip_ID\nv,1,2", "column 'clip_id' found twice"),
        ("video_id,clip_id,label\nv,1", "line 2: 2 cells found, expected 3"),
        ("video_id,clip_id,label\nv,1,2,3", "line 2: 4 cells found, expected 3"),
        ("video_id,clip_id,label\nv,,1", "line 2, column 'clip_id': '' found"),
        ("video_id,clip_id,label\nv$_$1,2,1", "line 2, column 'video_id': 'v$_$1' found"),
        ("video_id,clip_id,label\nv,1,inf", "line 2, column 'label': 'inf' found"),
        ("video_id,clip_id,label\nv,1,1_0\nv,2,1", "line 2, column 'label': '1_0' found"),
        ("video_id,clip_id,label\nv,1,1\nv,2,sad", "line 3, column 'label': 'sad' found"),
        ("video_id,clip_id,label_A\nv,1,0,6", "line 2: 4 cells found"),
        (
            'video_id,clip_id,label_A\nv,1,"0,6"',
            "line 2, column 'label_A': '0,6' found, expected a number such as -0.4, with a point",
        ),
        ('video_id,clip_id,text\nv,1,"open\nv,2,x\n', "line 2: no readable row"),
        ('video_id,clip_id,text\nv,1,"a" b\n', "line 2: no readable row"),
        ('video_id,clip_id,text\nv,1,"' + "x" * 140_000, "line 2: no readable row (field larger"),
        ("video_id,clip_id\nv,1\nv,\0", "line 3: a NUL character"),
        ("video_id,clip_id" + "," * 70_000, "line 1: 70002 columns found"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    assert problem(tmp_path, text).startswith(says)


def test_tables_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = lines("v,1", "v,2", "v,3", header="video_id,clip_id")
    monkeypatch.setattr(delimited, "_MOST_ROWS", 3)
    assert problem(tmp_path, text) == "more than 3 rows found, expected a label table"
    monkeypatch.setattr(delimited, "_MOST_ROWS", 4)
    assert len(table_of(tmp_path, text).ids) == 3
    monkeypatch.setattr(delimited, "_MOST_BYTES", len(text) - 1)
    assert problem(tmp_path, text).startswith(f"{len(text)} bytes found, expected a label table")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"label\.csv: cannot be read"):
        read_label_table(tmp_path / "label.csv")


def test_cmu_mosi_without_header(tmp_path: Path) -> None:
    table = table_of(tmp_path, "5.1,12.25,03bSnISJMiM,1,2.4\n12.5,15,03bSnISJMiM,2,-0.8\n")
    assert table.ids == ("03bSnISJMiM$_$1", "03bSnISJMiM$_$2")
    np.testing.assert_array_equal(table.scores[:, 0], [2.4, -0.8])
    assert table.modes is None
    assert table.notices[0].startswith("no header")


# ---------------------------------------------------------------------- as a data set


def test_labels_alone_are_a_data_set(tmp_path: Path) -> None:
    table_of(tmp_path, lines(*ROWS))
    data = read_label_file(tmp_path / "label.csv")
    assert list(data) == ["train", "valid", "test"]
    assert data.modalities == ("text", "audio", "vision")
    assert data.widths == {"text": 0, "audio": 0, "vision": 0}
    assert data["valid"].raw_text == ("two\nlines",)
    np.testing.assert_array_equal(data["test"].scores, [[1, 0.8, 0.6, 1]])
    assert describe(data)["splits"]["train"]["subsets"] == {"D_test": 1, "D_msc": 0, "D_msi": 1}
    assert data.notices[0] == "labels only, no features"
    table_of(tmp_path, "video_id,clip_id,label\nv,1,1\n")
    assert list(read_label_file(tmp_path / "label.csv")) == [UNSPLIT]


TABLE_ONE = {"train": (669, 699), "valid": (217, 239), "test": (239, 218)}


def test_ch_sims_has_the_subsets_of_table_one(shared: Path) -> None:
    data = read_label_file(shared / "data" / "ch_sims_v1" / "label.csv")
    masks = {name: subset_masks(table.scores) for name, table in data.splits.items()}
    counts = {n: (int(m[Subset.MSC].sum()), int(m[Subset.MSI].sum())) for n, m in masks.items()}
    assert counts == TABLE_ONE
    assert data.notices == ("labels only, no features", "columns not used: 'text_en'")


def test_cmu_mosi_clips(shared: Path) -> None:
    data = read_label_file(shared / "data" / "mosi_clips" / "label.csv")
    assert [len(table) for table in data.splits.values()] == [132, 38, 39]
    assert not set(data["train"].videos) & set(data["test"].videos)


# ---------------------------------------------------------------------- the oldest CH-SIMS release


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    base = tmp_path / "metadata"
    (base / "sentiment").mkdir(parents=True)
    clips = [("video_0001", "0001"), ("video_0001", "0002"), ("video_0002", "0001")]
    for letter, scores in {"M": (-1, 0, 1), "T": (-0.2, 0.2, 1), "A": (-1, 0, 0.8)}.items():
        pairs = list(zip(clips, scores, strict=True))
        if letter == "T":
            pairs = pairs[::-1]  # joined by clip, not by row
        rows = [f"{video},{clip},{score}" for (video, clip), score in pairs]
        file = base / "sentiment" / f"label_{letter}.csv"
        file.write_text(lines(*rows, header="video_id,clip_id,label"))
    for name, index in {"train": "2", "val": "0", "test": "1"}.items():
        (base / f"{name}_index.csv").write_text(f"index\n{index}\n")
    rows = ["video_0002,0001,你好,hello", "video_0001,0001,不,no"]
    (base / "Translation.csv").write_text(lines(*rows, header="video_id,clip_id,Chinese,English"))
    return tmp_path


def test_metadata_are_joined(metadata: Path) -> None:
    table = read_metadata(metadata)
    assert table.ids == ("video_0001$_$0001", "video_0001$_$0002", "video_0002$_$0001")
    assert table.modes == ("valid", "test", "train")
    assert table.text == ("不", "", "你好")
    nan = np.nan
    np.testing.assert_array_equal(
        table.scores, [[-1, -0.2, -1, nan], [0, 0.2, 0, nan], [1, 1, 0.8, nan]]
    )
    assert table.notices == (
        "label_V: unknown for all clips",
        "Translation.csv: no text for 1 of 3 clips",
    )


def test_clips_of_no_index_are_left_out(metadata: Path) -> None:
    (metadata / "metadata" / "val_index.csv").unlink()
    table = read_metadata(metadata)
    assert table.modes == ("test", "train")
    assert "1 clips that no index names left out" in table.notices


@pytest.mark.parametrize(
    ("index", "says"), [("2", "row 2 found"), ("3", "3 found"), ("0.5", "0.5 found"), ("", "nan")]
)
def test_an_index_must_name_rows_once(metadata: Path, index: str, says: str) -> None:
    (metadata / "metadata" / "test_index.csv").write_text(f"x,index\n1,{index}\n")
    with pytest.raises(DataError, match=rf"test_index\.csv: line 2, column 'index': {says}"):
        read_metadata(metadata)


def test_metadata_without_the_labels_or_with_a_clip_twice(metadata: Path, tmp_path: Path) -> None:
    file = metadata / "metadata" / "sentiment" / "label_T.csv"
    file.write_text(file.read_text() + "video_0001,0001,0.4\n")
    with pytest.raises(DataError, match=r"label_T\.csv: line 5, column 'clip_id': .* twice"):
        read_metadata(metadata)
    file.with_name("label_M.csv").unlink()
    with pytest.raises(DataError, match=r"label_M\.csv: missing"):
        read_metadata(tmp_path)


def test_metadata_without_index_or_text(metadata: Path) -> None:
    for name in ("train_index", "val_index", "test_index", "Translation"):
        (metadata / "metadata" / f"{name}.csv").unlink()
    table = read_metadata(metadata)
    assert table.modes is None
    assert table.text is None
    assert len(table.ids) == 3


def test_metadata_outside_the_folder_are_refused(metadata: Path) -> None:
    (metadata / "metadata").rename(metadata / "elsewhere")
    (metadata / "metadata").symlink_to(metadata / "elsewhere")
    with pytest.raises(DataError, match="metadata: is a link"):
        read_metadata(metadata)


def test_speakers_paths_and_lines(tmp_path: Path) -> None:
    text = 'file,text,Speaker\na/1.mp4,"two\nlines", Al \n\na\\2.3GP,,\n'
    table = table_of(tmp_path, text)
    assert table.speakers == ("Al", "")
    assert table.paths == ("a/1.mp4", "a\\2.3GP")
    assert table.lines == (2, 5)
    assert table.ids == ("a$_$1", "a$_$2")
    assert "columns not used" not in "".join(table.notices)
    bare = table_of(tmp_path, lines(*ROWS))
    assert (bare.speakers, bare.paths, bare.lines) == (None, None, (2, 3, 5))


def test_beside_names_the_column_file_does_not_name_clips(tmp_path: Path) -> None:
    table = table_of(tmp_path, "video_id,clip_id,file\nv,1,/any/where.mp4\nv,2,\n")
    assert table.ids == ("v$_$1", "v$_$2")
    assert table.paths == ("/any/where.mp4", "")
    assert not table.files


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("happy", "", "2", "calm"), "line 4, column 'label': '2' found, expected a word as in 2"),
        (("1", "2", "so so"), "line 4, column 'label': 'so so' found, expected a number"),
        (("good", "1"), "line 2, column 'label': 'good' found, expected a number"),
        (("a", "b", "1,5"), "line 4, column 'label': '1,5' found, expected a word as in 2 other"),
    ],
)
def test_of_numbers_and_words_the_fewer_are_wrong(
    tmp_path: Path, labels: tuple[str, ...], expected: str
) -> None:
    text = "".join(f"{n}.mp4;{label}\n" for n, label in enumerate(labels))
    assert problem(tmp_path, f"file;label\n{text}").startswith(expected)


def test_rows_of_no_split_are_a_split_and_unlabelled_ones_have_no_words(tmp_path: Path) -> None:
    table = table_of(tmp_path, "file,label\na,happy\nb,\nc,sad\n")
    table = replace(table, modes=(UNSPLIT, "unlabelled", UNSPLIT))
    data = without_features(table)
    assert data[UNSPLIT].label_names == ("happy", "sad")
    assert data["unlabelled"].ids == ("b",)
    assert data["unlabelled"].label_names is None
