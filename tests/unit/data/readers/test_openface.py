"""OpenFace CSV and other frames in text: columns by name, faces, confidence, block means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tricord.data.readers.clip_file import ClipRecipe, read_clip, read_clip_features
from tricord.data.readers.openface import RECIPES, Recipe, block_means, recipe_columns, recipe_of
from tricord.errors import DataError

FIRST = ("frame", "face_id", "timestamp", "confidence", "success")
ALL = recipe_columns("openface-709")


def csv_of(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """As OpenFace writes: blanks behind the commas."""
    path.write_text("\n".join(", ".join(map(str, row)) for row in (header, *rows)) + "\n")
    return path


def whole(path: Path, frames: int) -> Path:
    """A file with all groups; the cell of frame t and feature i is 1000 t + i."""
    rows = [
        (t + 1, 0, t / 30, 0.98, 1, *(1000 * t + i for i in range(len(ALL)))) for t in range(frames)
    ]
    return csv_of(path, (*FIRST, *ALL), rows)


def few(path: Path, rows: Sequence[tuple[int, int, float, float]]) -> Path:
    """Rows of (frame, face, confidence, AU01_r)."""
    header = (*FIRST, "AU01_r")
    return csv_of(path, header, [(t, face, t / 30, c, int(c > 0.5), x) for t, face, c, x in rows])


def test_a_recipe_is_as_wide_as_it_says() -> None:
    for recipe in RECIPES:
        assert len(set(recipe_columns(recipe))) == int(recipe.removeprefix("openface-"))
        assert recipe_of(recipe_columns(recipe)) == recipe
    assert ALL[:3] == ("gaze_0_x", "gaze_0_y", "gaze_0_z")
    assert ALL[6:9] == ("gaze_angle_x", "gaze_angle_y", "eye_lmk_x_0")
    assert ALL[-35] == "AU01_r"
    assert ALL[-2:] == ("AU28_c", "AU45_c")


def test_recipes_select_by_name_in_the_order_of_the_csv(tmp_path: Path) -> None:
    path = whole(tmp_path / "c.csv", 2)
    everything = read_clip(path)
    assert everything.kind == "OpenFace CSV"
    assert everything.columns == ALL
    np.testing.assert_array_equal(everything.values, np.add.outer([0, 1000], np.arange(709)))
    assert (read_clip_features(path, "openface-709") == everything.values).all()
    # gaze 288, pose 6, landmarks 2D 136 and 3D 204, shape 40, action units 35
    pose, points, units = np.arange(288, 294), np.arange(294, 430), np.arange(674, 709)
    v2 = read_clip_features(path, "openface-177")
    np.testing.assert_array_equal(v2[0], [*pose, *points, *units])
    np.testing.assert_array_equal(read_clip_features(path, "openface-171")[0], [*points, *units])


def test_columns_may_stand_elsewhere(tmp_path: Path) -> None:
    path = whole(tmp_path / "c.csv", 1)
    header, row = (line.split(", ") for line in path.read_text().splitlines())
    csv_of(path, header[::-1], [row[::-1]])
    np.testing.assert_array_equal(read_clip_features(path, "openface-709")[0], np.arange(709))


@pytest.mark.parametrize("recipe", ["openface-709", "openface-177"])
def test_missing_columns_are_named(tmp_path: Path, recipe: Recipe) -> None:
    path = csv_of(tmp_path / "c.csv", (*FIRST, *recipe_columns("openface-171")), [])
    with pytest.raises(DataError, match=r"'(gaze_0_x|pose_Tx)'.* missing, expected the (709|177)"):
        read_clip(path, ClipRecipe(recipe=recipe))


def test_success_and_confidence_are_left_alone_unless_asked(tmp_path: Path) -> None:
    path = few(
        tmp_path / "c.csv", [(1, 0, 0.98, 1), (2, 0, 0.0, 2), (3, 0, 0.9, 3), (4, 0, 0.8, 4)]
    )
    assert read_clip_features(path).ravel().tolist() == [1, 2, 3, 4]
    sure = read_clip(path, ClipRecipe(min_confidence=0.9))  # 0.9 itself is enough
    assert sure.values.ravel().tolist() == [1, 3]
    assert sure.notes == ("frames below confidence 0.9 left out",)
    blocks = read_clip_features(path, ClipRecipe(min_confidence=0.8, average_over=2))
    assert blocks.ravel().tolist() == [2, 4]
    assert read_clip_features(path, ClipRecipe(min_confidence=1)).shape == (0, 1)


def test_of_several_faces_the_one_in_most_frames_is_taken(tmp_path: Path) -> None:
    path = few(tmp_path / "c.csv", [(1, 0, 0.9, 1), (1, 1, 0.3, 10), (2, 1, 0.3, 20)])
    clip = read_clip(path)
    assert clip.values.ravel().tolist() == [10, 20]
    assert clip.notes == ("several faces, the one in most frames taken",)
    few(path, [(1, 7, 0.6, 1), (1, 3, 0.7, 10), (2, 3, 0.7, 20), (2, 7, 0.9, 2)])
    assert read_clip_features(path).ravel().tolist() == [1, 2]  # as many frames, more confident


def test_a_file_of_an_old_version_without_face_id(tmp_path: Path) -> None:
    header = ("frame", "timestamp", "confidence", "success", "AU01_r")
    assert read_clip_features(csv_of(tmp_path / "c.csv", header, [(1, 0, 1, 1, 5)])) == 5


@pytest.mark.parametrize(
    ("frames", "block", "means"),
    [
        ([1, 2, 3, 4, 5, 6, 7], 3, [2, 5, 7]),
        ([1, 2, 3, 4], 2, [1.5, 3.5]),
        ([1, 2], 5, [1.5]),
        ([1, 2], 1, [1, 2]),
        ([], 3, []),
        ([np.nan, 1, 3, 5], 2, [np.nan, 4]),
        ([np.inf, -np.inf, np.inf, 1], 2, [np.nan, np.inf]),
        ([3e38, 3e38], 2, [3e38]),
    ],
)
def test_block_means_by_hand(frames: list[float], block: int, means: list[float]) -> None:
    found = block_means(np.array(frames, dtype=np.float32).reshape(-1, 1), block)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array(means, dtype=np.float32).reshape(-1, 1), rtol=1e-6)


# ---------------------------------------------------------------------- other text


def frames_in(tmp_path: Path, text: str) -> tuple[list[list[float]], tuple[str, ...] | None]:
    path = tmp_path / "clip.csv"
    path.write_text(text)
    clip = read_clip(path)
    return clip.values.tolist(), clip.columns


def test_opensmile_names_and_times_are_no_features(tmp_path: Path) -> None:
    text = "name;frameTime;F0_sma;loud\n'c1';0.00;1.5;2\n'c1';0.01;-1;0.25\n"
    assert frames_in(tmp_path, text) == ([[1.5, 2], [-1, 0.25]], ("F0_sma", "loud"))
    notes = read_clip(tmp_path / "clip.csv").notes
    assert notes == ("columns that are no features left out: 'name', 'frameTime'",)
    text = "file,start,end,F0\na.wav,0 days 00:00:00,0 days 00:00:00.02,7\n"
    assert frames_in(tmp_path, text) == ([[7]], ("F0",))


def test_numbers_without_header(tmp_path: Path) -> None:
    assert frames_in(tmp_path, "1,2e0,-3\n4,5,6") == ([[1, 2, -3], [4, 5, 6]], None)
    assert frames_in(tmp_path, "7\n8\n") == ([[7], [8]], None)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("0,1,2\n1.5,2,3\n4,5,6\n", ("0", "1", "2")),  # as pandas writes columns without names
        (",0,1,2\n0,1.5,2,3\n1,4,5,6\n", ("0", "1", "2")),
        ("0_0,0_1,1_0\n1.5,2,3\n4,5,6\n", ("0_0", "0_1", "1_0")),
    ],
)
def test_names_that_are_numbers_are_no_frame(
    tmp_path: Path, text: str, columns: tuple[str, ...]
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    found = read_clip(path)
    assert found.columns == columns
    np.testing.assert_array_equal(found.values, [[1.5, 2, 3], [4, 5, 6]])


def test_one_column_beside_row_numbers(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(",0\n0,1.5\n1,2.5\n")
    np.testing.assert_array_equal(read_clip(tmp_path / "x.csv").values, [[1.5], [2.5]])


@pytest.mark.parametrize("text", ["0,1\n1.5,2\n", "0\n1\n", "0,1,2.0\n1,2,3\n", "nan,1,2\n1,2,3\n"])
def test_a_first_frame_that_looks_like_names_is_a_frame(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    assert len(read_clip(path).values) == 2


def test_cells_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    values, _ = frames_in(tmp_path, "a,b,c\n,nan,-inf\n1e39,2,-1e300\n")
    expected = [[np.nan, np.nan, -np.inf], [np.inf, 2, -np.inf]]
    np.testing.assert_array_equal(values, expected)


def test_files_without_frames(tmp_path: Path) -> None:
    assert frames_in(tmp_path, "") == ([], None)
    assert read_clip(tmp_path / "clip.csv").kind == "empty"
    assert frames_in(tmp_path, "a,b\n") == ([], ("a", "b"))
    assert read_clip_features(tmp_path / "clip.csv").shape == (0, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n1,x\n", "line 3, column 2 'b': 'x' found, expected a number"),
        ("1,2\n3\n", "line 2: 1 cells found, expected 2 as in the first row"),
        ("1,2\n3,4,5\n", "line 2: 3 cells found, expected 2"),
        ("name,frameTime\nx,1\n", "columns 'name', 'frameTime' found, expected features"),
        (",".join(FIRST) + "\n1,0,0,1,1\n", "expected features after the first five"),
        (",".join((*FIRST, "AU01_r", "AU01_r")), "column 'AU01_r' found twice"),
        ("1,2\n\0,3", "line 2: a NUL character"),
        ("1," * 70_000, "line 1: 70001 columns found, expected at most 65536"),
    ],
)
def test_bad_text_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError) as caught:
        frames_in(tmp_path, text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_kinds_of_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.mat: expected a file of \.npy or \.csv"):
        read_clip(tmp_path / "x.mat")


def test_recipes_for_openface_want_openface(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", np.zeros((2, 709), np.float32))
    for recipe in (ClipRecipe(recipe="openface-709"), ClipRecipe(min_confidence=0.5)):
        with pytest.raises(DataError, match="npy found, expected an OpenFace CSV"):
            read_clip(tmp_path / "c.npy", recipe)
    assert read_clip_features(tmp_path / "c.npy", ClipRecipe(average_over=2)).shape == (1, 709)
