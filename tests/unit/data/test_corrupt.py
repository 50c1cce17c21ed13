"""Broken data: by hand, against the field's own program, and what must not change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import tiny_data
from tricord.data.corrupt import add_noise, lose_frames, remove, shift, shuffle, variance
from tricord.data.schema import FeatureTable, Ragged
from tricord.errors import DataError

UNKNOWN = 100
WORDS = ("the film is good", "not bad at all", "good", "", "I was not so happy with it")


def spoken(rows: int = 12, longest: int = 6) -> FeatureTable:
    """With tokens and words; some clips have no frame. Nothing of it can be written to."""
    table = tiny_data.table("test", rows, longest=longest, shortest=0)
    lengths = table.sequences["text"].lengths
    ids = np.arange(1000, 1000 + lengths.sum())
    tokens = Ragged(ids, table.sequences["text"].offsets, longest)
    words = tuple(WORDS[i % len(WORDS)] for i in range(rows))
    for array in (ids, table.scores, *(s.values for s in table.sequences.values())):
        array.flags.writeable = False
    return replace(table, tokens=tokens, raw_text=words)


BREAKS: dict[str, Callable[[FeatureTable], FeatureTable]] = {
    "frames": lambda t: lose_frames(t, ["text", "vision"], 0.5, 1),
    "removal": lambda t: remove(t, ["text", "audio"]),
    "noise": lambda t: add_noise(t, "audio", 5.0, np.ones(3), 1),
    "shift": lambda t: shift(t, "vision", 0.5),
    "shuffle": lambda t: shuffle(t, "text", 1),
}
CHANGED = {
    "frames": {"text", "vision"},
    "removal": {"text", "audio"},
    "noise": {"audio"},
    "shift": {"vision"},
    "shuffle": {"text"},
}


@pytest.mark.parametrize("kind", BREAKS)
def test_only_what_is_named_changes_and_the_original_never_does(kind: str) -> None:
    table = spoken()
    before = {name: s.digest() for name, s in table.sequences.items()}
    broken = BREAKS[kind](table)
    assert {name: s.digest() for name, s in table.sequences.items()} == before
    assert broken.scores is table.scores
    assert broken.ids == table.ids
    changed = {name for name, s in broken.sequences.items() if s.digest() != before[name]}
    assert changed == CHANGED[kind]
    assert all(s.values.dtype == np.float32 for s in broken.sequences.values())
    assert (broken.tokens is table.tokens) == ("text" not in CHANGED[kind])
    if kind not in ("removal", "shuffle"):
        for name, lengths in table.lengths.items():
            np.testing.assert_array_equal(broken.lengths[name], lengths)
            assert broken.sequences[name].padded_length == table.sequences[name].padded_length


@pytest.mark.parametrize("kind", BREAKS)
def test_the_same_seed_breaks_the_same(kind: str) -> None:
    digests = [
        {name: s.digest() for name, s in BREAKS[kind](spoken()).sequences.items()} for _ in range(2)
    ]
    assert digests[0] == digests[1]


# --------------------------------------------------------------------------------- lost frames


def mmsa(mask: NDArray[np.bool_], rate: float, seed: int) -> NDArray[np.bool_]:
    """The framework's mask, from its description: (N, L) drawn at once after seeding."""
    return (np.random.RandomState(seed).uniform(size=mask.shape) > rate) & mask


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", [1111, 1113])
def test_the_field_loses_the_same_frames(rate: float, seed: int) -> None:
    table = spoken(rows=30, longest=8)
    broken = lose_frames(table, ["text", "audio"], rate, seed, unknown=UNKNOWN)
    for name in ("text", "audio"):
        sequence = table.sequences[name]
        padded = sequence.padded()
        mask = np.arange(padded.shape[1]) < sequence.lengths[:, None]
        kept = mmsa(mask, rate, seed)
        np.testing.assert_array_equal(broken.sequences[name].padded(), padded * kept[..., None])
    tokens, found = table.tokens, broken.tokens
    assert tokens is not None
    assert found is not None
    padded, lengths = tokens.padded(), tokens.lengths
    mask = np.arange(padded.shape[1]) < lengths[:, None]
    kept = mmsa(mask, rate, seed)
    some = np.flatnonzero(lengths)
    kept[some, 0] = kept[some, lengths[some] - 1] = True
    np.testing.assert_array_equal(found.padded(), padded * kept + UNKNOWN * (mask & ~kept))


def test_at_rate_1_only_the_outline_is_left() -> None:
    table = spoken()
    broken = lose_frames(table, ["text", "audio", "vision"], 1.0, 1)
    assert not any(s.values.any() for s in broken.sequences.values())
    assert broken.raw_text == ("",) * len(table)
    tokens, found = table.tokens, broken.tokens
    assert tokens is not None
    assert found is not None
    some = tokens.lengths > 0
    kept = np.union1d(tokens.offsets[:-1][some], tokens.offsets[1:][some] - 1)
    np.testing.assert_array_equal(np.flatnonzero(found.values != UNKNOWN), kept)


