"""Absent and blank clips, padding taken for frames, cuts, rows that do not belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

import checked_data
from checked_data import everywhere, found, with_values
from tricord.data.check import Severity
from tricord.data.schema import Dataset, FeatureTable, Ragged


def with_sequence(table: FeatureTable, modality: str, sequence: Ragged) -> FeatureTable:
    return replace(table, sequences={**table.sequences, modality: sequence})


def repadded(modality: str, change: Callable[[Ragged], Ragged]) -> Dataset:
    return everywhere(
        checked_data.clean(), lambda t: with_sequence(t, modality, change(t.sequences[modality]))
    )


def without_clips(share: float) -> Callable[[Ragged], Ragged]:
    def cut(old: Ragged) -> Ragged:
        lengths = np.where(np.arange(len(old)) < share * len(old), 0, old.lengths)
        return Ragged.from_padded(old.padded(), lengths)

    return cut


def test_few_absent_clips_are_a_note_many_a_warning() -> None:
    few = found(repadded("audio", without_clips(0.02)))["absent"]
    assert few.severity is Severity.NOTE
    assert few.where.ids[0] == "train_video_0$_$0"
    assert "length 0 in 12 of 600 clips" in few.found
    assert found(repadded("audio", without_clips(0.1)))["absent"].severity is Severity.WARNING


def test_clips_of_zeros_only() -> None:
    clean = checked_data.clean()

    def blank(values: np.ndarray) -> None:
        values[: clean.splits["test"].sequences["vision"].lengths[0]] = 0

    broken = checked_data.with_split(
        clean,
        "test",
        sequences=with_values(clean.splits["test"], "vision", blank).sequences,
    )
    rules = found(broken)
    assert set(rules) == {"blank"}
    assert rules["blank"].where.ids == ("test_video_0$_$0",)


def test_padding_read_as_frames() -> None:
    def full(old: Ragged) -> Ragged:
        return Ragged.from_padded(old.padded(), np.full(len(old), old.padded_length))

    rules = found(repadded("audio", full))
    assert set(rules) == {"lengths-unused"}
    assert "all lengths are 400" in rules["lengths-unused"].found


def test_lengths_that_are_a_little_too_long() -> None:
    def longer(old: Ragged) -> Ragged:
        return Ragged.from_padded(old.padded(), np.minimum(old.lengths + 3, old.padded_length))

    finding = found(repadded("vision", longer))["trailing-zeros"]
    assert finding.severity is Severity.WARNING
    assert "3 of them at the median" in finding.found


def test_one_silent_end_is_a_note() -> None:
    clean = checked_data.clean()
    last = clean.splits["test"].sequences["audio"].offsets[1] - 1

    def silence(values: np.ndarray) -> None:
        values[last] = 0

    table = with_values(clean.splits["test"], "audio", silence)
    finding = found(Dataset({**clean.splits, "test": table}, source="x"))["trailing-zeros"]
    assert finding.severity is Severity.NOTE


def test_padding_at_the_front() -> None:
    def reverse(old: Ragged) -> Ragged:
        return Ragged.from_padded(old.padded()[:, ::-1], np.full(len(old), old.padded_length))

    rules = found(repadded("audio", reverse))
    assert set(rules) == {"front-padding"}


def test_many_clips_that_fill_the_padding_are_cut() -> None:
    def cut(old: Ragged) -> Ragged:
        most = int(np.quantile(old.lengths, 0.8))
        return Ragged.from_padded(old.padded()[:, :most], np.minimum(old.lengths, most))

    rules = found(repadded("vision", cut))
    assert set(rules) == {"cut"}
    assert rules["cut"].severity is Severity.NOTE


def test_few_clips_that_fill_the_padding_are_usual() -> None:
    def cut(old: Ragged) -> Ragged:
        most = int(np.quantile(old.lengths, 0.97))
        return Ragged.from_padded(old.padded()[:, :most], np.minimum(old.lengths, most))

    assert not found(repadded("vision", cut))


def test_rows_in_another_order_are_suspicious() -> None:
    order = np.random.default_rng(0)
    rules = found(repadded("audio", lambda old: old.take(order.permutation(len(old)))))
    assert "unpaired" in rules
    assert "audio" in rules["unpaired"].found
    assert "id" in rules["unpaired"].do


def test_utterance_vectors_have_no_lengths_to_judge() -> None:
    def first_frame(old: Ragged) -> Ragged:
        return Ragged.from_padded(old.padded()[:, :1], np.ones(len(old), dtype=np.int64))

    dataset = checked_data.clean()
    for modality in dataset.modalities:
        dataset = everywhere(
            dataset,
            lambda t, m=modality: with_sequence(t, m, first_frame(t.sequences[m])),  # type: ignore[misc]
        )
    assert not set(found(dataset)) & {"unpaired", "cut", "lengths-unused", "trailing-zeros"}


def test_silent_beginnings_are_no_padding() -> None:
    clean = checked_data.clean()
    for modality in ("text", "vision"):
        begins = {n: t.sequences[modality].offsets[:-1] for n, t in clean.splits.items()}
        silent = everywhere(
            clean,
            lambda t, m=modality, b=begins: with_values(  # type: ignore[misc]
                t, m, lambda v: v.__setitem__(b[t.name], 0)
            ),
        )
        assert not found(silent)


def test_words_without_a_vector_are_no_lost_face() -> None:
    clean = checked_data.clean()
    ends = {n: t.sequences["text"].offsets[1:] - 1 for n, t in clean.splits.items()}
    silent = everywhere(
        clean, lambda t: with_values(t, "text", lambda v: v.__setitem__(ends[t.name], 0))
    )
    finding = found(silent)["trailing-zeros"]
    assert "'sp'" in finding.means
    assert "face" not in finding.means
