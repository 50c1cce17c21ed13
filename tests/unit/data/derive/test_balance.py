"""Parts that lack no class, where groups allow it; and the same parts as ever where none lacked."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import tiny_data
from builders import repeatable
from tricord.data.derive.balance import assign, classes
from tricord.data.derive.grouping import lacking, split_by_group
from tricord.data.schema import UNSPLIT, Dataset

SHARES = (0.6, 0.2, 0.2)
TRAIN, VALID = 0, 1
ROOM = 0.1
Counts = NDArray[np.float64]
NAN = np.nan


def with_classes(counts: Counts) -> tuple[Counts, Counts]:
    """(counts for `assign` of classes alone, prices): train must have all, valid had better."""
    prices = np.zeros((3, counts.shape[1]))
    prices[TRAIN], prices[VALID] = 1 + counts.shape[1], 1
    return np.hstack([counts, counts > 0]), prices


def cost(counts: Counts, part: NDArray[np.int64], prices: Counts) -> float:
    found = np.stack([counts[part == s].sum(axis=0) for s in range(3)])
    return float(((found == 0) * prices).sum())


def sizes(counts: Counts, part: NDArray[np.int64]) -> Counts:
    found = np.array([counts[part == s].sum() for s in range(3)])
    return np.asarray(found / counts.sum())


MEMBERS = st.sampled_from([0, 0, 0, 1, 4, 9])
TABLES = st.integers(3, 7).flatmap(
    lambda groups: st.integers(2, 4).flatmap(
        lambda kinds: st.lists(
            st.lists(MEMBERS, min_size=kinds, max_size=kinds).filter(any),
            min_size=groups,
            max_size=groups,
        )
    )
)


@settings(repeatable, max_examples=30)
@given(TABLES, st.integers(0, 9))
def test_no_cheaper_parts_of_about_these_sizes_are_missed(
    table: list[list[int]], seed: int
) -> None:
    counts = np.array(table, dtype=np.float64)
    counts = counts[:, counts.any(axis=0)]
    plain = assign(counts, SHARES, seed)
    columns, prices = with_classes(counts)
    found = assign(columns, SHARES, seed, prices)
    if not cost(counts, plain, prices):
        np.testing.assert_array_equal(found, plain)
        return
    every = (np.array(part) for part in itertools.product(range(3), repeat=len(counts)))
    near = sizes(counts, plain)
    room = np.minimum(ROOM, near / 2) + 1e-9
    possible = [
        cost(counts, part, prices)
        for part in every
        if len(set(part.tolist())) == 3 and (np.abs(sizes(counts, part) - near) <= room).all()
    ]
    assert cost(counts, found, prices) == min(possible)
    assert (np.abs(sizes(counts, found) - near) <= room).all()
    if min(possible) == cost(counts, plain, prices):
        np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[-0.4, 1], [0, 1], [2, 1], [NAN, 1]], ["below 0", "zero", "above 0", ""]),
        ([[1, NAN], [5, NAN], [NAN, NAN]], ["1", "5", ""]),
        ([[0, 0], [1, -1]], ["zero", "above 0"]),  # one of its modalities has two sides
        ([[0.5, NAN], [4, NAN]], ["", ""]),
        ([[1, NAN], [100, NAN]], ["", ""]),
        ([[NAN, NAN]], [""]),
    ],
)
def test_classes_of_numbers(scores: list[list[float]], expected: list[str]) -> None:
    assert classes(np.array(scores)).tolist() == expected


def test_classes_of_words() -> None:
    unknown = np.full((3, 2), NAN)
    assert classes(unknown, ["sad", "", "calm"]).tolist() == ["sad", "", "calm"]
    # words beside scores only say their sign, as in CH-SIMS
    assert classes(np.array([[-1.0], [0.2]]), ["Negative", "Positive"]).tolist() == [
        "below 0",
        "above 0",
    ]


def labelled(speakers: list[dict[str, int]]) -> tuple[Dataset, dict[str, list[str]]]:
    """Clips of each speaker: label -> how many."""
    pairs = [
        (f"s{n}", label)
        for n, counts in enumerate(speakers)
        for label, count in counts.items()
        for _ in range(count)
    ]
    words = tuple(label for _, label in pairs)
    table = tiny_data.table(UNSPLIT, len(pairs))
    table = replace(table, label_names=words, scores=np.full_like(table.scores, NAN))
    return Dataset({UNSPLIT: table}, "x"), {UNSPLIT: [name for name, _ in pairs]}


def test_a_class_of_one_speaker_is_in_train() -> None:
    # the most even division has the second speaker alone in test
    speakers = [{"angry": 8, "calm": 3}, {"angry": 2, "calm": 3, "fear": 2}]
    data, groups = labelled([*speakers, {"angry": 4, "calm": 6}, {"angry": 3, "calm": 2}])
    made, report = split_by_group(data, groups)
    assert lacking(made) == {"train": (), "valid": ("fear",)}
    assert report.clips == {"train": 18, "valid": 5, "test": 10}


def test_what_no_division_has_is_said() -> None:
    big = {"angry": 40, "calm": 40}
    data, groups = labelled([big, {"angry": 5, "fear": 1}, {"calm": 5, "angry": 1}])
    made, _ = split_by_group(data, groups)
    assert len(made["train"]) == 80  # and not the one clip of fear
    assert lacking(made)["train"] == ("fear",)


def test_of_signs_valid_may_lack_zero() -> None:
    data, groups = labelled([{"a": 3}] * 6)
    scores = np.array([[n, NAN, NAN, NAN] for n in 6 * [-1.0, 0.0, 1.0]])
    scores[9:, 0] = np.where(scores[9:, 0] == 0, 1.0, scores[9:, 0])  # three of six have a zero
    table = replace(data[UNSPLIT], scores=scores, label_names=None)
    made, _ = split_by_group(replace(data, splits={UNSPLIT: table}), groups)
    for valid in ([-1.0, 1.0], [-1.0, 0.0]):
        rows = np.isin(made["valid"].scores[:, 0], valid)
        some = replace(made, splits={**made.splits, "valid": made["valid"].take(rows.nonzero()[0])})
        assert lacking(some)["valid"] == (() if 1.0 in valid else ("above 0",))


def test_a_word_may_be_zero() -> None:
    data, groups = labelled([{"zero": 4, "one": 4}] * 5)
    made, _ = split_by_group(data, groups)
    ones = np.flatnonzero(np.array(made["valid"].label_names) == "one")
    some = replace(made, splits={**made.splits, "valid": made["valid"].take(ones)})
    assert lacking(some) == {"train": (), "valid": ("zero",)}


def test_clips_without_any_label_are_split_all_the_same() -> None:
    data, groups = labelled([{"": 4}] * 4)
    for words in (data[UNSPLIT].label_names, None):
        table = replace(data[UNSPLIT], label_names=words)
        made, _ = split_by_group(replace(data, splits={UNSPLIT: table}), groups)
        assert lacking(made) == {"train": (), "valid": ()}
