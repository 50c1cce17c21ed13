"""Clips of several tables in a new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import tiny_data
from tricord.data.gather import deferred, gather, gather_sequences, take
from tricord.data.schema import Dataset, FeatureTable, LazySequence, LazySequences, Ragged

A, B = tiny_data.table("train", 5), tiny_data.table("test", 4)
OWNER, ROWS = np.array([1, 0, 0, 1, 0]), np.array([3, 0, 4, 3, 0])


def same(a: FeatureTable, b: FeatureTable) -> bool:
    return Dataset({"x": a}, "").fingerprint() == Dataset({"x": b}, "").fingerprint()


def test_rows_come_from_where_they_are() -> None:
    made = gather("new", [A, B], OWNER, ROWS)
    assert made.name == "new"
    for row, (owner, source) in enumerate(zip(OWNER, ROWS, strict=True)):
        one, other = made.take(np.array([row])), (A, B)[owner].take(np.array([source]))
        assert same(one, other)
    assert made.sequences["text"].padded_length == 4


def test_take_is_take() -> None:
    rows = np.array([4, 0, 0, 2])
    assert same(take(A, rows), A.take(rows))
    assert len(take(A, rows[:0])) == 0


def test_words_and_tokens_only_where_all_have_them() -> None:
    tokens = Ragged(np.arange(5), np.arange(6), 3)
    full = replace(A, raw_text=tuple("abcde"), label_names=tuple("vwxyz"), tokens=tokens)
    made = gather("new", [full, full], OWNER, ROWS)
    assert made.raw_text == ("d", "a", "e", "d", "a")
    assert made.label_names == ("y", "v", "z", "y", "v")
    assert made.tokens is not None
    assert made.tokens.values.tolist() == [3, 0, 4, 3, 0]
    part = gather("new", [full, B], OWNER, ROWS)
    assert (part.raw_text, part.label_names, part.tokens) == (None, None, None)


def test_longest_padding_and_widest_numbers_win() -> None:
    half = Ragged(np.ones((2, 1), np.float16), np.array([0, 2]), 7)
    single = Ragged(np.full((1, 1), 1e-9, np.float32), np.array([0, 1]), 5)
    for parts in ([half, single], [single, half]):
        made = gather_sequences(parts, np.array([0, 1]), np.array([0, 0]))
        assert made.values.dtype == np.float32
        assert made.padded_length == 7
        assert np.float32(1e-9) in made.values


def counted(table: FeatureTable, asked: list[str]) -> FeatureTable:
    def reading(name: str) -> Callable[[], Ragged]:
        def read() -> Ragged:
            asked.append(name)
            return table.sequences[name]

        return read

    plans = [
        LazySequence(name, s.lengths, s.width, reading(name)) for name, s in table.sequences.items()
    ]
    return replace(table, sequences=LazySequences(plans))


@pytest.mark.parametrize("other", [B, deferred(Dataset({"test": B}, ""))["test"]])
def test_nothing_is_read_before_it_is_asked_for(other: FeatureTable) -> None:
    asked: list[str] = []
    made = gather("new", [counted(A, asked), other], OWNER, ROWS)
    assert made.lengths["audio"].tolist() == [
        (A, B)[o].lengths["audio"][r] for o, r in zip(OWNER, ROWS, strict=True)
    ]
    assert made.widths == A.widths
    assert asked == []
    expected = gather("new", [A, B], OWNER, ROWS).sequences["audio"]
    np.testing.assert_array_equal(made.sequences["audio"].values, expected.values)
    assert asked == ["audio"]
