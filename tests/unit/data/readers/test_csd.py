"""`.csd` files: frames go to the clips whose time they overlap, joined by video."""

from __future__ import annotations

import importlib.util
import io
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import repeatable
from csd_files import AUDIO, LABELS, VECTORS, VISION, WORDS, regular, write_csd, write_folder
from tricord.data.admit import admit
from tricord.data.readers import hdf5_safe, hdf5_worker
from tricord.data.readers.csd import COLUMN_RECIPES, read_csd
from tricord.data.readers.csd_folder import describe_csd, read_csd_folder, refuse_single_csd
from tricord.data.readers.csd_labels import folds_from
from tricord.data.readers.intervals import EPSILON, Timeline, means
from tricord.data.schema import Dataset
from tricord.errors import DataError

NAN = np.nan


class _Here:
    """Stands for the reading process, without the time it takes to start one."""

    def __init__(self, path: Path) -> None:
        self.stdin, self.stdout = self, io.BytesIO()

    def write(self, request: bytes) -> None:
        hdf5_worker.main(io.BytesIO(request), self.stdout)
        self.stdout.seek(0)

    def flush(self) -> None: ...
    def close(self) -> None: ...
    def kill(self) -> None: ...
    def wait(self) -> int:
        return 0


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_safe, "launch", _Here)
    monkeypatch.setattr(hdf5_worker, "limit_memory", lambda extra: None)
    monkeypatch.setattr(signal, "alarm", lambda seconds: 0)


@pytest.fixture
def files(tmp_path: Path, here: None) -> dict[str, Path]:
    return write_folder(tmp_path)


def read(files: Mapping[str, Path], *names: str, **options: Any) -> Dataset:
    return read_csd(files["labels"], {name: files[name] for name in names}, **options)


def clips(dataset: Dataset, modality: str, split: str = "all") -> dict[str, list[Any]]:
    table = dataset[split]
    ragged = table.sequences[modality]
    assert ragged.values.dtype == np.float32
    assert table.lengths[modality].tolist() == ragged.lengths.tolist()
    return {
        clip: ragged.values[start:stop].tolist()
        for clip, start, stop in zip(
            table.ids, ragged.offsets[:-1], ragged.offsets[1:], strict=True
        )
    }


# ------------------------------------------------------------------ which frames


def test_unaligned_frames_of_each_segment(files: dict[str, Path]) -> None:
    data = read(files, "audio", "vision", "text", "words")
    table = data["all"]
    assert table.ids == ("a$_$0", "b$_$0", "b$_$1")
    np.testing.assert_array_equal(table.scores[:, 0], [0.5, -2.0, NAN])
    assert table.scores.shape == (3, 4)
    assert np.isnan(table.scores[:, 1:]).all()
    assert data.modalities == ("text", "audio", "vision")
    assert clips(data, "audio") == {
        "a$_$0": [[1, -np.inf], [2, 20]],
        "b$_$0": [[0, 0], [1, 10], [2, 20], [3, 30]],
        "b$_$1": [[4, 40], [5, 50], [6, 60], [7, 70]],
    }
    assert clips(data, "text") == {  # the word from 1.5 to 2.5 s is in both segments of b
        "a$_$0": [[0, 0], [7, 8]],
        "b$_$0": [[1, 2], [3, 4], [0, 0]],
        "b$_$1": [[0, 0], [5, 6]],
    }
    assert clips(data, "vision") == {  # (2, 2) frames flattened; only b, and only its first 2 s
        "a$_$0": [],
        "b$_$0": [[0, 1, 2, 3], [4, 5, 6, 7]],
        "b$_$1": [],
    }
    assert table.raw_text == ("yes", "it is", "not")
    assert set(data.notices) == {
        "vision: 1 videos (a) not found",
        "vision: 2 of 3 clips without a frame",
    }
    assert table.sequences["audio"].padded_length == 4
    assert admit(data)["all"].sequences["audio"].values[0].tolist() == [1, 0]


def test_aligned_frames_are_plain_means_over_the_steps_of_the_reference(
    files: dict[str, Path],
) -> None:
    data = read(files, "audio", "vision", "text", align="text")
    assert clips(data, "text") == clips(read(files, "text"), "text")
    assert clips(data, "audio") == {
        "a$_$0": [[1, -np.inf], [1.5, -np.inf]],  # steps 0-1.2 s and 1.2-1.9 s
        "b$_$0": [[0, 0], [1.5, 15], [3.5, 35]],  # 0-0.5, 0.5-1.5, 1.5-2.5 s, uncut
        "b$_$1": [[3.5, 35], [6, 60]],  # 1.5-2.5, 2.5-4 s
    }
    assert clips(data, "vision") == {
        "a$_$0": [],
        "b$_$0": [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]],
        "b$_$1": [[4, 5, 6, 7], [0, 0, 0, 0]],
    }
    assert "vision: 1 of 5 steps without a frame, zeros there" in data.notices
    assert data.recipe["audio"] == {
        "file": "3.csd",
        "sequence": "COVAREP",
        "computational sequence description": "made for a test",
        "computational sequence version": "1.0",
        "dataset name": "CMU-MOSI",
        "dataset version": "1.0",
        "aligned to": "text",
    }


