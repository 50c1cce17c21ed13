"""Ragged sequences, tables, data sets."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import repeatable
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.errors import DataError, SealedSplitError

LENGTHS = st.lists(st.integers(0, 5), min_size=1, max_size=8)


def make_ragged(lengths: list[int], seed: int = 0, width: int = 2) -> tuple[Ragged, np.ndarray]:
    """And the padded array it came from, whose padding holds 9."""
    rng = np.random.default_rng(seed)
    padded = rng.normal(size=(len(lengths), 6, width)).astype(np.float32)
    padded[np.arange(6)[None, :] >= np.array(lengths)[:, None]] = 9
    return Ragged.from_padded(padded, np.array(lengths)), padded


@repeatable
@given(LENGTHS)
def test_padded_and_back(lengths: list[int]) -> None:
    ragged, padded = make_ragged(lengths)
    assert ragged.lengths.tolist() == lengths
    assert len(ragged) == len(lengths)
    assert len(ragged.values) == sum(lengths)
    assert ragged.width == 2
    assert ragged.padded_length == 6
    expected = np.where(padded == 9, 0, padded)
    np.testing.assert_array_equal(ragged.padded(), expected)


@repeatable
@given(LENGTHS, st.data())
def test_take_any_rows_in_any_order(lengths: list[int], data: st.DataObject) -> None:
    ragged, _ = make_ragged(lengths)
    picks = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=10))
    rows = np.array(picks, dtype=np.int64)
    taken = ragged.take(rows)
    np.testing.assert_array_equal(taken.padded(), ragged.padded()[rows])
    np.testing.assert_array_equal(ragged.values[ragged.positions(rows)], taken.values)


def test_tokens_have_width_one_and_stay_integers() -> None:
    ragged = Ragged.from_padded(np.array([[1, 2, 0], [3, 0, 0]]), np.array([2, 1]))
    assert ragged.width == 1
    assert ragged.values.tolist() == [1, 2, 3]
    assert ragged.padded().tolist() == [[1, 2, 0], [3, 0, 0]]
    assert ragged.take(np.array([1])).values.dtype == np.int64


def make_table(name: str = "train", rows: int = 3, **parts: Any) -> FeatureTable:
    start: dict[str, Any] = {
        "name": name,
        "ids": tuple(f"{name}{i // 2}$_${i}" for i in range(rows)),
        "sequences": {"text": make_ragged([i % 5 for i in range(rows)])[0]},
        "scores": np.linspace(-1, 1, rows * 2).reshape(rows, 2),
    }
    return FeatureTable(**{**start, **parts})


def test_videos_are_what_stands_before_the_separator() -> None:
    assert make_table().videos.tolist() == ["train0", "train0", "train1"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sequences", {"audio": make_ragged([1, 2])[0]}),
        ("scores", np.zeros((2, 2))),
        ("tokens", make_ragged([1, 2])[0]),
        ("raw_text", ("a", "b")),
        ("label_names", ("a", "b")),
    ],
)
def test_rows_that_do_not_align_are_refused(key: str, value: Any) -> None:
    named = "audio" if key == "sequences" else key
    with pytest.raises(DataError, match=f"split 'train', key '{named}': 2 rows found, 3 expected"):
        make_table(**{key: value})


def test_a_table_takes_every_part_along() -> None:
    table = make_table(
        tokens=Ragged.from_padded(np.array([[1, 2], [3, 0], [4, 5]]), np.array([2, 1, 2])),
        raw_text=("a", "b", "c"),
        label_names=("x", "y", "z"),
    )
    rows = np.array([2, 0])
    taken = table.take(rows)
    assert taken.ids == (table.ids[2], table.ids[0])
    assert taken.raw_text == ("c", "a")
    assert taken.label_names == ("z", "x")
    assert taken.tokens is not None
    assert taken.tokens.padded().tolist() == [[4, 5], [1, 2]]
    np.testing.assert_array_equal(taken.scores, table.scores[rows])
    np.testing.assert_array_equal(
        taken.sequences["text"].padded(), table.sequences["text"].padded()[rows]
    )


def make_dataset(**parts: Any) -> Dataset:
    splits = {name: make_table(name) for name in ("train", "valid", "test")}
    return Dataset(**{"splits": splits, "source": "a.pkl", **parts})


def test_a_data_set_knows_its_splits_and_widths() -> None:
    data = make_dataset()
    assert list(data) == ["train", "valid", "test"]
    assert "test" in data
    assert "dev" not in data
    assert data["valid"].name == "valid"
    assert data.modalities == ("text",)
    assert data.widths == {"text": 2}
    assert not data.simulated
    assert make_dataset(simulation={}).simulated
    with pytest.raises(DataError, match=r"a\.pkl: split 'dev' not found, expected one of"):
        data["dev"]


def test_a_sealed_split_is_out_of_reach() -> None:
    sealed = make_dataset().seal("test")
    with pytest.raises(SealedSplitError, match="split 'test' is sealed"):
        sealed["test"]
    assert sealed["valid"].name == "valid"
    assert make_dataset()["test"].name == "test"
    with pytest.raises(SealedSplitError):
        sealed.seal("valid")["test"]


def test_a_sealed_split_cannot_be_reached_around_the_seal() -> None:
    sealed = make_dataset().seal("test")
    with pytest.raises(SealedSplitError):
        _ = [sealed[name] for name in sealed]


@pytest.mark.parametrize(
    "part", ["ids", "words", "features", "scores", "tokens", "split", "offsets"]
)
def test_the_fingerprint_sees_every_change(part: str) -> None:
    table = make_table()
    text = table.sequences["text"]
    changes: dict[str, dict[str, Any]] = {
        "ids": {"ids": ("x$_$1", *table.ids[1:])},
        "words": {"raw_text": ("a", "b", "c")},
        "features": {"sequences": {"text": dataclasses.replace(text, values=text.values + 1)}},
        "scores": {"scores": table.scores * 0.5},
        "tokens": {"tokens": Ragged.from_padded(np.ones((3, 1), int), np.array([1, 1, 1]))},
        "offsets": {
            "sequences": {"text": dataclasses.replace(text, offsets=np.array([0, 1, 1, 3]))}
        },
        "split": {},
    }
    name = "dev" if part == "split" else "train"
    one = Dataset(splits={"train": table}, source="a")
    other = Dataset(splits={name: dataclasses.replace(table, **changes[part])}, source="a")
    assert one.fingerprint() != other.fingerprint()


def test_the_fingerprint_sees_label_words_where_they_are_the_labels() -> None:
    def prints(scores: float, *words: str) -> str:
        table = make_table()
        unlike = dataclasses.replace(
            table, label_names=words, scores=np.full_like(table.scores, scores)
        )
        return Dataset(splits={"train": unlike}, source="a").fingerprint()

    assert prints(np.nan, "a", "b", "b") != prints(np.nan, "b", "b", "a")
    assert prints(1.0, "a", "b", "b") == prints(1.0, "b", "b", "a")  # other words for the scores


def test_the_fingerprint_is_of_the_content_alone() -> None:
    again = make_dataset(source="elsewhere.pkl", notices=("mended",))
    assert again.fingerprint() == make_dataset().fingerprint()
    assert make_dataset().seal("test").fingerprint() == make_dataset().fingerprint()
