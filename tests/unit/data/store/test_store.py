"""The store: what comes back, what is refused, what is left behind."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny_data
from builders import repeatable
from tricord import presets
from tricord.data.batching import TensorTable
from tricord.data.schema import Dataset, FeatureTable, LazySequence, LazySequences, Ragged
from tricord.data.store import (
    check_place,
    is_store,
    manifest_of,
    read_store,
    verify_store,
    write_store,
)
from tricord.data.store import folder as folders
from tricord.data.store import manifest as manifests
from tricord.data.store import write as writing
from tricord.data.store.arrays import ArrayFile
from tricord.data.store.manifest import file_sha256, provenance_of, read_manifest
from tricord.errors import DataError
from tricord.types import Polarity


def ragged(lengths: list[int], width: int | None, seed: int = 0) -> Ragged:
    rng = np.random.default_rng(seed)
    total = sum(lengths)
    values: np.ndarray[Any, Any] = (
        rng.integers(0, 30000, total)
        if width is None
        else rng.standard_normal((total, width)).astype(np.float32)
    )
    return Ragged(values, np.cumsum([0, *lengths]), 9)


def table(name: str = "train", **parts: Any) -> FeatureTable:
    """Three clips; the second has no audio; of the third no label is known."""
    start: dict[str, Any] = {
        "name": name,
        "ids": (f"{name}影片$_$0001", f"{name}b$_$2", f"{name}b$_$10"),
        "sequences": {
            "text": ragged([2, 1, 3], 4, 1),
            "audio": ragged([5, 0, 9], 3, 2),
            "vision": ragged([1, 1, 1], 2, 3),
        },
        "scores": np.array([[0.2, -1, 0, 1], [-0.4, np.nan, 0, 0.6], [np.nan] * 4]),
        "tokens": ragged([3, 4, 2], None, 4),
        "raw_text": ("我很好", "", "a \0 b \ud800"),
        "label_names": ("happy", "sad", "happy"),
    }
    return FeatureTable(**{**start, **parts})


def dataset(**parts: Any) -> Dataset:
    start: dict[str, Any] = {
        "splits": {name: table(name) for name in ("train", "valid", "test")},
        "source": "somewhere/file.pkl",
        "notices": ("train: audio: 3 -inf cells replaced by 0", "second"),
        "simulation": {"seed": 1, "limit": {"all": 0.9, "none": None}},
        "recipe": {"audio": {"tool": "covarep", "columns": [1, 3]}},
    }
    return Dataset(**{**start, **parts})


def one_table(**parts: Any) -> Dataset:
    return dataset(splits={"all": table("all", **parts)})


def assert_same_ragged(a: Ragged | None, b: Ragged | None) -> None:
    assert (a is None) == (b is None)
    if a is not None and b is not None:
        assert a.values.dtype == b.values.dtype
        np.testing.assert_array_equal(a.values, b.values)
        np.testing.assert_array_equal(a.offsets, b.offsets)
        assert a.padded_length == b.padded_length
        assert a.digest() == b.digest() == dataclasses.replace(b, known_digest=None).digest()


def assert_same(a: Dataset, b: Dataset) -> None:
    assert list(a.splits) == list(b.splits)
    for x, y in zip(a.splits.values(), b.splits.values(), strict=True):
        assert list(x.sequences) == list(y.sequences)
        for name in x.sequences:
            assert_same_ragged(x.sequences[name], y.sequences[name])
        assert_same_ragged(x.tokens, y.tokens)
        np.testing.assert_array_equal(x.scores, y.scores)
        for field in ("name", "ids", "raw_text", "label_names"):
            assert getattr(x, field) == getattr(y, field), field
    assert tuple(a.notices) == tuple(b.notices)
    assert (a.simulation, a.recipe) == (b.simulation, b.recipe)
    assert a.fingerprint() == b.fingerprint()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.tricord"


@pytest.fixture
def store(path: Path) -> Path:
    write_store(dataset(), path)
    return path


def left(path: Path) -> list[str]:
    """Everything beside a store."""
    return sorted(p.name for p in path.parent.iterdir() if p != path)


# ---------------------------------------------------------------------- what comes back


def test_all_comes_back(path: Path) -> None:
    write_store(dataset(), path)
    found = read_store(path, verify=True)
    assert_same(dataset(), found)
    assert found.source == str(path)
    assert left(path) == []
    assert verify_store(path) == []
    assert is_store(path)


@pytest.mark.parametrize(
    "parts",
    [
        {"tokens": None, "raw_text": None, "label_names": None},
        {"sequences": {"vision": ragged([1, 2, 0], 2)}, "scores": np.zeros((3, 2))},
        {"sequences": {"text": ragged([1, 2, 0], 0)}, "scores": np.zeros((3, 2))},
        {"sequences": {"audio": ragged([0, 0, 0], 5)}, "scores": np.zeros((3, 2))},
        {"sequences": {}, "scores": np.zeros((3, 1))},
        {"raw_text": ("", "", "")},
    ],
)
def test_what_is_absent_stays_so(path: Path, parts: dict[str, Any]) -> None:
    data = one_table(**parts)
    data = dataclasses.replace(data, simulation=None, recipe={}, notices=())
    write_store(data, path)
    assert_same(data, read_store(path, verify=True))


@repeatable
@given(
    st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=1, max_size=6),
    st.lists(st.text(max_size=5), min_size=6, max_size=6),
)
def test_any_lengths_and_words(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[list[int]], words: list[str]
) -> None:
    columns = [list(column) for column in zip(*lengths, strict=True)]
    rows = len(lengths)
    data = one_table(
        ids=tuple(f"{word}$_${i}" for i, word in enumerate(words[:rows])),
        sequences={k: ragged(c, 3) for k, c in zip(("text", "audio"), columns, strict=False)},
        scores=np.random.default_rng(0).choice([-1, np.nan, 1], (rows, 3)),
        tokens=ragged(columns[2], None),
        raw_text=tuple(words[:rows]),
        label_names=None,
    )
    path = tmp_path_factory.mktemp("store") / "a.tricord"
    write_store(data, path)
    assert_same(data, read_store(path, verify=True))


def test_halves_where_asked_and_said_so(path: Path) -> None:
    write_store(dataset(), path, dtypes={"audio": "float16"})
    found = read_store(path, verify=True)
    audio, before = found["train"].sequences["audio"], dataset()["train"].sequences["audio"]
    assert audio.values.dtype == np.float16
    np.testing.assert_array_equal(audio.values, before.values.astype(np.float16))
    assert found["train"].sequences["text"].values.dtype == np.float32
    assert found.notices == (*dataset().notices, "audio: kept as float16")
    assert found.fingerprint() != dataset().fingerprint()
    again = path.with_name("again.tricord")
    write_store(found, again)  # as it is: neither widened nor said twice
    assert_same(found, read_store(again))


def test_where_it_came_from(path: Path, tmp_path: Path) -> None:
    source = tmp_path / "file.pkl"
    source.write_bytes(b"content")
    ticks: list[tuple[int, int]] = []
    digest = file_sha256(source, lambda done, total: ticks.append((done, total)))
    write_store(
        dataset(), path, provenance=provenance_of(source, digest), polarity=Polarity.NON_POSITIVE
    )
    about = manifest_of(path)
    assert ticks == [(7, 7)]
    assert (about.provenance.source, about.provenance.bytes) == ("file.pkl", 7)
    assert about.provenance.sha256 == digest
    assert digest == "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    assert about.polarity == "non_positive"
    assert about.label_ranges == {
        "multimodal": [-0.4, 0.2],
        "text": [-1, -1],
        "audio": [0, 0],
        "vision": [0.6, 1],
    }


def test_what_json_lacks_becomes_text_or_is_refused(path: Path) -> None:
    data = dataset(recipe={"rate": np.inf, "columns": (1, 2)})
    write_store(data, path)
    assert read_store(path).recipe == {"rate": "inf", "columns": [1, 2]}
    for recipe in ({"array": np.zeros(2)}, {1: 2}):
        with pytest.raises(DataError, match="the recipe: cannot be kept as JSON"):
            write_store(dataset(recipe=recipe), path, overwrite=True)
    assert read_store(path).recipe == {"rate": "inf", "columns": [1, 2]}


# ---------------------------------------------------------------------- lazily


def test_lazy_sequences_are_read_one_at_a_time_and_once(path: Path) -> None:
    given: list[weakref.ref[Ragged]] = []
    asked: list[str] = []
    notices = ["before"]

    def read(split: str, name: str) -> Ragged:
        assert all(one() is None for one in given), "the one before is still in memory"
        asked.append(f"{split}/{name}")
        notices.append(f"read {split}/{name}")
        found = dataclasses.replace(table(split).sequences[name])
        given.append(weakref.ref(found))
        return found

    def lazy(split: str) -> FeatureTable:
        real = table(split)
        plans = [
            LazySequence(k, s.lengths, s.width, lambda k=k: read(split, k))  # type: ignore[misc]
            for k, s in real.sequences.items()
        ]
        return dataclasses.replace(real, sequences=LazySequences(plans))

    data = dataset(splits={k: lazy(k) for k in ("train", "test")}, notices=notices)
    ticks: list[tuple[int, int]] = []
    write_store(data, path, tick=lambda done, total: ticks.append((done, total)))
    assert asked == [f"{s}/{k}" for s in ("train", "test") for k in ("text", "audio", "vision")]
    assert read_store(path).notices == tuple(notices)
    assert len(notices) == 7  # what reading adds is kept
    done = [tick[0] for tick in ticks]
    assert done == sorted(done)
    assert done[-1] == ticks[0][1] == ticks[-1][1]


# ---------------------------------------------------------------------- mapped


def test_training_tensors_share_the_mapped_memory(store: Path) -> None:
    train = read_store(store)["train"]
    tensors = TensorTable(train, presets.tiny().labels)
    for name, sequence in train.sequences.items():
        assert tensors.sequences[name].values.data_ptr() == sequence.values.ctypes.data
        assert not sequence.values.flags.writeable
    batch = tensors.fetch(np.array([2, 0]))
    np.testing.assert_array_equal(
        batch.frames["audio"].pad()[0][0], train.sequences["audio"].values[5:]
    )


def test_halves_become_floats_by_batch(path: Path) -> None:
    write_store(dataset(), path, dtypes=dict.fromkeys(("text", "audio", "vision"), "float16"))
    train = read_store(path)["train"]
    tensors = TensorTable(train, presets.tiny().labels)
    assert tensors.sequences["audio"].values.dtype == torch.float16
    batch = tensors.fetch(np.array([0, 1, 2]))
    assert {f.values.dtype for f in batch.frames.values()} == {torch.float32}
    np.testing.assert_array_equal(
        batch.frames["audio"].values[:5], train.sequences["audio"].values[:5].astype(np.float32)
    )
    write_store(one_table(sequences={"audio": ragged([0] * 3, 2)}, scores=np.zeros((3, 2))),
                path, overwrite=True, dtypes={"audio": "float16"})  # fmt: skip
    empty = TensorTable(read_store(path)["all"], presets.tiny().labels).fetch(np.array([0]))
    assert empty.frames["audio"].values.dtype == torch.float32


# ---------------------------------------------------------------------- refused when writing


def with_cell(value: float) -> Dataset:
    audio = ragged([5, 0, 9], 3)
    audio.values[7, 1] = value
    return one_table(sequences={"audio": audio}, scores=np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("data", "options", "problem"),
    [
        (with_cell(np.nan), {}, "split 'all', key 'audio': NaN or infinite cells found"),
        (with_cell(np.inf), {"dtypes": {"audio": "float16"}}, "NaN or infinite cells found"),
        (
            with_cell(7e4),
            {"dtypes": {"audio": "float16"}},
            r"'audio': 1 of 3 columns found that float16 cannot hold \(beyond 65504\); keep audio",
        ),
        (one_table(sequences={"audio": Ragged(np.full((3, 2), 1e300), np.arange(4), 1)},
                   scores=np.zeros((3, 2))), {},
         r"2 of 2 columns found that float32 cannot hold \(beyond 3.40282e\+38\)$"),
        (one_table(scores=np.full((3, 4), np.inf)), {}, "infinite labels found"),
        (one_table(scores=np.zeros((3, 3))), {}, r"shape \(3, 3\) found, expected \(3, 4\)"),
        (one_table(tokens=ragged([1, 1, 1], 2)), {}, r"key 'tokens': an array of shape \(3, 2\)"),
        (dataset(splits={}), {}, "no split found"),
        (one_table(ids=("a", "a", "b")), {}, "duplicates found"),
        (dataset(splits={"train": table("train"), "test": table("test", ids=table().ids)}), {},
         "duplicates found"),
        (dataset(splits={"train": table(),
                         "test": table("test", sequences={"text": ragged([1] * 3, 5)},
                                       scores=np.zeros((3, 2)))}), {}, "split 'test': widths"),
        (dataset(splits={"dev": table("dev")}), {}, "split 'dev' found, expected one of"),
        (one_table(sequences={"smell": ragged([1] * 3, 1)}, scores=np.zeros((3, 2))), {},
         "modality 'smell' found"),
        (dataset(), {"dtypes": {"audio": "int8"}}, "audio: dtype 'int8' asked for"),
        (dataset(), {"dtypes": {"smell": "float16"}}, "a dtype for 'smell' asked for"),
        (one_table(raw_text=("\ud83d\ude00", "", "")), {}, "no Unicode"),
        (one_table(tokens=Ragged(np.zeros(3, np.int64), np.array([0, 2, 1, 3]), 9)), {},
         "key 'tokens': offsets that do not go"),
        (one_table(tokens=Ragged(np.zeros(3, np.int64), np.array([0, 1, 2, 3]), 10**9)), {},
         "padded to 1000000000"),
    ],
)  # fmt: skip
def test_what_has_no_place_is_refused_and_nothing_left(
    path: Path, data: Dataset, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(DataError, match=problem) as found:
        write_store(data, path, **options)
    assert "\n" not in str(found.value)
    assert list(path.parent.iterdir()) == []


def test_a_name_must_say_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ends in \.tricord"):
        write_store(dataset(), tmp_path / "store")


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"nothing can be written to .*file, expected a folder"):
        check_place(tmp_path / "file" / "a.tricord", overwrite=False)
    check_place(tmp_path / "new" / "newer" / "a.tricord", overwrite=False)
    monkeypatch.setattr("os.access", lambda place, mode: Path(place) != tmp_path)
    with pytest.raises(DataError, match="nothing can be written to"):
        check_place(tmp_path / "new" / "a.tricord", overwrite=False)


def test_a_store_is_replaced_only_when_asked(store: Path) -> None:
    before = read_store(store)
    with pytest.raises(DataError, match="exists already"):
        write_store(one_table(), store)
    assert_same(before, read_store(store))
    write_store(one_table(), store, overwrite=True)
    assert_same(one_table(), read_store(store))
    assert left(store) == []
    assert before["train"].sequences["audio"].values[0, 0] != 0  # still mapped


def test_only_a_store_is_replaced(path: Path) -> None:
    path.mkdir()
    (path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="holds other files"):
        write_store(dataset(), path, overwrite=True)
    assert (path / "thesis.tex").read_text() == "years of work"
    shutil.rmtree(path)
    elsewhere = path.with_name("elsewhere.tricord")
    write_store(one_table(), elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(DataError, match="is no store"):
        write_store(dataset(), path, overwrite=True)
    assert_same(one_table(), read_store(elsewhere))
    assert_same(one_table(), read_store(path))  # the user's own link to a store is followed


def test_a_store_is_converted_in_its_own_place(store: Path) -> None:
    before = read_store(store)
    write_store(before, store, overwrite=True, dtypes={"audio": "float16"})
    assert read_store(store)["train"].sequences["audio"].values.dtype == np.float16


def test_a_full_disk_is_one_clear_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = ArrayFile.write, []

    def full(self: ArrayFile, *arguments: Any) -> None:
        calls.append(1)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, *arguments)

    monkeypatch.setattr(ArrayFile, "write", full)
    with pytest.raises(DataError, match=r"x\.tricord: cannot be written \(No space left"):
        write_store(dataset(), path)
    assert list(path.parent.iterdir()) == []


def test_room_is_looked_for_before_anything_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(path.parent)._replace(free=1000)
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match="needs 0 MB, and the disk has 0 MB left"):
        write_store(dataset(), path)


# ---------------------------------------------------------------------- what was left behind


def test_what_killed_processes_left_is_removed_but_not_what_lives(path: Path) -> None:
    beside = path.parent
    names = (".x.tricord.dead1.partial", ".x.tricord.alive.partial", ".y.tricord.dead.partial")
    dead, alive, others = (beside / name for name in names)
    for folder in (dead, alive, others):
        folder.mkdir()
        (folder / "train").mkdir()
    with pytest.raises(DataError, match="never finished"):
        read_store(dead)
    handle = os.open(alive, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    write_store(dataset(), path)
    assert left(path) == [".x.tricord.alive.partial", ".y.tricord.dead.partial"]
    os.close(handle)
    write_store(dataset(), path, overwrite=True)
    assert left(path) == [".y.tricord.dead.partial"]


def test_a_store_whose_replacement_was_interrupted_is_put_back(path: Path) -> None:
    write_store(one_table(), path)
    path.rename(path.with_name(".x.tricord.abc.old"))  # killed between two renames
    with pytest.raises(DataError, match="exists already"):
        write_store(dataset(), path)
    assert_same(one_table(), read_store(path))
    shutil.copytree(path, path.with_name(".x.tricord.abc.old"))  # killed after both
    write_store(dataset(), path, overwrite=True)
    assert_same(dataset(), read_store(path))
    assert left(path) == []


def test_an_error_while_filling_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with folders.new_folder(path) as folder:
        (folder / "a").write_text("old")

    def interrupted() -> None:
        with folders.new_folder(path, replace=True) as folder:
            (folder / "a").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (path / "a").read_text() == "old"
    assert left(path) == []


# ---------------------------------------------------------------------- refused when reading


def rewrite(store: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A manifest with a change and a checksum that fits."""
    content = json.loads((store / "manifest.json").read_text())
    del content["sha256"]
    change(content)
    content["sha256"] = manifests._checksum(content)
    (store / "manifest.json").write_text(json.dumps(content))