@pytest.mark.parametrize("text", ["[1, NaN]", '"\\ud800"', "[" * 9999, "{", "plain"])
def test_metadata_that_is_no_json_stays_text(files: dict[str, Path], text: str) -> None:
    with h5py.File(files["audio"], "a") as file:
        file["COVAREP/metadata/dimension names"][0] = text
    found = read(files, "audio").recipe["audio"]
    assert found["dimension names"] == text
    assert json.loads(json.dumps(found, allow_nan=False, ensure_ascii=False).encode()) == found


def test_aligned_to_words_which_are_no_modality(files: dict[str, Path]) -> None:
    data = read(files, "audio", "words", align="words")
    assert data.modalities == ("audio",)
    assert data["all"].lengths["audio"].tolist() == [2, 3, 2]
    assert data["all"].raw_text == ("yes", "it is", "not")
    # under the other name, and with a reference of other times: no word twice
    data = read_csd(
        files["labels"], {"text": files["words"], "audio": files["audio"]}, align="audio"
    )
    assert data["all"].raw_text == ("yes", "it is", "not")
    assert data.modalities == ("audio",)


def test_a_clip_without_a_frame_in_any_step_is_absent(files: dict[str, Path]) -> None:
    write_csd(files["vision"], "FACET", {"b": ([[1.0], [3.0]], [[0.0, 0.7], [0.7, 1.4]])})
    data = read(files, "vision", "text", align="text")
    assert clips(data, "vision") == {"a$_$0": [], "b$_$0": [[1], [2], [0]], "b$_$1": []}
    assert set(data.notices) == {
        "vision: 1 videos (a) not found",
        "vision: 2 of 3 clips without a frame",
        "vision: 1 of 3 steps without a frame, zeros there",
    }


def test_the_reference_keeps_its_own_frames(files: dict[str, Path]) -> None:
    """Also where they overlap each other, as sliding windows do."""
    windows = write_csd(files["text"], "w", {"a": ([[1.0], [3.0]], [[1.0, 2.0], [1.5, 2.5]])})
    data = read_csd(files["labels"], {"text": windows, "audio": files["audio"]}, align="text")
    assert clips(data, "text")["a$_$0"] == [[1], [3]]
    assert clips(data, "audio")["a$_$0"] == [[1.5, -np.inf], [2, 20]]


def test_videos_are_joined_by_name(tmp_path: Path, here: None) -> None:
    videos = [f"v{i}" for i in range(9)]
    one = [[0.0, 1.0]]
    labels = write_csd(tmp_path / "l.csd", "l", {v: ([[float(v[1])]], one) for v in videos})
    backwards = {v: ([[10 * float(v[1])]], one) for v in reversed(videos) if v != "v3"}
    data = read_csd(labels, {"audio": write_csd(tmp_path / "a.csd", "a", backwards)})
    found = clips(data, "audio")
    assert [found[f"v{i}$_$0"] for i in range(9)] == [
        [[10.0 * i]] if i != 3 else [] for i in range(9)
    ]
    assert data["all"].scores[:, 0].tolist() == list(range(9))


def test_files_aligned_to_the_labels_are_joined_by_segment(tmp_path: Path, here: None) -> None:
    # segments that overlap in time: only the names keep their frames apart
    labels = write_csd(
        tmp_path / "l.csd",
        "All Labels",
        {f"v[{i}]": ([[float(i)]], [[0.0, 5.0]]) for i in (10, 2, 0)},
    )
    words = {
        "v[2]": ([[2.0], [3.0]], [[0.0, 1.0], [1.0, 2.0]]),
        "v[10]": ([[10.0]], [[0.0, 1.0]]),
    }
    aligned = write_csd(tmp_path / "a.csd", "a", words)
    whole = write_csd(tmp_path / "w.csd", "w", {"v": ([[1.0], [2.0]], regular(4.0, 1.0, 2))})
    data = read_csd(labels, {"audio": aligned, "vision": whole}, first=1)
    assert data["all"].ids == ("v$_$1", "v$_$3", "v$_$11")
    assert data["all"].scores[:, 0].tolist() == [0, 2, 10]
    assert list(clips(data, "audio").values()) == [[], [[2], [3]], [[10]]]
    assert list(clips(data, "vision").values()) == [[[1]]] * 3
    # numbered by something else than the labels: all parts of the video together
    plain = write_csd(tmp_path / "p.csd", "l", {"v": ([[1.0]], [[0.5, 1.5]])})
    data = read_csd(plain, {"audio": aligned})
    assert clips(data, "audio") == {"v$_$0": [[2], [10], [3]]}


