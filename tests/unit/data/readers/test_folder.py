"""A folder of features: every clip gets its own file, and nothing outside is ever opened."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tricord.data.admit import admit
from tricord.data.readers import openface
from tricord.data.readers.folder import is_clip_folder, read_folder
from tricord.data.readers.npy import read_npy_frames
from tricord.data.schema import UNSPLIT, Dataset
from tricord.errors import DataError

TABLE = """video_id,clip_id,text,label,label_T,label_A,label_V,mode
v1,0001,one,-1,-1,-0.2,0,train
v1,0002,two,0,0,0.2,0,train
v2,0001,three,1,1,0.4,0,valid
v2,0002,four,0.2,0,0.6,0,test
"""
CLIPS = ("v1/0001", "v1/0002", "v2/0001", "v2/0002")
LENGTHS = (3, 1, 2, 4)


def frames(clip: int, width: int) -> np.ndarray:
    """Frame t of clip i is 10 i + t in all columns."""
    return np.add.outer(10.0 * clip + np.arange(LENGTHS[clip]), np.zeros(width))


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        np.savetxt(path, values, delimiter=",")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    (root / "label.csv").write_text(TABLE)
    for i, clip in enumerate(CLIPS):
        save(root / "audio" / f"{clip}.npy", frames(i, 3))
        save(root / "vision" / f"{clip.replace('/', '_')}.csv", frames(i, 2))
    return root


def problem(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_folder(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def clip_frames(data: Dataset, split: str, modality: str, row: int) -> np.ndarray:
    ragged = data[split].sequences[modality]
    return ragged.values[ragged.offsets[row] : ragged.offsets[row + 1]]


def test_every_clip_gets_its_own_frames(folder: Path) -> None:
    data = read_folder(folder)
    assert list(data) == ["train", "valid", "test"]
    assert data.widths == {"text": 0, "audio": 3, "vision": 2}
    for i, (split, row) in enumerate((("train", 0), ("train", 1), ("valid", 0), ("test", 0))):
        for modality, width in (("audio", 3), ("vision", 2)):
            found = clip_frames(data, split, modality, row)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, frames(i, width))
    assert data["train"].sequences["audio"].padded_length == 4  # the longest of all splits
    assert data["test"].ids == ("v2$_$0002",)
    assert data["valid"].raw_text == ("three",)
    np.testing.assert_array_equal(data["train"].scores, [[-1, -1, -0.2, 0], [0, 0, 0.2, 0]])
    assert data.notices == ()
    assert data.recipe["audio"] == {"files": {"npy": 4}, "width": 3, "average_over": 1}
    assert admit(data).widths == data.widths


def test_words_with_labels_are_text_for_an_encoder(folder: Path) -> None:
    text = read_folder(folder)["train"].sequences["text"]
    assert text.lengths.tolist() == [1, 1]
    assert text.width == 0
    (folder / "label.csv").write_text(TABLE.replace("label_T", "other"))
    data = read_folder(folder)
    assert data.modalities == ("audio", "vision")
    np.testing.assert_array_equal(data["train"].scores, [[-1, -0.2, 0], [0, 0.2, 0]])


def test_labels_of_a_modality_without_folder_are_left_out_and_said(folder: Path) -> None:
    (folder / "vision").rename(folder / ".vision")
    data = read_folder(folder)
    assert data.modalities == ("text", "audio")
    np.testing.assert_array_equal(data["valid"].scores, [[1, 1, 0.4]])
    assert data.notices == (
        "vision: no folder, so its labels are left out, of D_msc and D_msi too",
    )


def test_missing_and_surplus_files_are_counted(folder: Path) -> None:
    (folder / "audio" / "v1" / "0002.npy").unlink()
    (folder / "audio" / "v2" / "0001.npy").rename(folder / "audio" / "v9_1.npy")
    (folder / "audio" / "readme.txt").touch()
    (folder / "audio" / ".hidden.npy").touch()
    (folder / "vision" / "v2_0001.csv").write_text("")
    data = read_folder(folder)
    assert data["train"].sequences["audio"].lengths.tolist() == [3, 0]
    assert data["valid"].sequences["audio"].lengths.tolist() == [0]
    assert data["valid"].sequences["vision"].values.shape == (0, 2)
    assert data.notices == (
        "audio: no file for 2 clips: 'v1$_$0002', 'v2$_$0001'",
        "audio: 2 files are no clip's: 'readme.txt', 'v9_1'",
        "vision: no frame in the file, 1 clips: 'v2$_$0001'",
    )


def test_long_lists_are_cut(tmp_path: Path) -> None:
    rows = [f"v,{i:04},0.2" for i in range(9)]
    (tmp_path / "label.csv").write_text("\n".join(["video_id,clip_id,label", *rows]))
    save(tmp_path / "audio" / "v_0004.npy", np.ones((2, 3)))
    data = read_folder(tmp_path)
    assert list(data) == [UNSPLIT]
    expected = "audio: no file for 8 clips: 'v$_$0000', 'v$_$0001', 'v$_$0002' and 5 more"
    assert data.notices[-1] == expected


def test_numbers_without_zeros_find_their_padded_files(tmp_path: Path) -> None:
    (tmp_path / "meta.csv").write_text("video_id,clip_id,label\nv,1,0\nv,0002,1\n")
    for clip in (1, 2):
        save(tmp_path / "audio" / f"v/{clip:04}.npy", np.full((1, 1), clip))
    data = read_folder(tmp_path)
    assert data[UNSPLIT].sequences["audio"].values.tolist() == [[1], [2]]
    note = "audio: file found under the number in 4 digits, 1 clips: 'v$_$1'"
    assert data.notices[-1] == note


def test_file_column(tmp_path: Path) -> None:
    (tmp_path / "label.csv").write_text("file,label\nRaw/v/a.mp4,sad\nb.mp4,sad\nv/c.mp4,glad\n")
    for i, name in enumerate(("v/a", "b", "c")):
        save(tmp_path / "audio" / f"{name}.npy", np.full((1, 1), i))
    table = read_folder(tmp_path)[UNSPLIT]
    assert table.sequences["audio"].values.ravel().tolist() == [0, 1, 2]
    assert table.label_names == ("sad", "sad", "glad")


def test_labels_alone(folder: Path) -> None:
    for name in ("audio", "vision"):
        (folder / name).rename(folder / f"no_{name}")
    data = read_folder(folder)
    assert data.widths == {"text": 0, "audio": 0, "vision": 0}
    assert data["train"].scores.shape == (2, 4)
    assert data.notices[0] == "labels only, no features"


def test_progress_counts_files(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    read_folder(folder, tick=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 8) for i in range(1, 9)]


def test_which_folders_are_for_this_reader(folder: Path, tmp_path: Path) -> None:
    assert is_clip_folder(folder)
    assert not is_clip_folder(tmp_path)
    (folder / "label.csv").rename(folder / "meta.csv")
    assert is_clip_folder(folder)
    assert len(read_folder(folder)["train"]) == 2
    (folder / "label.csv").write_text("video_id,clip_id\nv1,0001")
    assert "meta.csv not used, label.csv taken" in read_folder(folder).notices
    assert "no label.csv or meta.csv in the folder" in problem(tmp_path)


def test_a_folder_of_the_oldest_ch_sims_release(folder: Path) -> None:
    sentiment = folder / "metadata" / "sentiment"
    sentiment.mkdir(parents=True)
    (sentiment / "label_M.csv").write_text("video_id,clip_id,label\nv1,1,1\nv2,1,-1\n")
    (folder / "label.csv").unlink()
    assert is_clip_folder(folder)
    data = read_folder(folder)
    assert data[UNSPLIT].sequences["audio"].lengths.tolist() == [3, 2]
    np.testing.assert_array_equal(data[UNSPLIT].scores[:, 0], [1, -1])


# ---------------------------------------------------------------------- recipes


def test_recipes_of_features_json(folder: Path) -> None:
    names = openface.recipe_columns("openface-709")
    header = ", ".join(("frame, face_id, timestamp, confidence, success", *names))
    for i, clip in enumerate(CLIPS):
        rows = [
            ", ".join(["1, 0, 0, 1, 1", *(str(x) for x in row)]) for row in frames(i, len(names))
        ]
        path = folder / "vision" / f"{clip.replace('/', '_')}.csv"
        path.write_text("\n".join([header, *rows]))
    recipes = {
        "vision": {"recipe": "openface-177", "average_over": 3},
        "audio": {"average_over": 2, "description": "hop 512"},
    }
    (folder / "features.json").write_text(json.dumps(recipes))
    data = read_folder(folder)
    assert data.widths == {"text": 0, "audio": 3, "vision": 177}
    assert clip_frames(data, "test", "vision", 0)[:, 0].tolist() == [31, 33]
    assert clip_frames(data, "train", "audio", 0)[:, 0].tolist() == [0.5, 2]
    vision = data.recipe["vision"]
    assert vision.pop("columns") == list(openface.recipe_columns("openface-177"))
    assert vision == {
        "files": {"OpenFace CSV": 4},
        "width": 177,
        "recipe": "openface-177",
        "average_over": 3,
    }
    assert data.recipe["audio"]["description"] == "hop 512"
    json.dumps(data.recipe)
    (folder / "features.json").unlink()
    assert read_folder(folder).recipe["vision"]["recipe"] == "openface-709"  # told by its columns


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"video": {}}', "key 'video': Extra inputs"),
        ('{"vision": {"fps": 3}}', "key 'vision.fps': Extra inputs"),
        ('{"vision": {"average_over": 0}}', "key 'vision.average_over'"),
        ('{"vision": {"recipe": "openface-1"}}', "key 'vision.recipe'"),
        ("[", "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON"),
        (" " * (1 << 20) + "{}", "more than 1048576 bytes"),
    ],
)
def test_bad_recipes(folder: Path, content: str, says: str) -> None:
    (folder / "features.json").write_text(content)
    assert problem(folder).startswith(f"{folder / 'features.json'}: ")
    assert says in problem(folder)


# ---------------------------------------------------------------------- what is refused


def test_widths_and_columns_must_agree(folder: Path) -> None:
    other = folder / "audio" / "v2" / "0001.npy"
    np.save(other, np.zeros((2, 4)))
    first = folder / "audio" / "v1" / "0001.npy"
    assert problem(folder) == f"{other}: width 4 found, expected 3 as in {first}"
    save(other, frames(2, 3))
    for i, name in enumerate(("v1_0001", "v2_0002")):
        header = ("a,b", "b,a")[i]
        (folder / "vision" / f"{name}.csv").write_text(f"{header}\n1,2\n")
    assert "column 'b' found where" in problem(folder)


def test_names_that_are_not_one_to_one(folder: Path) -> None:
    save(folder / "audio" / "v1_0001.npy", frames(0, 3))
    assert "files 'v1/0001', 'v1_0001' found for clip 'v1$_$0001'" in problem(folder)
    (folder / "audio" / "v1_0001.npy").unlink()
    save(folder / "audio" / "v1" / "0001.csv", frames(0, 3))
    assert "0001.csv found too" in problem(folder)
    (folder / "audio" / "v1" / "0001.csv").unlink()
    (folder / "label.csv").write_text("video_id,clip_id\nv1,0001\nv1,1\n")
    assert "file of clips 'v1$_$0001' and 'v1$_$1'" in problem(folder)


def test_a_modality_that_fits_no_clip(folder: Path) -> None:
    (folder / "label.csv").write_text("video_id,clip_id\nw,1\n")
    message = problem(folder)
    assert "none of the 1 clips has a file, expected names such as 'w/1.npy'" in message
    assert "found 'v1/0001', 'v1/0002', 'v2/0001' and 1 more" in message
    (folder / "label.csv").write_text("video_id,clip_id\nv1,0001\n")
    (folder / "audio" / "v1" / "0001.npy").write_bytes(b"")
    assert "audio: no frame in any file of a clip" in problem(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc", "..", "a/b", "a\\b", "."])
@pytest.mark.parametrize("column", [0, 1])
def test_names_that_lead_elsewhere(folder: Path, name: str, column: int) -> None:
    save(folder / "secret.npy", np.ones((1, 3)))
    row = ["v1", "0001"]
    row[column] = name
    (folder / "label.csv").write_text(f"video_id,clip_id\n{','.join(row)}\n")
    assert "expected a name without a path" in problem(folder)


@pytest.mark.parametrize(
    "place", ["audio", "audio/v1", "audio/v1/0001.npy", "label.csv", "features.json"]
)
def test_links_are_refused(folder: Path, tmp_path: Path, place: str) -> None:
    real = tmp_path / "real"
    if (folder / place).exists():
        (folder / place).rename(real)
    else:
        real.write_text("{}")
    (folder / place).symlink_to(real)
    message = problem(folder)
    assert message.startswith(f"{folder / place}: is a link")


def test_what_is_no_file(folder: Path) -> None:
    path = folder / "audio" / "v1" / "0001.npy"
    path.unlink()
    os.mkfifo(path)
    assert problem(folder) == f"{path}: is not a file, expected one"
    path.unlink()
    path.mkdir()
    assert problem(folder) == f"{path}: is not a file, expected one"


# ---------------------------------------------------------------------- npy


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "<i8", "|u1", "|b1", ">i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_numbers(tmp_path: Path, dtype: str, order: str) -> None:
    values = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    np.save(tmp_path / "x.npy", np.asarray(values, order=order))  # type: ignore[call-overload]
    found = read_npy_frames(tmp_path / "x.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0, 1, 1], [1, 0, 1]])


def test_npy_of_one_frame_of_none_and_of_large_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([1.0, np.nan, -np.inf, 1e300]))
    np.testing.assert_array_equal(read_npy_frames(path), [[1, np.nan, -np.inf, np.inf]])
    np.save(path, np.zeros((0, 5)))
    assert read_npy_frames(path).shape == (0, 5)
    path.write_bytes(npy("{'descr': '<f8', 'fortran_order': True, 'shape': (0, 999999999999), }"))
    assert read_npy_frames(path).shape == (0, 999999999999)
    path.write_bytes(b"")
    assert read_npy_frames(path).shape == (0, 0)


def npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY" + bytes((version, 0)) + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x80\x04K\x01.", "no .npy file"),
        (npy("", version=9), "or of an unknown version"),
        (
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 709), }"),
            "not fit",
        ),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }", b"1234"), "not fit"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", b"12345"), "not fit"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", b"1234"), "shape ()"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1), }"), "(1, 1, 1)"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0), }"), "(3, 0)"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2), }"), "no readable"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 99999999999999), }"), "hold"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"12345678"), "'|O'"),
        (npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", b"12345678"), "'<c8'"),
        (npy("{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }", b"12345678"), "'<U2'"),
        (npy("__import__('os')"), "no readable"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "a header of 4294967295 bytes claimed"),
        (b"\x93NUMPY\x01", "no .npy file"),
    ],
)
def test_npy_that_cannot_be_trusted(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_npy_frames(tmp_path / "x.npy")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