def put(*keys: str, value: Any) -> Callable[[dict[str, Any]], object]:
    def change(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


AUDIO = ("splits", "train", "sequences", "audio")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (put("version", value=2), "version 2 found, expected 1; was it written by a newer"),
        (put("format", value="other"), "no manifest of a tricord store"),
        (put("surplus", value=1), "surplus: Extra inputs"),
        (put("splits", value={}), "splits: "),
        (put("splits", "../train", value={}), "splits"),
        (put(*AUDIO, "frames", value=10**12), "bytes found, expected"),
        (put(*AUDIO, "frames", value=10**30), "frames: "),
        (put(*AUDIO, "frames", value=True), "frames: "),
        (put(*AUDIO, "frames", value=-1), "frames: "),
        (put(*AUDIO, "width", value=4), "bytes found, expected"),
        (put(*AUDIO, "width", value=None), "does not belong there"),
        (put(*AUDIO, "dtype", value="int64"), "does not belong there"),
        (put(*AUDIO, "dtype", value="object"), "dtype: "),
        (put(*AUDIO, "padded_length", value=8), "a sequence of 9 frames, padded to 8"),
        (put(*AUDIO, "padded_length", value=10**12), "but padded to 1000000000000"),
        (put(*AUDIO, "offsets_sha256", value="0" * 64), "checksum of its offsets does not fit"),
        (put("splits", "train", "clips", value=4), "3 ids found, expected 4"),
        (put("splits", "train", "words", "bytes", value=10**12), None),
        (put("splits", "train", "sequences", "../../x", value={}), "sequences"),
        (put("splits", "train", "sequences", value={}), "bytes found, expected"),
        (put("splits", "valid", "tokens", value=None), None),
        (lambda m: m["splits"].pop("test"), None),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    store: Path, change: Callable[[dict[str, Any]], object], problem: str | None
) -> None:
    rewrite(store, lambda content: None)
    assert_same(dataset(), read_store(store))
    rewrite(store, change)
    if problem is None:  # someone who writes manifests may leave things out
        assert len(read_store(store).splits["train"]) == 3
        return
    with pytest.raises(DataError, match=problem) as found:
        read_store(store)
    assert "\n" not in str(found.value)
    assert verify_store(store) == [str(found.value)]