def test_intervals_out_of_order_or_without_time(tmp_path: Path, here: None) -> None:
    labels = write_csd(
        tmp_path / "l.csd",
        "l",
        {"v": ([[1.0], [2.0], [3.0]], [[2.0, 4.0], [-1.0, 2.0], [5.0, NAN]])},
    )
    times = [[3.0, 4.0], [0.0, 1.0], [2.0, 1.0], [NAN, 3.0], [1.0, 1.0], [0.0, np.inf], [2.0, 3.0]]
    audio = write_csd(tmp_path / "a.csd", "a", {"v": (np.arange(7.0)[:, None], times)})
    data = read_csd(labels, {"audio": audio})
    assert clips(data, "audio") == {"v$_$0": [[6], [0]], "v$_$1": [[1]], "v$_$2": []}
    assert set(data.notices) == {
        "labels: 1 segments cover no time",
        "audio: 1 of 3 clips without a frame",
        "audio: 4 intervals cover no time and are in no clip",
        "audio: 1 videos (v) not in order of time, sorted",
        "1 of 3 clips have no frame in any modality",
    }


def test_an_overlap_of_rounding_is_none() -> None:
    line = Timeline(np.array([[0.0, 1.0], [1.0, 2.0]]))
    for end, expected in ((1 + EPSILON / 2, 1), (1 + 2 * EPSILON, 2)):
        rows, counts = line.within(np.array([[0.5, end]]))
        assert rows.tolist() == list(range(expected))
        assert counts.tolist() == [expected]
    nested = Timeline(np.array([[0.0, 9.0], [1.0, 2.0]]))
    for start, expected in ((2 - 2 * EPSILON, [0, 1]), (2 - EPSILON / 2, [0])):
        assert nested.within(np.array([[start, 5.0]]))[0].tolist() == expected


times = st.tuples(st.integers(-4, 12), st.integers(-2, 9)).map(lambda p: (p[0] / 2, sum(p) / 2))


@repeatable
@given(st.lists(times, max_size=8), st.lists(times, min_size=1, max_size=5))
def test_the_same_frames_as_by_looking_at_all(
    frames: list[tuple[float, float]], segments: list[tuple[float, float]]
) -> None:
    line = Timeline(np.array(frames, dtype=np.float64).reshape(-1, 2))
    rows, counts = line.within(np.array(segments))
    expected = [
        sorted(
            (i for i, (a, b) in enumerate(frames) if a < b and s < e and max(a, s) < min(b, e)),
            key=lambda i: (frames[i][0], i),
        )
        for s, e in segments
    ]
    assert rows.tolist() == [i for part in expected for i in part]
    assert counts.tolist() == [len(part) for part in expected]
    values = np.arange(2.0 * len(frames)).reshape(-1, 2)
    for mean, part in zip(means(values, rows, counts), expected, strict=True):
        np.testing.assert_allclose(mean, values[part].mean(0) if part else [0, 0], rtol=1e-6)


def test_frames_cannot_be_multiplied_without_end(tmp_path: Path, here: None) -> None:
    segments = np.tile([[0.0, 1000.0]], (3000, 1))
    labels = write_csd(tmp_path / "l.csd", "l", {"v": (np.zeros((3000, 1)), segments)})
    audio = write_csd(
        tmp_path / "a.csd", "a", {"v": (np.zeros((3000, 4)), regular(0.0, 0.1, 3000))}
    )
    with pytest.raises(DataError, match=r"a\.csd: video 'v': 3000 segments and 3000 intervals"):
        read_csd(labels, {"audio": audio})


def test_nested_intervals_cannot_take_any_time() -> None:
    """One long interval over many short ones, and segments behind these."""
    line = Timeline(np.concatenate([[[0.0, 1e6]], regular(0.0, 0.1, 3000)]))
    segments = regular(1000.0, 1.0, 2100)
    rows, counts = line.within(segments[:1500])
    assert not rows.any()
    assert counts.tolist() == [1] * 1500
    with pytest.raises(DataError, match="takes 6302100 comparisons"):
        line.within(segments)


# ------------------------------------------------------------------ labels, columns, folds


