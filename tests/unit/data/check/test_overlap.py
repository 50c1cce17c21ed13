"""Ids, clips, videos and groups that occur more than once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import checked_data
from checked_data import found, with_split
from tricord.data.check import Severity
from tricord.data.schema import UNSPLIT, Dataset, FeatureTable, Ragged


def copied(
    to: FeatureTable, row: int, of: FeatureTable, source: int, modalities: tuple[str, ...]
) -> FeatureTable:
    """The split ``to``, one clip's frames taken from another clip."""
    sequences = dict(to.sequences)
    for modality in modalities:
        both = [to.sequences[modality].padded(), of.sequences[modality].padded()[[source]]]
        lengths = to.sequences[modality].lengths.copy()
        both[0][row], lengths[row] = both[1][0], of.sequences[modality].lengths[source]
        sequences[modality] = type(to.sequences[modality]).from_padded(both[0], lengths)
    return replace(to, sequences=sequences)


ALL = ("text", "audio", "vision")


def test_ids_twice_in_a_split() -> None:
    clean = checked_data.clean()
    ids = clean.splits["train"].ids
    rules = found(with_split(clean, "train", ids=(ids[1], *ids[1:])))
    assert rules["id-duplicate"].severity is Severity.ERROR
    assert rules["id-duplicate"].where.ids == (ids[1],)
    assert set(rules) == {"id-duplicate"}


def test_ids_in_two_splits() -> None:
    clean = checked_data.clean()
    ids = clean.splits["test"].ids
    rules = found(with_split(clean, "test", ids=(clean.splits["train"].ids[4], *ids[1:])))
    assert rules["id-shared"].severity is Severity.ERROR
    assert rules["id-shared"].where.splits == ("train", "test")
    assert set(rules) == {"id-shared", "video-overlap"}


def test_the_same_clip_twice_in_a_split() -> None:
    clean = checked_data.clean()
    train = clean.splits["train"]
    broken = with_split(clean, "train", sequences=copied(train, 5, train, 0, ALL).sequences)
    rules = found(broken)
    assert set(rules) == {"clip-duplicate"}
    assert rules["clip-duplicate"].severity is Severity.WARNING
    assert set(rules["clip-duplicate"].where.ids) == {train.ids[0], train.ids[5]}


def test_the_same_clip_in_two_splits_is_a_leak() -> None:
    clean = checked_data.clean()
    train, test = clean.splits["train"], clean.splits["test"]
    rules = found(with_split(clean, "test", sequences=copied(test, 2, train, 9, ALL).sequences))
    assert set(rules) == {"clip-leak"}
    assert rules["clip-leak"].severity is Severity.ERROR


def test_one_modality_that_is_the_same() -> None:
    clean = checked_data.clean()
    train = clean.splits["train"]
    copy = copied(train, 5, train, 0, ("audio",))
    rules = found(with_split(clean, "train", sequences=copy.sequences))
    assert set(rules) == {"sequence-duplicate"}
    assert rules["sequence-duplicate"].where.modality == "audio"
    assert "2 of 600 clips" in rules["sequence-duplicate"].found


def test_the_same_words_are_no_duplicate_of_a_clip() -> None:
    clean = checked_data.clean()
    train = clean.splits["train"]
    copy = copied(train, 5, train, 0, ("text",))
    assert not found(with_split(clean, "train", sequences=copy.sequences))


def test_labels_of_a_duplicate_that_differ_are_counted() -> None:
    clean = checked_data.clean()
    train = copied(clean.splits["train"], 5, clean.splits["train"], 0, ALL)
    scores = train.scores.copy()
    scores[[0, 5], 0] = -1, 1
    broken = with_split(clean, "train", sequences=train.sequences, scores=scores, label_names=None)
    assert "1 with labels that differ" in found(broken)["clip-duplicate"].found


def test_videos_in_two_splits() -> None:
    clean = checked_data.clean()
    ids = ("train_video_1$_$new", *clean.splits["test"].ids[1:])
    rules = found(with_split(clean, "test", ids=ids))
    assert set(rules) == {"video-overlap"}
    assert rules["video-overlap"].severity is Severity.WARNING
    assert rules["video-overlap"].where.ids == ("train_video_1",)


def test_ids_without_videos_say_nothing_of_videos() -> None:
    clean = checked_data.clean()
    for name, table in clean.splits.items():
        clean = with_split(clean, name, ids=tuple(i.replace("$_$", "_") for i in table.ids))
    assert not found(clean)


def test_one_undivided_split_cannot_overlap() -> None:
    table = checked_data.clean().splits["train"]
    assert not found(Dataset({UNSPLIT: replace(table, name=UNSPLIT)}, source="x"))


def test_speakers_that_are_given() -> None:
    clean = checked_data.clean()
    speakers = {str(v): str(v) for t in clean.splits.values() for v in np.unique(t.videos)}
    assert not found(clean, groups=speakers)
    speakers["test_video_3"] = speakers["valid_video_3"] = "Ann"
    rules = found(clean, groups=speakers)
    assert set(rules) == {"group-overlap"}
    assert rules["group-overlap"].where.ids == ("Ann",)
    assert rules["group-overlap"].where.splits == ("valid", "test")


def test_speakers_that_the_source_names() -> None:
    clean = checked_data.clean()
    speakers = {str(v): "Ann" for t in clean.splits.values() for v in np.unique(t.videos)}
    assert set(found(replace(clean, recipe={"speakers": speakers}))) == {"group-overlap"}
    speakers.popitem()  # not of all
    assert not found(replace(clean, recipe={"speakers": speakers}))


def test_the_same_words_and_nothing_else_are_no_leak() -> None:
    clean = checked_data.clean()
    train, test = clean.splits["train"], clean.splits["test"]
    nothing = {
        m: Ragged.from_padded(s.padded(), np.where(np.arange(len(s)) == 2, 0, s.lengths))
        for m, s in test.sequences.items()
    }
    other = {
        m: Ragged.from_padded(s.padded(), np.where(np.arange(len(s)) == 9, 0, s.lengths))
        for m, s in train.sequences.items()
    }
    train = replace(train, sequences={**other, "text": train.sequences["text"]})
    test = replace(test, sequences={**nothing, "text": test.sequences["text"]})
    test = copied(test, 2, train, 9, ("text",))
    broken = Dataset({**clean.splits, "train": train, "test": test}, source="x")
    assert set(found(broken)) == {"absent"}