def test_lost_words_are_left_out_and_the_rest_stays_in_order() -> None:
    broken = lose_frames(spoken(rows=200), ["text"], 0.3, 1111).raw_text
    assert broken is not None
    lost = 0
    for before, after in zip(spoken(rows=200).raw_text or (), broken, strict=True):
        rest = iter(before.split())
        assert all(word in rest for word in after.split())
        lost += len(before.split()) - len(after.split())
    whole = sum(len(w.split()) for w in spoken(rows=200).raw_text or ())
    assert abs(lost / whole - 0.3) < 0.05


def test_words_without_spaces_are_characters() -> None:
    table = replace(spoken(4), raw_text=("我很高兴", "他不 好", "不好", "好"))
    broken = lose_frames(table, ["text"], 0.4, 3).raw_text
    assert broken is not None
    assert broken != table.raw_text
    assert all(
        set(after) <= set(before)
        for before, after in zip(table.raw_text or (), broken, strict=True)
    )
    assert lose_frames(table, ["text"], 0.0, 3).raw_text == ("我很高兴", "他不好", "不好", "好")


def test_a_modality_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match=r"split 'test': modality 'gaze' not found"):
        remove(spoken(), ["gaze"])


def test_removed_is_absent_in_every_form() -> None:
    table = remove(spoken(), ["text"])
    assert not table.lengths["text"].any()
    assert table.tokens is None
    assert table.raw_text is None


# --------------------------------------------------------------------------------- noise


def test_the_variance_is_that_of_each_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tricord.data.mapped.BLOCK_BYTES", 100)
    values = np.random.default_rng(1).normal(1e3, [1, 2, 0], (500, 3)).astype(np.float32)
    sequence = Ragged(values, np.array([0, 500]), 500)
    np.testing.assert_allclose(variance(sequence), values.astype(float).var(axis=0), rtol=1e-9)
    empty = Ragged(values[:0], np.array([0, 0]), 500)
    np.testing.assert_array_equal(variance(empty), [0, 0, 0])


@pytest.mark.parametrize("snr", [20.0, 0.0, -5.0])
def test_the_noise_has_the_power_that_its_ratio_says(snr: float) -> None:
    scale = np.array([0.1, 5.0, 0.0])
    values = np.random.default_rng(1).normal(7, scale, (20_000, 3)).astype(np.float32)
    sequence = Ragged(values, np.array([0, 20_000]), 20_000)
    table = FeatureTable("test", ("a",), {"audio": sequence}, np.zeros((1, 2)))
    power = variance(sequence)
    noise = add_noise(table, "audio", snr, power, 3).sequences["audio"].values - values
    found = 10 * np.log10(power[:2] / noise[:, :2].astype(float).var(axis=0))
    np.testing.assert_allclose(found, snr, atol=0.1)
    assert not noise[:, 2].any()
    assert abs(np.corrcoef(noise[:, 0], values[:, 0])[0, 1]) < 0.05
    assert add_noise(table, "audio", np.inf, power, 3) is table


# --------------------------------------------------------------------------------- order


def test_a_shift_turns_each_clip_round() -> None:
    values = np.arange(9, dtype=np.float32)[:, None]
    sequence = Ragged(values, np.array([0, 4, 4, 5, 9]), 4)
    table = FeatureTable("test", tuple("abcd"), {"audio": sequence}, np.zeros((4, 2)))
    found = shift(table, "audio", 0.25).sequences["audio"].values[:, 0]
    np.testing.assert_array_equal(found, [3, 0, 1, 2, 4, 8, 5, 6, 7])
    for share in (0.0, 1.0):
        np.testing.assert_array_equal(
            shift(table, "audio", share).sequences["audio"].values, values
        )


@pytest.mark.parametrize("rows", [2, 3, 40])
def test_no_clip_keeps_its_own_and_none_is_used_twice(rows: int) -> None:
    values = np.arange(rows, dtype=np.float32)[:, None]
    sequence = Ragged(values, np.arange(rows + 1), 1)
    tokens = Ragged(np.arange(rows), np.arange(rows + 1), 1)
    words = tuple(str(i) for i in range(rows))
    table = FeatureTable("test", words, {"text": sequence}, np.zeros((rows, 2)), tokens, words)
    found = shuffle(table, "text", 5)
    moved = found.sequences["text"].values[:, 0]
    assert sorted(moved) == list(range(rows))
    assert not (moved == values[:, 0]).any()
    assert found.tokens is not None
    np.testing.assert_array_equal(found.tokens.values, moved)
    assert found.raw_text == tuple(str(int(i)) for i in moved)


def test_one_clip_has_no_other() -> None:
    with pytest.raises(DataError, match="one clip found, two expected to exchange 'audio'"):
        shuffle(tiny_data.table("test", 1), "audio", 1)