def test_label_columns(tmp_path: Path, here: None) -> None:
    row = np.arange(7.0)[None] / 3
    seven = write_csd(tmp_path / "l.csd", "All Labels", {"v": (row, [[0.0, 1.0]])})
    named = write_csd(
        tmp_path / "n.csd",
        "labels",
        {"v": (row[:, :2], [[0.0, 1.0]])},
        {"dimension names": ["valence", "sentiment"]},
    )
    audio = write_csd(tmp_path / "a.csd", "a", {"v": ([[1.0]], [[0.0, 1.0]])})

    def score(path: Path, column: str | int | None = None) -> float:
        table = read_csd(path, {"audio": audio}, label_column=column)["all"]
        return float(table.scores[0, 0])

    assert score(seven) == 0
    assert score(seven, "anger") == 1  # 3 / 3
    assert score(seven, 5) == 5 / 3  # float64 all the way
    assert score(named) == 1 / 3
    assert score(named, "valence") == 0
    with pytest.raises(DataError, match="no label column 'joy' among 2, expected one of"):
        score(named, "joy")
    with pytest.raises(DataError, match="no label column 7 among 7"):
        score(seven, 7)


def test_columns_by_number_and_by_recipe(tmp_path: Path, here: None) -> None:
    labels = write_csd(tmp_path / "l.csd", "l", {"v": ([[1.0]], [[0.0, 1.0]])})
    wide = write_csd(tmp_path / "a.csd", "COVAREP", {"v": (np.arange(74.0)[None], [[0.0, 1.0]])})
    face = write_csd(tmp_path / "f.csd", "FACET", {"v": (np.arange(47.0)[None], [[0.0, 1.0]])})
    data = read_csd(
        labels,
        {"audio": wide, "vision": face},
        columns={"audio": "mosi-covarep-5", "vision": "mosi-facet-20"},
    )
    assert clips(data, "audio")["v$_$0"] == [[1, 3, 6, 25, 60]]
    assert clips(data, "vision")["v$_$0"][0][:4] == [0, 2, 5, 10]
    assert data.widths == {"audio": 5, "vision": 20}
    assert data.recipe["audio"]["columns"] == [1, 3, 6, 25, 60]
    data = read_csd(labels, {"audio": wide}, columns={"audio": [73, 0]})
    assert clips(data, "audio")["v$_$0"] == [[73, 0]]
    assert all(max(r.columns) < r.width for r in COLUMN_RECIPES.values())
    for columns, message in (
        ({"audio": "mosi-facet-20"}, "74 found, expected 47"),
        ({"audio": "best"}, "'best' asked for, expected one of"),
        ({"audio": [74]}, "74 asked for, expected some of 0 to 73"),
        ({"audio": [3, 1, 3]}, "one of 3 asked for twice"),
        ({"text": [0]}, "columns for 'text' asked for"),
    ):
        with pytest.raises(DataError, match=message):
            read_csd(labels, {"audio": wide}, columns=columns)


def test_folds(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "folds.json").write_text('{"test": ["a"], "train": ["b", "z"]}')
    data = read(files, "audio", "words", folds=folds_from(tmp_path / "folds.json"))
    assert list(data) == ["train", "test"]
    assert data["test"].ids == ("a$_$0",)
    assert data["train"].raw_text == ("it is", "not")
    assert clips(data, "audio", "test") == {"a$_$0": [[1, -np.inf], [2, 20]]}
    assert len(clips(data, "audio", "train")["b$_$1"]) == 4
    assert data.notices == ("folds: 1 videos (z) without labels",)
    left = read(files, "audio", folds={"train": ["b"]})
    assert "labels: 1 videos (a) in no fold, left out" in left.notices
    for folds, message in (
        ({"train": ["a", "b"], "test": ["b"]}, "video 'b' is in 'train' and in 'test'"),
        ({"train": ["a"], "test": ["z"]}, "'test' has no labelled video"),
    ):
        with pytest.raises(DataError, match=message):
            read(files, "audio", folds=folds)
    for content in ("[]", '{"dev": []}', '{"train": "a"}', "{", "[" * 10**5):
        (tmp_path / "folds.json").write_text(content)
        with pytest.raises(DataError, match=r"folds\.json: "):
            folds_from(tmp_path / "folds.json")


# ------------------------------------------------------------------ what does not fit


