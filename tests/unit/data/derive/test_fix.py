"""Every rule on clips made to break it; what it changes, and that it says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import tiny_data
from tricord.data.admit import admit
from tricord.data.derive.fix import Rules, fix, labels_beyond
from tricord.data.derive.fix_frames import (
    column_means,
    drop_dead_columns,
    replace_nonfinite,
    trim_zero_frames,
)
from tricord.data.derive.fix_log import Change, as_json, summary
from tricord.data.derive.fix_rows import (
    drop_absent,
    drop_equal_clips,
    drop_overlap,
    drop_repeated_ids,
)
from tricord.data.gather import deferred
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.errors import DataError

NAN, INF = float("nan"), float("inf")


def audio(*clips: Sequence[Sequence[float]]) -> Ragged:
    """Each clip a list of frames of two numbers."""
    frames = [frame for clip in clips for frame in clip]
    values = np.array(frames, np.float32).reshape(-1, 2)
    return Ragged(values, np.concatenate([[0], np.cumsum([len(c) for c in clips])]), 5)


def table(name: str, ids: Sequence[str], sequence: Ragged | None = None) -> FeatureTable:
    made = tiny_data.table(name, len(ids), widths={"audio": 2}, seed=sum(map(ord, "".join(ids))))
    made = replace(made, ids=tuple(ids))
    return made if sequence is None else replace(made, sequences={"audio": sequence})


def data(**tables: FeatureTable) -> Dataset:
    return Dataset(tables, "raw.pkl")


def ids(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {name: table.ids for name, table in dataset.splits.items()}


def frames(dataset: Dataset, split: str = "train") -> list[list[list[float]]]:
    ragged = dataset[split].sequences["audio"]
    return [part.tolist() for part in np.split(ragged.values, ragged.offsets[1:-1])]


CLEAN = data(train=table("train", ["a$_$1", "a$_$2"]), test=table("test", ["b$_$1", "b$_$2"]))


def test_clean_data_stay_as_they_are() -> None:
    for before in (CLEAN, deferred(CLEAN)):
        after, changes = fix(before)
        assert changes == []
        assert after.fingerprint() == CLEAN.fingerprint()
        assert after.notices == ()


# --------------------------------------------------------------------------------- clips


def test_a_repeated_id_stays_once_where_all_is_equal() -> None:
    made = table("train", ["a", "b", "c"])
    rows = np.array([0, 1, 0, 2, 0])
    after, changes = drop_repeated_ids(data(train=made.take(rows)))
    assert ids(after) == {"train": ("a", "b", "c")}
    assert after.fingerprint() == data(train=made).fingerprint()
    assert changes == [Change("repeated-id", "train", "id", "dropped", 2, "clips", ("a", "a"))]
    assert changes[0].line() == "train: id: 2 clips dropped (repeated-id): 'a', 'a'"


@pytest.mark.parametrize("what", ["frames", "length", "label", "word", "text", "token"])
def test_a_repeated_id_with_other_content_needs_a_decision(what: str) -> None:
    one = [[1, 2], [3, 4]]
    made = replace(
        table("train", ["a", "b", "a"], audio(one, [[5, 5]], one)),
        raw_text=("x", "y", "x"),
        label_names=("p", "q", "p"),
        tokens=Ragged(np.array([7, 8, 7]), np.arange(4), 2),
    )
    scores = made.scores.copy()
    scores[2] = scores[0]
    made = replace(made, scores=scores)
    same, changes = drop_repeated_ids(data(train=made))
    assert len(changes) == 1
    differing = {
        "frames": {"sequences": {"audio": audio(one, [[5, 5]], [[1, 2], [3, 5]])}},
        "length": {"sequences": {"audio": audio(one, [[5, 5]], [[1, 2]])}},
        "label": {"scores": scores + np.array([[0], [0], [0.2]])},
        "word": {"label_names": ("p", "q", "q")},
        "text": {"raw_text": ("x", "y", "z")},
        "token": {"tokens": Ragged(np.array([7, 8, 9]), np.arange(4), 2)},
    }
    other = data(train=replace(made, **differing[what]))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"raw\.pkl: split 'train'.*1 ids .*'a'.*--keep-first"):
        drop_repeated_ids(other)
    kept, _ = drop_repeated_ids(other, keep_first=True)
    assert kept.fingerprint() == same.fingerprint()


def test_a_clip_in_two_splits_leaves_the_side_of_training() -> None:
    before = data(
        train=table("train", ["v$_$1", "w$_$2", "x$_$3", "y$_$4"]),
        valid=table("valid", ["w$_$2", "x$_$3", "z$_$5"]),
        test=table("test", ["x$_$3", "y$_$9", "z$_$6"]),
    )
    after, changes = drop_overlap(before)
    assert ids(after) == {
        "train": ("v$_$1", "y$_$4"),
        "valid": ("w$_$2", "z$_$5"),
        "test": ("x$_$3", "y$_$9", "z$_$6"),
    }
    assert [(c.split, c.ids) for c in changes] == [
        ("train", ("w$_$2", "x$_$3")),
        ("valid", ("x$_$3",)),
    ]
    by_video, changes = drop_overlap(before, "video")
    assert ids(by_video) == {
        "train": ("v$_$1",),
        "valid": ("w$_$2",),
        "test": ("x$_$3", "y$_$9", "z$_$6"),
    }
    assert {c.rule for c in changes} == {"shared-video"}


def test_equal_clips_under_other_ids_stay_where_they_judge() -> None:
    one, two, three = [[1, 2]], [[3, 4], [5, 6]], [[7, 8]]
    before = data(
        train=table("train", ["a", "b", "c", "d", "e"], audio(one, two, two, [], [[9, 9]])),
        test=table("test", ["f", "g", "h"], audio(three, one, [])),
    )
    after, changes = drop_equal_clips(before)
    assert ids(after) == {"train": ("b", "d", "e"), "test": ("f", "g", "h")}
    assert [(c.split, c.ids) for c in changes] == [("train", ("a", "c"))]


def test_equal_words_are_no_equal_clips() -> None:
    said, rest = audio([[1, 2]], [[1, 2]], [[1, 2]], [[1, 2]]), audio([[5, 6]], [], [[0, 0]], [])
    made = replace(
        table("train", ["a", "b", "c", "d"]),
        sequences={"text": said, "audio": rest},
        scores=np.zeros((4, 3)),
    )
    assert drop_equal_clips(data(train=made))[1] == []
    heard = replace(made, sequences={"text": said, "audio": audio(*[[[5, 6]]] * 4)})
    assert drop_equal_clips(data(train=heard))[1][0].ids == ("b", "c", "d")
    alone = replace(made, sequences={"text": said}, scores=np.zeros((4, 2)))
    assert drop_equal_clips(data(train=alone))[1] == []


def test_the_ends_of_clips_count_when_they_are_compared() -> None:
    left = data(
        train=replace(
            table("train", ["a", "b"], audio([[1, 2]], [[1, 2], [3, 4]])),
            sequences={
                "audio": audio([[1, 2]], [[1, 2], [3, 4]]),
                "vision": audio([[3, 4], [5, 6]], [[5, 6]]),
            },
            scores=np.zeros((2, 3)),
        )
    )
    assert drop_equal_clips(left)[1] == []


def test_clips_without_a_modality() -> None:
    before = data(train=table("train", ["a", "b", "c"], audio([[1, 2]], [], [[0, 0]])))
    after, changes = drop_absent(before)
    assert ids(after) == {"train": ("a", "c")}
    assert changes[0].ids == ("b",)
    nothing = data(train=table("train", ["a"], audio([])))
    with pytest.raises(DataError, match="'absent-modality' would drop all of its 1 clips"):
        drop_absent(nothing)


# --------------------------------------------------------------------------------- frames


def broken() -> Dataset:
    return data(
        train=table("train", ["a", "b"], audio([[1, NAN], [-INF, 4]], [[NAN, 6], [3, -INF]])),
        test=table("test", ["c"], audio([[INF, 8]])),
    )


def test_cells_that_are_not_finite_become_0_and_are_counted() -> None:
    for before in (broken(), deferred(broken())):
        after, changes = replace_nonfinite(before)
        assert frames(after) == [[[1, 0], [0, 4]], [[0, 6], [3, 0]]]
        assert frames(after, "test") == [[[0, 8]]]
        found = {(c.split, c.column, c.before): (c.count, c.after, c.ids) for c in changes}
        assert found == {
            ("train", 0, "-inf"): (1, 0, ("a",)),
            ("train", 0, "NaN"): (1, 0, ("b",)),
            ("train", 1, "-inf"): (1, 0, ("b",)),
            ("train", 1, "NaN"): (1, 0, ("a",)),
            ("test", 0, "+inf"): (1, 0, ("c",)),
        }
        assert changes[0].line() == "train: audio, column 0: 1 cells -inf -> 0 (nonfinite)"
        assert summary(changes)[0] == "train: audio: 4 cells changed (nonfinite)"


def test_the_mean_of_train_fills_test_too() -> None:
    assert column_means(broken(), "audio").tolist() == [2, 5]
    after, changes = replace_nonfinite(broken(), "column-mean")
    assert frames(after) == [[[1, 5], [2, 4]], [[2, 6], [3, 5]]]
    assert frames(after, "test") == [[[2, 8]]]
    assert {c.after for c in changes} == {2, 5}


def test_a_modality_without_any_number_is_left_and_refused_later() -> None:
    before = data(train=table("train", ["a"], audio([[NAN, INF]])))
    after, changes = replace_nonfinite(before)
    assert changes == []
    with pytest.raises(DataError, match="every cell is NaN or infinite"):
        admit(after)


def test_padding_that_counts_as_frames_is_cut() -> None:
    before = data(
        train=table(
            "train",
            ["a", "b", "c", "d"],
            audio([[0, 0], [1, 2], [0, 0], [0, 0]], [[3, 4]], [[0, 0], [0, 0]], []),
        )
    )
    for raw in (before, deferred(before)):
        after, changes = trim_zero_frames(raw)
        assert frames(after) == [[[0, 0], [1, 2]], [[3, 4]], [[0, 0], [0, 0]], []]
        assert after["train"].lengths["audio"].tolist() == [2, 1, 2, 0]
        assert [(c.rule, c.action, c.count, c.unit, c.ids) for c in changes] == [
            ("all-zero", "reported", 1, "clips", ("c",)),
            ("zero-padding", "changed", 2, "frames", ("a",)),
        ]
        after, changes = trim_zero_frames(raw, absent=True)
        assert frames(after) == [[[0, 0], [1, 2]], [[3, 4]], [], []]
        assert after["train"].lengths["audio"].tolist() == [2, 1, 0, 0]
        assert [c.action for c in changes] == ["changed", "changed"]
        after, changes = trim_zero_frames(raw, trim=False, absent=True)
        assert after["train"].lengths["audio"].tolist() == [4, 1, 0, 0]
        assert [c.rule for c in changes] == ["all-zero"]


def test_text_under_its_mask_is_not_cut() -> None:
    made = tiny_data.table("train", 1, widths={"text": 2})
    text = audio([[1, 2], [0, 0]])
    for tokens, kept in ((2, 2), (1, 1)):
        masked = replace(
            made,
            sequences={"text": text},
            tokens=Ragged(np.arange(tokens), np.array([0, tokens]), 5),
        )
        after, _ = trim_zero_frames(data(train=masked))
        assert after["train"].lengths["text"].tolist() == [kept]


def test_dead_columns_are_judged_on_train() -> None:
    before = data(
        train=table("train", ["a", "b"], audio([[1, 7], [2, 7]], [[3, 7]])),
        test=table("test", ["c"], audio([[4, 8], [4, 9]])),
    )
    for raw in (before, deferred(before)):
        after, changes = drop_dead_columns(raw)
        assert after.widths == {"audio": 1}
        assert frames(after) == [[[1], [2]], [[3]]]
        assert frames(after, "test") == [[[4], [4]]]
        assert [(c.column, c.before, c.action) for c in changes] == [(1, 7.0, "dropped")]
    still = data(train=table("train", ["a"], audio([[1, 2], [1, 2]])))
    after, changes = drop_dead_columns(still)
    assert after.widths == {"audio": 2}
    assert {c.action for c in changes} == {"reported"}


# --------------------------------------------------------------------------------- all together


def test_labels_out_of_range_are_reported_and_never_changed() -> None:
    scores = np.array([[-1.2, 0.5], [3.4, NAN], [1.0, -9.0]])
    before = data(train=replace(table("train", ["a", "b", "c"]), scores=scores))
    after, changes = fix(before, Rules(label_range=(-1, 1)))
    np.testing.assert_array_equal(after["train"].scores, scores)
    assert [(c.key, c.count, c.ids, c.before, c.action) for c in changes] == [
        ("regression_labels", 2, ("a", "b"), -1.2, "reported"),
        ("regression_labels_A", 1, ("c",), -9.0, "reported"),
    ]
    assert "train: regression_labels: 2 labels -1.2 reported (label-range)" in changes[0].line()
    classes = np.array([[5.0, NAN], [0, NAN], [6, NAN]])
    assert labels_beyond(data(train=replace(before["train"], scores=classes)), -3, 3) == []


def everything_wrong() -> Dataset:
    first = audio([[1, NAN], [0, 0]], [[2, 5]], [[2, 5]], [[3, 5]], [[9, 5]])
    train = table("train", ["a", "b", "b", "c", "d"], first)
    scores = train.scores.copy()
    scores[2] = scores[1]
    return data(
        train=replace(train, scores=scores),
        test=table("test", ["c", "e"], audio([[3, 5], [-INF, 5]], [[2, 5]])),
    )


def test_what_was_wrong_is_fit_for_use_and_each_rule_says_its_part() -> None:
    with pytest.raises(DataError):
        admit(everything_wrong())
    after, changes = fix(deferred(everything_wrong()))
    admit(after)
    assert ids(after) == {"train": ("a", "b", "d"), "test": ("c", "e")}
    assert frames(after) == [[[1, 0]], [[2, 5]], [[9, 5]]]
    assert {c.rule for c in changes} == {"repeated-id", "shared-clip", "nonfinite", "zero-padding"}
    assert list(after.notices) == list(summary(changes))
    assert json.loads(json.dumps(as_json(changes)))[0] == {
        "rule": "repeated-id",
        "split": "train",
        "key": "id",
        "action": "dropped",
        "count": 1,
        "unit": "clips",
        "ids": ["b"],
    }
    again, more = fix(after)
    assert more == []
    assert again.fingerprint() == after.fingerprint()


def test_every_option() -> None:
    rules = Rules(
        fill="column-mean",
        overlap="video",
        equal_clips=True,
        dead_columns=True,
        zero_is_absent=True,
        absent=True,
    )
    before = everything_wrong()
    train = before["train"]
    whole = {"audio": audio([[1, 5], [0, 0]], [[2, 5]], [[2, 5]], [[3, 5]], [[9, 5]])}
    splits = {**before.splits, "train": replace(train, sequences=whole)}
    after, changes = fix(replace(before, splits=splits), rules)
    assert ids(after) == {"train": ("a", "d"), "test": ("c", "e")}
    assert after.widths == {"audio": 1}
    assert {c.rule for c in changes} >= {"equal-clip", "dead-column"}


def test_a_log_names_every_clip_in_which_a_cell_changed() -> None:
    many = audio(*([[[NAN, float(i)]] for i in range(50)]))
    _, changes = replace_nonfinite(data(train=table("train", [f"c{i}" for i in range(50)], many)))
    (change,) = changes
    assert (change.count, change.ids) == (50, tuple(f"c{i}" for i in range(50)))
