"""MMSA files: the quirks that are mended, the mistakes that are refused, and the words for both."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tricord
from tricord.data.admit import admit
from tricord.data.load import load
from tricord.data.load import read as read_as_it_is
from tricord.data.readers import pickle_safe
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.schema import Dataset
from tricord.errors import DataError, TricordError

LENGTHS = {"text": [3, 5, 2, 4], "audio": [7, 1, 6, 2], "vision": [2, 4, 3, 1]}
PADDED = {"text": 5, "audio": 7, "vision": 4}
WIDTHS = {"text": 6, "audio": 3, "vision": 2}
Splits = dict[str, dict[str, Any]]


def split(name: str, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    masks = {k: np.arange(PADDED[k]) < np.array(n)[:, None] for k, n in LENGTHS.items()}
    tokens = np.where(masks["text"], rng.integers(5, 90, masks["text"].shape), 0)
    features = {
        k: (rng.normal(size=(4, PADDED[k], WIDTHS[k])) * masks[k][..., None]).astype(np.float32)
        for k in LENGTHS
    }
    return {
        "id": [f"{name}_{i // 2}$_${i}" for i in range(4)],
        "raw_text": [f"clip {i} of {name}" for i in range(4)],
        "text_bert": np.stack([tokens, masks["text"], np.zeros_like(tokens)], axis=1).astype(float),
        **features,
        "audio_lengths": LENGTHS["audio"],
        "vision_lengths": np.array(LENGTHS["vision"]),
        "annotations": ["Negative", "Neutral", "Positive", "Positive"],
        "classification_labels": np.array([0, 1, 2, 2]),
        "regression_labels": np.array([-0.6, 0.0, 0.2, 1.0]),
        "regression_labels_T": np.array([-0.2, 0.0, -0.2, 1.0]),
        "regression_labels_A": np.array([-0.4, 0.2, 0.0, 0.8]),
        "regression_labels_V": np.array([-0.6, 0.0, 0.4, 0.6]),
    }


@pytest.fixture
def splits() -> Splits:
    return {name: split(name, i) for i, name in enumerate(("train", "valid", "test"))}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Dataset]:
    def write_and_read(splits: Splits, config: dict[str, Any] | None = None) -> Dataset:
        write_mmsa(tmp_path / "x.pkl", splits, config)
        return load(tmp_path / "x.pkl")

    return write_and_read


Read = Callable[..., Dataset]


def test_a_full_file(splits: Splits, read: Read) -> None:
    data = read(splits, {"simulation": {"seed": 3}, "features": {"tool": "x"}})
    assert data.notices == ()
    assert list(data) == ["train", "valid", "test"]
    assert data.modalities == ("text", "audio", "vision")
    assert data.widths == WIDTHS
    assert data.simulation == {"seed": 3}
    for name, raw in splits.items():
        table = data[name]
        assert table.ids == tuple(raw["id"])
        assert table.raw_text == tuple(raw["raw_text"])
        assert table.label_names == ("Negative", "Neutral", "Positive", "Positive")
        for modality, ragged in table.sequences.items():
            assert ragged.values.dtype == np.float32
            assert ragged.lengths.tolist() == LENGTHS[modality]
            np.testing.assert_array_equal(ragged.padded(), raw[modality])
        assert table.tokens is not None
        assert table.tokens.values.dtype == np.int64
        np.testing.assert_array_equal(table.tokens.padded(), raw["text_bert"][:, 0])
        columns = [raw[f"regression_labels{suffix}"] for suffix in ("", "_T", "_A", "_V")]
        np.testing.assert_array_equal(table.scores, np.stack(columns, axis=1))


def test_a_file_is_written_whole_or_not_at_all(splits: Splits, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    write_mmsa(path, splits)
    before = path.read_bytes()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        write_mmsa(path, {"train": {"id": lambda: None}})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match="cannot be written"):
        write_mmsa(tmp_path / "no folder" / "x.pkl", splits)


# ---------------------------------------------------------------------- quirks, mended


def same(found: Dataset, expected: Dataset) -> None:
    assert found.fingerprint() == expected.fingerprint()


def test_transposed_tokens(splits: Splits, read: Read) -> None:
    expected = read(splits)
    for raw in splits.values():
        raw["text_bert"] = raw["text_bert"].transpose(0, 2, 1)
    found = read(splits)
    same(found, expected)
    assert found.notices == ("train, valid, test: text_bert: stored as (N, L, 3), transposed",)


@pytest.mark.parametrize("transposed", [False, True])
def test_tokens_of_three_steps_are_told_by_their_mask(
    splits: Splits, read: Read, transposed: bool
) -> None:
    rows = np.array([[101, 7, 102], [1, 1, 1], [0, 0, 0]])
    short = np.array([[101, 102, 0], [1, 1, 0], [0, 0, 0]])
    for raw in splits.values():
        clips = np.stack([rows, short, rows, short])
        raw["text_bert"] = clips.transpose(0, 2, 1) if transposed else clips
    tokens = read(splits)["train"].tokens
    assert tokens is not None
    assert tokens.lengths.tolist() == [3, 2, 3, 2]
    assert tokens.values[:5].tolist() == [101, 7, 102, 101, 102]


def test_lists_instead_of_arrays(splits: Splits, read: Read) -> None:
    expected = read(splits)
    for raw in splits.values():
        for key, value in raw.items():
            if key == "audio":
                raw[key] = list(value)  # a list of arrays, one for every clip
            elif isinstance(value, np.ndarray):
                raw[key] = value.tolist()
    same(read(splits), expected)


def test_arrays_of_objects_and_labels_in_columns(splits: Splits, read: Read) -> None:
    expected = read(splits)
    for raw in splits.values():
        for key in [k for k in raw if k.startswith("regression_labels")]:
            raw[key] = raw[key][:, None]
        for key in ("id", "raw_text", "annotations"):
            raw[key] = np.array(raw[key], dtype=object)
        raw["vision"] = raw["vision"].astype(object)
    same(read(splits), expected)


def test_text_without_tokens_ends_at_its_last_nonzero_frame(splits: Splits, read: Read) -> None:
    for raw in splits.values():
        del raw["text_bert"]
    splits["train"]["text"][1] = 0  # all zero: one frame is kept
    data = read(splits)
    assert data["train"].sequences["text"].lengths.tolist() == [3, 1, 2, 4]
    assert data["valid"].sequences["text"].lengths.tolist() == LENGTHS["text"]
    assert data["train"].tokens is None
    assert data.notices == ("missing in all splits: text_bert",)


def test_text_features_of_other_length_than_the_tokens(splits: Splits, read: Read) -> None:
    for raw in splits.values():
        raw["text"] = raw["text"][:, :1]
    data = read(splits)
    assert data["train"].sequences["text"].lengths.tolist() == [1, 1, 1, 1]
    assert data["train"].tokens is not None
    assert data["train"].tokens.lengths.tolist() == LENGTHS["text"]


def test_tokens_without_text_features(splits: Splits, read: Read) -> None:
    for raw in splits.values():
        del raw["text"]
    data = read(splits)
    assert data.modalities == ("text", "audio", "vision")
    assert data.widths["text"] == 0
    assert data["train"].sequences["text"].lengths.tolist() == LENGTHS["text"]
    assert data.notices == ("missing in all splits: text",)


def test_an_aligned_file_takes_lengths_from_the_text(splits: Splits, read: Read) -> None:
    for raw in splits.values():
        raw["audio"] = raw["audio"][:, :5] + 1
        del raw["audio_lengths"], raw["vision_lengths"]
    data = read(splits)
    assert data["train"].sequences["audio"].lengths.tolist() == LENGTHS["text"]
    assert data["train"].sequences["vision"].lengths.tolist() == [4, 4, 4, 4]
    assert data.notices == (
        "train, valid, test: audio_lengths: missing, those of the text taken (aligned file)",
        "train, valid, test: vision_lengths: missing, all 4 frames taken as real",
    )


def test_cells_that_are_not_finite_are_counted_and_replaced(splits: Splits, read: Read) -> None:
    audio = splits["train"]["audio"].astype(np.float64)
    audio[0, :2, 0] = -np.inf
    audio[2, 3, 1] = np.inf
    audio[2, 4, 1] = 1e300  # float32 cannot hold it
    audio[0, 2, 2] = np.nan
    audio[1, 5, 0] = np.nan  # padding
    splits["train"]["audio"] = audio
    splits["test"]["vision"][3, 0, 1] = np.nan
    data = read(splits)
    assert data.notices == (
        "train: audio: 1 NaN, 2 +inf, 2 -inf cells replaced by 0",
        "test: vision: 1 NaN cells replaced by 0",
    )
    cleaned = data["train"].sequences["audio"].padded()
    expected = np.where(np.abs(audio) < 1e30, audio, 0).astype(np.float32)
    np.testing.assert_array_equal(cleaned, expected)


def test_missing_unimodal_labels_are_unknown(splits: Splits, read: Read) -> None:
    for raw in splits.values():
        del raw["regression_labels_A"]
    del splits["test"]["regression_labels_T"]
    splits["valid"]["regression_labels_V"] = [None, np.nan, 0.2, 0.4]
    data = read(splits)
    unknown = np.isnan(data["test"].scores).all(axis=0)
    assert unknown.tolist() == [False, True, True, False]
    assert np.isnan(data["valid"].scores[:, 3]).tolist() == [True, True, False, False]
    assert data.notices == (
        "train, valid: regression_labels_A: missing, unknown for all clips",
        "test: regression_labels_T, regression_labels_A: missing, unknown for all clips",
    )


def test_classification_labels_stand_in(splits: Splits, read: Read) -> None:
    for raw in splits.values():
        del raw["regression_labels"], raw["annotations"]
    data = read(splits)
    assert data["test"].scores[:, 0].tolist() == [0, 1, 2, 2]
    assert data.notices == (
        "missing in all splits: regression_labels",
        "scores are the 'classification_labels'",
    )


def test_labels_in_words_only(splits: Splits, read: Read) -> None:
    for raw in splits.values():
        del raw["regression_labels"], raw["classification_labels"]
        raw["annotations"] = ["angry", "calm", "angry", "happy"]
    table = read(splits)["train"]
    assert table.label_names == ("angry", "calm", "angry", "happy")
    assert np.isnan(table.scores[:, 0]).all()


def test_fewer_modalities_splits_and_no_labels(splits: Splits, read: Read) -> None:
    only = {k: splits["test"][k] for k in ("id", "audio", "audio_lengths")}
    data = read({"test": only})
    assert data.modalities == ("audio",)
    assert data["test"].scores.shape == (4, 2)
    assert np.isnan(data["test"].scores).all()


def test_an_absent_modality_has_length_zero(splits: Splits, read: Read) -> None:
    splits["train"]["audio_lengths"] = [7, 0, 6, 2]
    assert read(splits)["train"].sequences["audio"].lengths.tolist() == [7, 0, 6, 2]


def test_clips_without_labels_are_a_split_of_their_own(splits: Splits, read: Read) -> None:
    more = {k: v for k, v in split("unlabelled", 7).items() if "label" not in k}
    del more["annotations"]
    data = read({**splits, "unlabelled": more})
    assert list(data.splits) == ["train", "valid", "test", "unlabelled"]
    assert np.isnan(data["unlabelled"].scores).all()
    assert data["unlabelled"].ids[0].startswith("unlabelled")


def test_an_unknown_split_is_named(splits: Splits, read: Read) -> None:
    splits["train_mix"] = split("mix")
    assert read(splits).notices == ("top-level key 'train_mix' not used",)


# ---------------------------------------------------------------------- mistakes, refused

Change = Callable[[Splits], object]
HUGE = [1.0, 2.0]
for _ in range(40):
    HUGE = [HUGE, HUGE]  # type: ignore[list-item]

MISTAKES: dict[str, tuple[Change, list[str]]] = {
    "missing features": (lambda s: s["valid"].pop("audio"), ["'valid'", "'audio'", "'train'"]),
    "missing tokens": (lambda s: s["train"].pop("text_bert"), ["'train'", "'text_bert'"]),
    "missing lengths": (lambda s: s["test"].pop("audio_lengths"), ["'test'", "'audio_lengths'"]),
    "missing labels": (lambda s: s["train"].pop("regression_labels"), ["'train'", "missing"]),
    "missing ids": (lambda s: [x.pop("id") for x in s.values()], ["'train'", "'id'", "missing"]),
    "widths differ": (
        lambda s: s["test"].update(audio=np.ones((4, 7, 5))),
        ["'test'", "'audio'", "width 5 found", "expected 3", "'train'"],
    ),
    "lengths beyond the array": (
        lambda s: s["valid"].update(audio_lengths=[7, 1, 8, 2]),
        ["'valid'", "'audio_lengths'", "row 2", "8 found", "0..7"],
    ),
    "negative length": (
        lambda s: s["valid"].update(vision_lengths=[1, -1, 1, 1]),
        ["'vision_lengths'", "row 1", "-1 found"],
    ),
    "half a frame": (
        lambda s: s["valid"].update(vision_lengths=[1, 1.5, 1, 1]),
        ["'vision_lengths'", "row 1", "1.5 found"],
    ),
    "no length": (lambda s: s["valid"].update(vision_lengths=[1, np.nan, 1, 1]), ["row 1", "nan"]),
    "empty split": (
        lambda s: s.update(valid={k: v[:0] for k, v in s["valid"].items()}),
        ["'valid'", "no clip found"],
    ),
    "all-NaN modality": (
        lambda s: s["train"].update(vision=np.full((4, 4, 2), np.nan)),
        ["'train'", "'vision'", "every cell"],
    ),
    "all infinite": (
        lambda s: s["train"].update(text=np.full((4, 5, 6), -np.inf)),
        ["'train'", "'text'", "every cell"],
    ),
    "duplicate ids": (
        lambda s: s["train"].update(id=["a", "b", "a", "c"]),
        ["'train'", "'id'", "'a' found 2 times"],
    ),
    "ids shared": (
        lambda s: s["test"]["id"].__setitem__(slice(2), s["train"]["id"][:2]),
        ["'test'", "'train'", "'id'", "2 of its clips", "'train_0$_$0'"],
    ),
    "row count of features": (
        lambda s: s["test"].update(text=s["test"]["text"][:3]),
        ["'test'", "'text'", "3 rows found", "expected 4"],
    ),
    "row count of labels": (
        lambda s: s["test"].update(regression_labels_A=[0.0] * 5),
        ["'test'", "'regression_labels_A'", "5 rows found", "expected 4"],
    ),
    "row count of words": (
        lambda s: s["test"].update(raw_text=["a"]),
        ["'test'", "'raw_text'", "1 rows found", "expected 4"],
    ),
    "two dimensions": (
        lambda s: s["train"].update(audio=np.ones((4, 7))),
        ["'train'", "'audio'", "(4, 7) found"],
    ),
    "no frames": (lambda s: s["train"].update(audio=np.ones((4, 0, 3))), ["'audio'", "(4, 0, 3)"]),
    "labels in two columns": (
        lambda s: s["train"].update(regression_labels=np.ones((4, 2))),
        ["'regression_labels'", "(4, 2) found"],
    ),
    "infinite label": (
        lambda s: s["train"].update(regression_labels=[0, 0, np.inf, 1]),
        ["'regression_labels'", "row 2", "inf found"],
    ),
    "words as labels": (
        lambda s: s["train"].update(regression_labels=np.array(["a", "b", "c", "d"])),
        ["'regression_labels'", "expected numbers"],
    ),
    "words in a list of labels": (
        lambda s: s["train"].update(regression_labels=["a", "b", "c", "d"]),
        ["'regression_labels'", "no full array of numbers"],
    ),
    "clips of different lengths": (
        lambda s: s["train"].update(audio=[[[1.0]], [[1.0], [2.0]], [[1.0]], [[1.0]]]),
        ["'audio'", "no full array"],
    ),
    "list nested too deeply": (lambda s: s["train"].update(audio=HUGE), ["'audio'", "no full"]),
    "list that stands for too much": (
        lambda s: s["train"].update(audio=[[[0.0] * 1000] * 1000] * 1000),
        ["'audio'", "more numbers claimed"],
    ),
    "features that are a word": (lambda s: s["train"].update(audio="x"), ["'audio'", "str found"]),
    "an id that is a number": (
        lambda s: s["train"].update(id=["a", 7, "b", "c"]),
        ["'id'", "row 1", "int found"],
    ),
    "ids that are a word": (lambda s: s["train"].update(id="abcd"), ["'id'", "str found"]),
    "split that is a list": (lambda s: s.update(train=[1]), ["'train'", "list found"]),
    "shape of tokens": (
        lambda s: s["train"].update(text_bert=np.ones((4, 2, 5))),
        ["'text_bert'", "(4, 2, 5) found", "(N, 3, L)"],
    ),
    "mask of tokens": (
        lambda s: s["train"].update(text_bert=np.full((4, 3, 5), 2)),
        ["'text_bert'", "attention mask"],
    ),
    "padding in front of tokens": (
        lambda s: s["train"].update(text_bert=s["train"]["text_bert"][..., ::-1]),
        ["'text_bert'", "row 0", "0 before 1", "at the end only"],
    ),
    "text that stands for too much": (
        lambda s: s["train"].update(id=["a" * 10**6] * 200),
        ["'id'", "more text claimed"],
    ),
    "ids without columns": (
        lambda s: s["train"].update(id=np.zeros((10**12, 0), dtype="U1")),
        ["'id'", "(1000000000000, 0) found"],
    ),
    "labels without columns": (
        lambda s: s["train"].update(regression_labels=np.zeros((10**12, 0), dtype=object)),
        ["'regression_labels'", "(1000000000000, 0) found"],
    ),
    "half a token": (
        lambda s: s["train"].update(text_bert=s["train"]["text_bert"] + [[0.5], [0], [0]]),
        ["'text_bert'", ".5 found", "whole number"],
    ),
    "no features": (
        lambda s: [x.pop(k) for x in s.values() for k in ("text_bert", "text", "audio", "vision")],
        ["'train'", "missing", "text_bert"],
    ),
    "no split": (lambda s: s.clear(), ["no split found"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_in_one_line(splits: Splits, tmp_path: Path, name: str) -> None:
    change, words = MISTAKES[name]
    change(splits)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(splits, 4))
    with pytest.raises(DataError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_not_a_dictionary(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(np.arange(3)))
    with pytest.raises(DataError, match="array found, expected a dictionary of splits"):
        load(tmp_path / "x.pkl")


# ---------------------------------------------------------------------- the door


def test_load_says_what_is_wrong_with_a_path(splits: Splits, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.pkl: no such file"):
        load(tmp_path / "absent.pkl")
    with pytest.raises(DataError, match="is a folder"):
        load(str(tmp_path))
    write_mmsa(tmp_path / "x.PICKLE", splits)
    assert len(tricord.load(str(tmp_path / "x.PICKLE"))["train"]) == 4


def test_a_real_file(shared: Path) -> None:
    data = load(shared / "data" / "mosi_utterance" / "mosi_utterance.pkl")
    assert {name: len(table) for name, table in data.splits.items()} == {
        "train": 1221,
        "valid": 226,
        "test": 752,
    }
    assert data.widths == {"text": 100, "audio": 73, "vision": 100}
    for table in data.splits.values():
        assert all((s.lengths == 1).all() for s in table.sequences.values())
        assert np.isfinite(table.scores[:, 0]).all()
        assert np.isnan(table.scores[:, 1:]).all()
    assert not data.simulated


# ---------------------------------------------------------------------- damaged files


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, removed, repeated or moved; mostly near a name or an opcode."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place, length = int(rng.integers(len(damaged))), int(rng.integers(1, 9))
        action = rng.integers(5)
        if action == 0:
            damaged[place] ^= 1 << int(rng.integers(8))
        elif action == 1:
            damaged[place : place + length] = rng.bytes(length)
        elif action == 2:
            del damaged[place : place + length]
        elif action == 3:
            other = int(rng.integers(len(damaged)))
            damaged[place:place] = damaged[other : other + length]
        else:
            damaged[place] = int(
                rng.choice(np.frombuffer(b"().0NKJ]}abdehiosqrtu\x85\x93\x94", "u1"))
            )
    return bytes(damaged)


MEASURED = 7  # one in so many is run under a memory tracer, which is slow


def survives(path: Path, content: bytes, seed: int, times: int) -> tuple[int, int]:
    """How many damaged files were read, and how many refused, none for more than it justifies."""
    rng = np.random.default_rng(seed)
    messages = []
    for number in range(times):
        path.write_bytes(mutate(content, rng))
        if number % MEASURED == 0:
            tracemalloc.start()
        try:
            load(path)
        except TricordError as error:
            messages.append(str(error))
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 50 * len(content) + (1 << 20), (number, len(content), peak)
    assert not any("\n" in message for message in messages)
    return times - len(messages), len(messages)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_damaged_file_loads_or_is_refused(splits: Splits, tmp_path: Path, protocol: int) -> None:
    counts = survives(tmp_path / "x.pkl", pickle.dumps(splits, protocol), protocol, 200)
    assert min(counts) > 0


@pytest.mark.slow
def test_ten_thousand_damaged_files(splits: Splits, tmp_path: Path) -> None:
    for raw in splits.values():
        raw["vision"] = raw["vision"].tolist()
        raw["id"] = np.array(raw["id"])
        raw["raw_text"] = np.array(raw["raw_text"], dtype=object)
    for protocol in (0, 2, 3, 4, 5):
        survives(tmp_path / "x.pkl", pickle.dumps(splits, protocol), 100 + protocol, 2000)


@pytest.mark.slow
def test_ten_thousand_damaged_files_with_mapped_arrays(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickle_safe, "_LARGE_BLOCK", 64)
    for protocol in (3, 4, 5):
        survives(tmp_path / "x.pkl", pickle.dumps(splits, protocol), protocol, 3334)


def test_a_damaged_file_with_mapped_arrays(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickle_safe, "_LARGE_BLOCK", 64)
    counts = survives(tmp_path / "x.pkl", pickle.dumps(splits, 4), 1, 200)
    assert min(counts) > 0


# ---------------------------------------------------------------------- large and single files


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_mapped_arrays_give_the_same_data(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(splits, protocol))
    whole = load(path)
    monkeypatch.setattr(pickle_safe, "_LARGE_BLOCK", 16)
    assert load(path).fingerprint() == whole.fingerprint()


def test_reading_does_not_take_memory_for_what_is_not_asked_for(tmp_path: Path) -> None:
    clips = 4000
    big = {
        "id": [f"v$_${i}" for i in range(clips)],
        "audio": np.ones((clips, 100, 74), dtype=np.float32),  # 113 MiB
        "vision": np.ones((clips, 100, 35), dtype=np.float32),
        "regression_labels": np.zeros(clips),
    }
    big["audio"][5, 5, 5] = -np.inf  # mended where it is, not in a copy
    write_mmsa(tmp_path / "x.pkl", {"train": big})
    del big
    tracemalloc.start()
    data = admit(read_as_it_is(tmp_path / "x.pkl"), lazy=True)
    at_rest = tracemalloc.get_traced_memory()[1]
    assert data["train"].sequences["audio"].values.shape == (clips * 100, 74)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert at_rest < 8 << 20
    assert peak < 1.3 * clips * 100 * 74 * 4


def test_a_lazy_data_set_is_the_same_and_says_what_it_mended(
    splits: Splits, tmp_path: Path
) -> None:
    splits["train"]["audio"][0, 0, 0] = -np.inf
    write_mmsa(tmp_path / "x.pkl", splits)
    lazy = admit(read_as_it_is(tmp_path / "x.pkl"), lazy=True)
    eager = load(tmp_path / "x.pkl")
    assert lazy.widths == eager.widths
    assert not lazy.notices
    assert lazy.fingerprint() == eager.fingerprint()
    assert lazy.notices == ["train: audio: 1 -inf cells replaced by 0"]


@pytest.mark.parametrize("config", ["itself", "doubled", "in an array"])
def test_settings_without_end_are_refused(splits: Splits, tmp_path: Path, config: str) -> None:
    endless: dict[str, Any] = {"itself": None, "doubled": HUGE, "in an array": np.empty(1, "O")}
    endless["itself"] = endless["in an array"][0] = endless
    content = {**splits, "config": {"x": endless[config]}}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match="key 'config': more than 10000 settings, or nested"):
        read_as_it_is(tmp_path / "x.pkl")


def test_settings_that_json_cannot_hold_become_words(splits: Splits, read: Read) -> None:
    odd = {"a": np.arange(2), "b": b"x", "c": {1, 2}, 3: (None, True), (4,): 5}
    odd["e"] = np.zeros((10**12, 0))
    assert read(splits, odd).recipe == {
        "a": [0, 1],
        "b": "bytes",
        "c": "set",
        "3": [None, True],
        "e": "array",
    }


def test_a_file_of_one_clip_in_lists(tmp_path: Path) -> None:
    one = {"audio": [[1.0, 2.0], [3.0, 4.0]], "vision": np.ones((4, 2)), "text": None}
    (tmp_path / "clip7.pkl").write_bytes(pickle.dumps(one))
    data = load(tmp_path / "clip7.pkl")
    assert data.modalities == ("audio", "vision")
    assert data["all"].sequences["audio"].values.tolist() == [[1, 2], [3, 4]]


def test_a_file_of_one_clip(tmp_path: Path) -> None:
    one = {
        "audio": np.ones((7, 3)),
        "vision": np.ones((4, 2)),
        "text": np.ones((5, 6)),
        "text_bert": np.stack([np.arange(5), np.ones(5), np.zeros(5)]),
        "config": {"audio": {"tool": "librosa", "n_fft": 512}},
    }
    (tmp_path / "clip7.pkl").write_bytes(pickle.dumps(one))
    data = load(tmp_path / "clip7.pkl")
    assert list(data) == ["all"]
    assert data["all"].ids == ("clip7",)
    assert data.widths == {"text": 6, "audio": 3, "vision": 2}
    assert data["all"].lengths["audio"].tolist() == [7]
    assert data.recipe == {"audio": {"tool": "librosa", "n_fft": 512}}
    assert np.isnan(data["all"].scores).all()