def test_requests_that_cannot_be_met(files: dict[str, Path], tmp_path: Path) -> None:
    for names, options, message in (
        ([], {}, "no sequence named"),
        (["audio"], {"align": "text"}, "asked to align to 'text'"),
    ):
        with pytest.raises(DataError, match=message):
            read(files, *names, **options)
    labels = files["labels"]
    for sequences, message in (
        ({"audio": files["words"]}, "words found, expected numbers for 'audio'"),
        ({"words": files["audio"]}, "numbers found, expected words for 'words'"),
        ({"words": files["words"], "text": files["words"]}, "two sequences of words"),
        ({"audio": tmp_path / "none.csd"}, "cannot be read"),
        ({"audio": tmp_path}, "is no file"),
    ):
        with pytest.raises(DataError, match=message):
            read_csd(labels, sequences)
    with pytest.raises(DataError, match=r"1\.csd: video 'a': words found, expected labels"):
        read_csd(files["words"], {"audio": files["audio"]})


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"z": ([[1.0]], [[0.0, 1.0]])}, "no frame of a labelled video"),
        ({"a": ([[1.0]], [[1.0, 2.0]]), "b": ([[1.0, 2.0]], [[1.0, 2.0]])}, "2 numbers a frame"),
        ({"a": ([[1.0]], [[1.0, 2.0]]), "b": ([[b"x"]], [[1.0, 2.0]])}, "words found, expected 1"),
        ({"a": ([[1.0]], [[1.0, 2.0], [2.0, 3.0]])}, r"shape \(1, 1\) found, expected 2 rows"),
        ({"a": ([[1.0]], [[1.0, 2.0, 3.0]])}, r"shape \(1, 3\) found, expected \(n, 2\)"),
        ({"a": ([[1.0]], [[b"x", b"y"]])}, "expected numbers"),
        ({"a": ([[b"x", b"y"]], [[1.0, 2.0]])}, "of words found, expected"),
        ({"a": (np.zeros((1,) * 5), [[1.0, 2.0]])}, "5 dimensions found"),
        ({"a": (np.zeros(1, "f4,f4"), [[1.0, 2.0]])}, "expected numbers"),
        ({"a": ([[1j]], [[1.0, 2.0]])}, "expected numbers"),
        ({"a\n": ([[1.0]], [[1.0, 2.0]])}, "expected a short printable one"),
        ({"a" * 300: ([[1.0]], [[1.0, 2.0]])}, "expected a short printable one"),
    ],
)
def test_sequences_that_do_not_fit(
    files: dict[str, Path], tmp_path: Path, entries: Any, message: str
) -> None:
    bad = write_csd(tmp_path / "bad.csd", "bad", entries)
    with pytest.raises(DataError, match=message) as caught:
        read_csd(files["labels"], {"audio": bad})
    assert str(caught.value).startswith(f"{bad}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "no label found"),
        ({"a$_$b": ([[1.0]], [[0.0, 1.0]])}, "found in its name"),
        ({"a[3]": ([[1.0], [2.0]], regular(0, 1, 2))}, "segment 3 has 2 labels, expected one"),
        ({"a[1]": ([[1.0]], [[0, 1]]), "a[01]": ([[1.0]], [[0, 1]])}, "found twice"),
        ({"a": ([[1.0, 2.0]], [[0.0, 1.0]])}, "no label column 'sentiment' among 2"),
    ],
)
def test_labels_that_do_not_fit(
    files: dict[str, Path], tmp_path: Path, entries: Any, message: str
) -> None:
    bad = write_csd(tmp_path / "bad.csd", "labels", entries)
    with pytest.raises(DataError, match=message):
        read_csd(bad, {"audio": files["audio"]})


def test_a_file_that_changes_while_it_is_in_use(files: dict[str, Path]) -> None:
    data = read(files, "audio")
    for change in ({"a": AUDIO["a"]}, {**AUDIO, "b": ([[1.0, 2.0]], [[0.0, 1.0]])}):
        write_csd(files["audio"], "COVAREP", change)
        with pytest.raises(DataError, match=r"3\.csd: has changed"):
            data["all"].sequences["audio"]


def test_values_beyond_float32_and_integers(tmp_path: Path, here: None) -> None:
    labels = write_csd(tmp_path / "l.csd", "l", {"v": ([[1.0]], [[0.0, 2.0]])})
    for values, expected in (([[1e300], [NAN]], [[np.inf], [NAN]]), ([[1], [2]], [[1], [2]])):
        audio = write_csd(tmp_path / "a.csd", "a", {"v": (values, regular(0, 1, 2))})
        found = read_csd(labels, {"audio": audio})["all"].sequences["audio"].values
        np.testing.assert_array_equal(found, np.array(expected, np.float32))


# ------------------------------------------------------------------ hostile files