def test_a_manifest_changed_by_hand_is_refused(store: Path) -> None:
    place = store / "manifest.json"
    text = place.read_text()
    place.write_text(text.replace('"second"', '"other"'))
    with pytest.raises(DataError, match="its checksum does not fit"):
        read_store(store)
    place.write_text(json.dumps(json.loads(text)))  # other blanks say the same
    assert_same(dataset(), read_store(store))


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[" * 200_000, b"[]", b"1" * 10_000, b'{"format": 1}', b"nul"]
)
def test_no_manifest(store: Path, content: bytes) -> None:
    (store / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.json: (not JSON|no manifest)"):
        read_store(store)


def test_a_manifest_is_not_read_without_end(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "_MOST_BYTES", 100)
    with pytest.raises(DataError, match="expected 100 at most"):
        read_manifest(store)


@pytest.mark.parametrize("name", ["manifest.json", "train/clips.json", "train/scores.safetensors",
                                  "train/audio.safetensors"])  # fmt: skip
@pytest.mark.parametrize("way", ["link", "missing", "longer", "folder"])
def test_every_file_must_be_there_itself(store: Path, name: str, way: str) -> None:
    file = store / name
    moved = store.parent / "moved"
    file.rename(moved)
    if way == "link":
        file.symlink_to(moved)
    elif way == "folder":
        file.mkdir()
    elif way == "longer":
        file.write_bytes(moved.read_bytes() + b"\0")
    with pytest.raises(DataError, match=name):
        read_store(store)


def test_folders_that_are_links_are_refused(store: Path) -> None:
    (store / "train").rename(store.parent / "elsewhere")
    (store / "train").symlink_to(store.parent / "elsewhere")
    with pytest.raises(DataError, match="train: is a link"):
        read_store(store)


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def test_changed_frames_are_found_by_reading_all(store: Path) -> None:
    for name in ("audio", "tokens"):
        flip(store / "train" / f"{name}.safetensors", -1)
    read_store(store)  # in no time: it does not look at them
    problems = verify_store(store)
    assert [p.partition(": ")[0] for p in problems] == [
        str(store / "train" / f"{name}.safetensors") for name in ("audio", "tokens")
    ]
    with pytest.raises(DataError, match="its checksum does not fit"):
        read_store(store, verify=True)


@pytest.mark.parametrize(("name", "place"), [("clips.json", 9), ("scores.safetensors", -1),
                                             ("scores.safetensors", 9)])  # fmt: skip
def test_changed_words_and_labels_are_found_at_once(store: Path, name: str, place: int) -> None:
    flip(store / "valid" / name, place)
    with pytest.raises(DataError, match=f"{name}: "):
        read_store(store)


def test_clips_that_come_twice_are_refused(store: Path) -> None:
    shutil.rmtree(store / "valid")
    shutil.copytree(store / "train", store / "valid")
    rewrite(store, lambda m: m["splits"].update(valid=m["splits"]["train"]))
    with pytest.raises(DataError, match="duplicates found"):
        read_store(store)


def test_verification_tells_how_far_it_is(store: Path) -> None:
    ticks: list[tuple[int, int]] = []
    assert verify_store(store, lambda done, total: ticks.append((done, total))) == []
    frames = [s for t in dataset().splits.values() for s in (*t.sequences.values(), t.tokens)]
    total = sum(s.values.nbytes for s in frames if s is not None)
    assert ticks[-1] == (total, total)
    assert len(ticks) == 12


def test_no_store(tmp_path: Path) -> None:
    (tmp_path / "a.tricord").mkdir()
    (tmp_path / "file.tricord").write_text("")
    for name, problem in (("none", "no such folder"), ("file", "no such"), ("a", "json: missing")):
        with pytest.raises(DataError, match=problem):
            read_store(tmp_path / f"{name}.tricord")
    assert is_store(tmp_path / "a.tricord")
    assert not is_store(tmp_path)
    assert not is_store(tmp_path / "file.tricord")


def test_a_run_on_a_store_is_the_run_on_the_data(path: Path) -> None:
    data = tiny_data.dataset()
    write_store(data, path)
    stored = read_store(path)
    assert stored.fingerprint() == data.fingerprint()
    assert [r.digest() for r in stored["train"].sequences.values()] == [
        r.digest() for r in data["train"].sequences.values()
    ]
