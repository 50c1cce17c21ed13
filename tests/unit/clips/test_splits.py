from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tricord.clips.clip import Clip
from tricord.clips.listing import ClipTable
from tricord.clips.splits import take, with_splits
from tricord.data.readers.label_table import LabelTable
from tricord.errors import ConfigError, DataError


def clip_table(
    videos: int, per_video: int, speakers: int | None = None, modes: tuple[str, ...] | None = None
) -> ClipTable:
    count = videos * per_video
    names = tuple(f"v{i // per_video}" for i in range(count))
    numbers = tuple(str(i % per_video) for i in range(count))
    scores = np.tile(np.resize([-1.0, 1.0], count)[:, None], 4)
    table = LabelTable("label.csv", names, numbers, scores, modes=modes, lines=tuple(range(count)))
    groups = None if speakers is None else tuple(f"s{int(n[1:]) % speakers}" for n in names)
    clips = tuple(Clip(i, Path(f"{i}.mp4")) for i in table.ids)
    return ClipTable(clips, table, groups, (), np.ones(count, dtype=np.bool_), ())


def crossing(groups: tuple[str, ...], modes: tuple[str, ...] | None) -> list[str]:
    """Groups that are in two splits."""
    assert modes is not None
    pairs = set(zip(groups, modes, strict=True))
    return [group for group in set(groups) if sum(g == group for g, _ in pairs) > 1]


def test_no_speaker_is_in_two_splits() -> None:
    clips = clip_table(12, 5, speakers=6)
    table, notes = with_splits(clips)
    assert clips.groups is not None
    assert not crossing(clips.groups, table.modes)
    assert set(table.modes or ()) == {"train", "valid", "test"}
    assert "no speaker is in two splits" in notes[-1]


def test_without_speakers_no_video_is_in_two_splits() -> None:
    clips = clip_table(10, 4)
    table, [note] = with_splits(clips)
    assert not crossing(clips.table.videos, table.modes)
    assert "no video is in two splits" in note


def test_two_speakers_are_too_few_and_it_is_said() -> None:
    clips = clip_table(10, 4, speakers=2)
    table, notes = with_splits(clips)
    assert not crossing(clips.table.videos, table.modes)
    assert "only 2 speakers" in notes[0]


def test_the_same_clips_are_split_alike_in_any_order() -> None:
    one = with_splits(clip_table(9, 3))[0]
    shuffled = clip_table(9, 3)
    order = np.random.default_rng(0).permutation(27).tolist()
    table = take(shuffled.table, order)
    other = with_splits(
        ClipTable(tuple(shuffled.clips[i] for i in order), table, None, (), shuffled.labelled, ())
    )[0]
    assert dict(zip(one.ids, one.modes or (), strict=True)) == dict(
        zip(other.ids, other.modes or (), strict=True)
    )


def test_labels_that_train_or_valid_lack_are_said() -> None:
    said = {"s0": 8 * "a" + 3 * "c", "s1": "aacccff", "s2": 4 * "a" + 6 * "c", "s3": "aaacc"}
    words = tuple("".join(said.values()))
    speakers = tuple(name for name, labels in said.items() for _ in labels)
    clips = clip_table(len(words), 1)
    table = replace(clips.table, scores=np.full((len(words), 4), np.nan), words=words)
    made, notes = with_splits(replace(clips, table=table, groups=speakers))
    fear = [mode for mode, word in zip(made.modes or (), words, strict=True) if word == "f"]
    assert fear == ["train", "train"]
    assert [line for line in notes if line.startswith("label:")] == [
        "label: valid has no clip of 'f', so that no epoch is chosen by it"
    ]
    three = replace(clips, table=table, groups=tuple(s.replace("s3", "s0") for s in speakers))
    told = "label: train has no clip of 'f', so that it cannot be learned"
    assert told in "".join(with_splits(three)[1])


def test_modes_that_are_there_stay() -> None:
    clips = clip_table(3, 1, modes=("train", "valid", "test"))
    assert with_splits(clips) == (clips.table, ())


def test_unlabelled_clips_stay_so() -> None:
    modes = ("unlabelled",) * 3 + ("all",) * 9
    table, _ = with_splits(clip_table(4, 3, modes=modes))
    assert table.modes is not None
    assert table.modes[:3] == ("unlabelled",) * 3
    assert set(table.modes[3:]) == {"train", "valid", "test"}


def test_two_videos_are_too_few() -> None:
    with pytest.raises(DataError, match=r"label\.csv: 2 videos found, expected 3 or more"):
        with_splits(clip_table(2, 5))


def test_shares_are_checked() -> None:
    with pytest.raises(ConfigError, match="three positive numbers"):
        with_splits(clip_table(4, 3), (0.5, 0.5))