def _hostile(name: str, data: h5py.Group, elsewhere: Path) -> None:
    """Give the entry "b" features that are not what they seem; 8 rows of 2 are expected."""
    file, entry = data.file, data["b"]
    del entry["features"]
    gzip: dict[str, Any] = {"compression": "gzip", "chunks": (8, 2)}
    if name == "shape":
        entry.create_dataset("features", (10**12, 2), "f4", fillvalue=1.0, **gzip)
    elif name == "one chunk of many":
        bomb = entry.create_dataset("features", (10**11, 2), "f4", **gzip)
        bomb[:8] = 1
    elif name == "one plain chunk of many":
        entry.create_dataset("features", (8000, 2), "f4", chunks=(8, 2))[:8] = 1
    elif name == "chunk":
        entry.create_dataset("features", (8, 2), "f4", chunks=(10**7, 2), maxshape=(None, 2))
    elif name == "never written":
        entry.create_dataset("features", (8, 2), "f4")
    elif name == "gzip of gzip":
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((8, 2))
        settings.set_deflate(9)
        settings.set_deflate(9)
        space = h5py.h5s.create_simple((8, 2))
        h5py.h5d.create(entry.id, b"features", h5py.h5t.NATIVE_FLOAT, space, settings)
    elif name == "lzf":
        entry.create_dataset("features", data=np.ones((8, 2)), compression="lzf")
    elif name == "scale offset":
        entry.create_dataset("features", data=np.ones((8, 2), "i4"), scaleoffset=0)
    elif name == "external data":
        elsewhere.write_bytes(bytes(64))
        entry.create_dataset("features", (8, 2), "f4", external=[(str(elsewhere), 0, 64)])
    elif name == "virtual":
        layout = h5py.VirtualLayout((8, 2), "f8")
        layout[:] = h5py.VirtualSource(str(elsewhere), "COVAREP/data/b/features", (8, 2))
        entry.create_virtual_dataset("features", layout)
    elif name == "external link":
        entry["features"] = h5py.ExternalLink(str(elsewhere), "/COVAREP/data/b/features")
    elif name == "soft link":
        entry["features"] = h5py.SoftLink("/COVAREP/data/a/features")
    elif name == "external group":
        del data["a"]
        data["a"] = h5py.ExternalLink(str(elsewhere), "/COVAREP/data/a")
    elif name == "references":
        entry.create_dataset("features", (8, 2), h5py.ref_dtype)[:] = file.ref
    elif name == "lists":
        lists = entry.create_dataset("features", (8,), h5py.vlen_dtype(np.float64))
        lists[0] = [1.0]
    elif name == "empty":
        entry["features"] = h5py.Empty("f4")
    elif name == "named type":
        entry["features"] = np.dtype("f4")
    elif name == "two roots":
        file.create_group("another")
    elif name == "long metadata":
        data.parent["metadata/root name"][0] = "x" * 10**5
    elif name == "numbers as metadata":
        del data.parent["metadata/root name"]
        data.parent["metadata/root name"] = [1.0]


HOSTILE = {
    "shape": "claims 8000000000000 bytes of",
    "one chunk of many": "claims 800000000000 bytes of",
    "one plain chunk of many": "claims 64000 bytes of 64 stored, expected at most 1 times",
    "chunk": "claims 80000000 bytes of 0 stored",
    "never written": "claims 64 bytes of 0 stored",
    "gzip of gzip": r"filters \[1, 1\] found",
    "lzf": r"filters \[32000\] found",
    "scale offset": r"filters \[6\] found",
    "external data": "data in other files",
    "virtual": "data in other files",
    "external link": "a link to another place",
    "soft link": "a link to another place",
    "external group": "a link to another place",
    "references": "expected numbers",
    "lists": "expected numbers",
    "empty": "no shape found",
    "named type": "datatype found, expected a dataset",
    "two roots": "2 root groups",
    "long metadata": "100000 characters found",
    "numbers as metadata": "expected one string",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_not_what_it_seems(
    files: dict[str, Path], tmp_path: Path, name: str
) -> None:
    bad = write_csd(tmp_path / "bad.csd", "COVAREP", AUDIO)
    with h5py.File(bad, "a") as file:
        _hostile(name, file["COVAREP/data"], tmp_path / "elsewhere.csd")
    with pytest.raises(DataError, match=HOSTILE[name]) as caught:
        read_csd(files["labels"], {"audio": bad})
    assert str(caught.value).startswith(f"{bad}: ")
    assert "\n" not in str(caught.value)


def test_one_array_under_many_names_is_counted_each_time(tmp_path: Path, here: None) -> None:
    noise = np.random.default_rng(0).normal(size=(500, 8))
    path = write_csd(tmp_path / "a.csd", "a", {"v0": (noise, regular(0, 1, 500))})
    with h5py.File(path, "a") as file:
        for i in range(1, 4):
            file[f"a/data/v{i}"] = file["a/data/v0"]
    with pytest.raises(DataError, match="more than the file has"):
        read_csd(path, {"audio": path}, label_column=0)


def test_one_word_in_many_places_is_counted_each_time(tmp_path: Path, here: None) -> None:
    path = write_csd(tmp_path / "w.csd", "words", {})
    with h5py.File(path, "a") as file:
        entry = file["words/data"].create_group("a")
        words = entry.create_dataset("features", (600, 1), h5py.string_dtype(), chunks=(1, 1))
        words[0] = "x" * 10**5
        _, reference = words.id.read_direct_chunk((0, 0))
        for row in range(1, 600):
            words.id.write_direct_chunk((row, 0), reference)
        entry["intervals"] = regular(0, 1, 600)
    labels = write_csd(tmp_path / "l.csd", "l", LABELS)
    with pytest.raises(DataError, match="words longer than the file holds"):
        read_csd(labels, {"words": path})


def test_a_name_that_is_a_path_is_not_followed(tmp_path: Path, here: None) -> None:
    path = write_csd(tmp_path / "a.csd", "a", {"v#x": ([[1.0]], [[0.0, 1.0]])})
    path.write_bytes(path.read_bytes().replace(b"v#x\0", b"v/x\0"))
    with pytest.raises(DataError, match="without slash"):
        read_csd(path, {"audio": path})


def test_zeros_that_compress_well_are_no_bomb(files: dict[str, Path], tmp_path: Path) -> None:
    face = write_csd(
        tmp_path / "z.csd", "FACET", {"b": (np.zeros((40_000, 47)), regular(0, 1e-4, 40_000))}
    )
    assert face.stat().st_size < 40_000 * 47 * 8 / 20
    assert read_csd(files["labels"], {"vision": face})["all"].lengths["vision"][1] == 20_000


def test_a_whole_file_that_compresses_well_is_a_bomb(
    files: dict[str, Path], tmp_path: Path
) -> None:
    zeros = {v: (np.zeros((40_000, 500)), regular(0, 1e-4, 40_000)) for v in ("a", "b")}
    bomb = write_csd(tmp_path / "z.csd", "FACET", zeros)
    assert bomb.stat().st_size < 40_000 * 500 * 8 / 100
    with pytest.raises(DataError, match="claim to unpack to more than 100 times as many"):
        read_csd(files["labels"], {"vision": bomb})


# ------------------------------------------------------------------ the reading process


def test_a_process_of_its_own_reads(tmp_path: Path) -> None:
    paths = write_folder(tmp_path)
    data = read(paths, "audio")
    assert clips(data, "audio")["b$_$0"] == [[0, 0], [1, 10], [2, 20], [3, 30]]
    (tmp_path / "t.csd").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match=r"t\.csd: damaged, or not an HDF5 file"):
        read_csd(tmp_path / "t.csd", {"audio": paths["audio"]})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("signal.alarm(1)\nwhile True: pass", "damaged: reading it does not end"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"the HDF5 library fails on it \(SIGSEGV\)"),
        ("raise SystemExit(3)", "the reading process ended with code 3"),
        ('print(\'{"root": "x", "metad\', end=\'\')', "the reading process ended with code 0"),
    ],
)
def test_a_reading_process_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    path = write_csd(tmp_path / "a.csd", "a", AUDIO)
    worker = tmp_path / "worker.py"
    limits = "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))"
    worker.write_text(f"import os, resource, signal\n{limits}\n{code}\n")
    monkeypatch.setattr(hdf5_safe, "_WORKER", worker)
    with pytest.raises(DataError, match=message):
        read_csd(path, {"audio": path})


def test_memory_of_the_reading_process_is_limited() -> None:
    code = (
        "from tricord.data.readers import hdf5_worker\n"
        "hdf5_worker.limit_memory(1 << 20)\n"
        "import numpy\n"
        "numpy.ones(1 << 26, 'u1')\n"
        "try: numpy.ones(1 << 30, 'u1')\n"
        "except MemoryError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csd(tmp_path / "a.csd", "a", AUDIO)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'pip install "tricord\[csd\]"'):
        read_csd(path, {"audio": path})


# ------------------------------------------------------------------ folders


def test_a_folder_tells_its_files_by_their_names(files: dict[str, Path], tmp_path: Path) -> None:
    write_csd(tmp_path / "CMU_MOSI_TimestampedPhones.csd", "phonemes", WORDS)
    (tmp_path / "notes.txt").write_text("x")
    data = read_csd_folder(tmp_path)
    assert data.fingerprint() == read(files, "text", "words", "audio", "vision").fingerprint()
    assert data.source == str(tmp_path)
    assert data.notices[0] == "CMU_MOSI_TimestampedPhones.csd not used"


def test_root_names_come_before_file_names(tmp_path: Path, here: None) -> None:
    write_csd(tmp_path / "visual_labels.csd", "COVAREP", AUDIO)
    write_csd(tmp_path / "CMU_MOSEI_Labels.csd", "x", LABELS)
    assert read_csd_folder(tmp_path).modalities == ("audio",)


def test_a_folder_that_does_not_say_enough(tmp_path: Path, here: None) -> None:
    def refused() -> str:
        with pytest.raises(DataError, match=r"csd\.json") as caught:
            read_csd_folder(tmp_path)
        return str(caught.value)

    assert "[] found, expected labels and a modality" in refused()
    write_csd(tmp_path / "l.csd", "Opinion Segment Labels", LABELS)
    assert "['labels'] found" in refused()
    write_csd(tmp_path / "a.csd", "OpenSmile-emobase2010", AUDIO)
    assert read_csd_folder(tmp_path).modalities == ("audio",)
    write_csd(tmp_path / "b.csd", "COVAREP", AUDIO)
    assert "2 files of audio found, ['a.csd', 'b.csd']" in refused()
    write_csd(tmp_path / "b.csd", "mystery", AUDIO)
    assert "b.csd ('mystery') may be anything" in refused()
    plan = {"labels": "l.csd", "audio": "a.csd", "text": "b.csd", "align": "text"}
    plan |= {"columns": {"audio": [1]}, "folds": {"train": ["b"], "valid": ["a"]}, "first": 1}
    (tmp_path / "csd.json").write_text(json.dumps(plan))
    data = read_csd_folder(tmp_path)
    assert list(data) == ["train", "valid"]
    assert data.widths == {"text": 2, "audio": 1}
    assert data["train"].ids == ("b$_$1", "b$_$2")


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("[]", "list found, expected an object"),
        ("{", "no readable JSON"),
        ('{"labels": "l.csd"}', "expected labels and a modality"),
        ('{"labels": "l.csd", "sound": "a.csd"}', "key 'sound' found"),
        ('{"labels": "l.csd", "audio": 3}', "'3' is of the wrong kind"),
        ('{"labels": "l.csd", "audio": "none.csd"}', "'none.csd' not found"),
        ('{"labels": "l.csd", "audio": "../a.csd"}', "leaves the folder"),
        ('{"labels": "l.csd", "audio": "/a.csd"}', "leaves the folder"),
        ('{"labels": "l.csd", "audio": "a\\u0000.csd"}', "leaves the folder"),
        ('{"labels": "l.csd", "audio": "\\ud800.csd"}', r"'\\ud800.csd' not found"),
        (f'{{"labels": "l.csd", "audio": "{"a" * 5000}"}}', "aaa' not found"),
        ('{"labels": "l.csd", "audio": "out.csd"}', "a link out of the folder"),
        ('{"labels": "l.csd", "audio": "deep/out.csd"}', "a link out of the folder"),
        ('{"labels": "l.csd", "audio": "a.csd", "folds": {"dev": []}}', "folds of another form"),
        ('{"labels": "l.csd", "audio": "a.csd", "columns": {"audio": [-1]}}', "wrong kind"),
        ('{"labels": "l.csd", "audio": "a.csd", "columns": [1]}', "wrong kind"),
        ('{"labels": "l.csd", "audio": "a.csd", "first": true}', "wrong kind"),
        ('{"labels": "l.csd", "audio": "a.csd", "label_column": [0]}', "wrong kind"),
    ],
)
def test_a_plan_that_is_wrong_or_leaves_the_folder(
    tmp_path: Path, here: None, plan: str, message: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write_csd(tmp_path / "a.csd", "COVAREP", AUDIO)
    write_csd(folder / "a.csd", "COVAREP", AUDIO)
    write_csd(folder / "l.csd", "labels", LABELS)
    (folder / "out.csd").symlink_to(tmp_path / "a.csd")
    (folder / "deep").symlink_to(tmp_path)
    write_csd(tmp_path / "out.csd", "COVAREP", AUDIO)
    (folder / "csd.json").write_text(plan)
    with pytest.raises(DataError, match=message):
        read_csd_folder(folder)


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path, here: None) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write_csd(folder / "l.csd", "labels", LABELS)
    outside = write_csd(tmp_path / "a.csd", "COVAREP", AUDIO)
    (folder / "a.csd").symlink_to(outside)
    with pytest.raises(DataError, match="a link out of the folder"):
        read_csd_folder(folder)
    (tmp_path / "plan.json").write_text("{}")
    (folder / "csd.json").symlink_to(tmp_path / "plan.json")
    with pytest.raises(DataError, match=r"csd\.json: a link found"):
        read_csd_folder(folder)


def test_a_single_file_says_what_it_is(files: dict[str, Path]) -> None:
    assert describe_csd(files["vision"]) == "the computational sequence 'FACET 4.2' of 1 videos"
    with pytest.raises(DataError, match=r"'COVAREP' of 2 videos, .* expected a folder"):
        refuse_single_csd(files["audio"])


def test_the_examples_are_of_the_same_times() -> None:
    """Otherwise the hand-made expectations above would say less."""
    assert [list(i) for i in VECTORS["b"][1]] == [list(i) for i in WORDS["b"][1]]
    assert set(VISION) < set(AUDIO) == set(LABELS)
