"""Retention of consistent clips, and filters that say what they leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_data
from builders import repeatable
from tricord.data.derive.subset import Choice, choose, read_ids, retain_consistent, retained
from tricord.data.gather import deferred
from tricord.data.schema import Dataset, FeatureTable
from tricord.data.splits import is_consistent
from tricord.errors import ConfigError, DataError

ROWS = np.array(
    [
        [0.2, 0.2, 0.4, 0.6],
        [-0.2, -0.2, -0.4, -0.6],
        [0.0, 0.0, 0.0, 0.0],
        [0.6, 0.2, 0.2, 0.2],
        [0.2, -0.2, 0.4, 0.6],
        [0.0, 0.0, 0.2, 0.0],
        [-1.0, 0.2, 0.2, 0.2],
        [1.0, 1.0, np.nan, 1.0],
    ]
)
CONSISTENT = {0, 1, 2, 3}


def table(scores: np.ndarray = ROWS, **options: object) -> FeatureTable:
    return replace(tiny_data.table("train", len(scores)), scores=scores, **options)


def data(**options: object) -> Dataset:
    return Dataset({"train": table(**options), "test": tiny_data.table("test", 9)}, "x.pkl")


@pytest.mark.parametrize(
    ("share", "stay"), [(0, 0), (0.1, 0), (0.25, 1), (0.5, 2), (0.6, 2), (0.625, 3), (1, 4)]
)
def test_a_share_of_the_consistent_stays_and_all_others(share: float, stay: int) -> None:
    rows = retain_consistent(table(), share, seed=3)
    assert rows.tolist() == sorted(rows)
    assert set(range(8)) - CONSISTENT <= set(rows.tolist())
    assert len(CONSISTENT & set(rows.tolist())) == stay


@repeatable
@given(st.integers(0, 50), st.floats(0, 1), st.floats(0, 1), st.permutations(range(30)))
def test_retention_is_nested_and_depends_on_ids_and_seed_only(
    seed: int, a: float, b: float, order: list[int]
) -> None:
    made = tiny_data.table("train", 30)
    signs = np.random.default_rng(0).choice([-0.4, 0.4], 30)[:, None]
    odd = np.arange(30) % 3 == 0
    made = replace(
        made, scores=np.hstack([signs, signs, signs, np.where(odd[:, None], -1, 1) * signs])
    )
    few, many = (retain_consistent(made, share, seed) for share in sorted((a, b)))
    assert set(few.tolist()) <= set(many.tolist())
    assert set(np.flatnonzero(~is_consistent(made.scores))) <= set(few.tolist())
    mixed = made.take(np.array(order))
    again = retain_consistent(mixed, min(a, b), seed)
    assert {mixed.ids[row] for row in again} == {made.ids[row] for row in few}


def test_another_seed_keeps_others() -> None:
    made = tiny_data.table("train", 60)
    made = replace(made, scores=np.abs(made.scores) + 0.1)
    first, second = (set(retain_consistent(made, 0.5, seed).tolist()) for seed in (1, 2))
    assert len(first) == len(second) == 30
    assert 5 < len(first & second) < 25


def test_figures_4_and_5_on_the_train_split_of_ch_sims(shared: Path) -> None:
    import csv

    with (shared / "data" / "ch_sims_v1" / "label.csv").open(encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row["mode"] == "train"]
    scores = [[float(row[k]) for k in ("label", "label_T", "label_A", "label_V")] for row in rows]
    made = replace(tiny_data.table("train", len(rows)), scores=np.array(scores))
    kept = [len(retain_consistent(made, share / 5, 1)) for share in range(6)]
    assert kept == [699, 699 + 134, 699 + 268, 699 + 401, 699 + 535, 699 + 669]  # Table I


def test_only_the_named_splits_change_and_what_is_lazy_stays_lazy() -> None:
    before = deferred(data())
    after = retained(before, 0.5, 1)
    assert after["test"] is before["test"]
    assert len(after["train"]) == 6
    assert not isinstance(after["train"].sequences, dict)
    rows = retain_consistent(table(), 0.5, 1)
    expected = Dataset({"train": table().take(rows), "test": data()["test"]}, "x.pkl")
    assert after.fingerprint() == expected.fingerprint()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), 40])
def test_no_share(share: float) -> None:
    with pytest.raises(ConfigError, match=r"expected a number in 0\.\.1"):
        retain_consistent(table(), share, 1)


def test_labels_of_all_modalities_are_needed() -> None:
    unknown = ROWS.copy()
    unknown[:, 2] = np.nan
    with pytest.raises(DataError, match=r"x\.pkl: split 'train': no clip has a label of its own"):
        retained(data(scores=unknown), 0.5, 1)


# --------------------------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("choice", "rows"),
    [
        (Choice(labels=["negative"]), [1, 6]),
        (Choice(labels=["Neutral", " positive "]), [0, 2, 3, 4, 5, 7]),
        (Choice(low=0.2), [0, 3, 4, 7]),
        (Choice(high=0), [1, 2, 5, 6]),
        (Choice(low=-0.2, high=0.2), [0, 1, 2, 4, 5]),
        (Choice(drop_neutral=True), [0, 1, 3, 4, 6, 7]),
        (Choice(only="msc"), [0, 1, 2, 3]),
        (Choice(only="msi"), [4, 5, 6]),
        (Choice(only="msi", drop_neutral=True, low=0), [4]),
        (Choice(ids=["train0$_$1", "train2$_$7"]), [1, 7]),
        (Choice(), list(range(8))),
    ],
)
def test_filters(choice: Choice, rows: list[int]) -> None:
    after = choose(data(), choice, splits=["train"])
    assert after["train"].ids == tuple(data()["train"].ids[row] for row in rows)
    np.testing.assert_array_equal(after["train"].scores, ROWS[rows])
    assert len(after["test"]) == 9


def test_words_of_the_file_come_first() -> None:
    words = ("angry", "calm", "Calm", "sad", "negative", "sad", "angry", "angry")
    after = choose(data(label_names=words), Choice(labels=["calm", "negative"]), splits=["train"])
    assert after["train"].label_names == ("calm", "Calm", "negative")
    with pytest.raises(DataError, match=r"labels \['bored'\] asked for, expected some of \['Calm'"):
        choose(data(label_names=words), Choice(labels=["bored"]), splits=["train"])


def test_a_rare_word_need_not_be_in_each_split() -> None:
    before = data(label_names=("sad", *["calm"] * 6, "Positive"))
    test = replace(before["test"], label_names=("calm",) * 9)
    before = replace(before, splits={**before.splits, "test": test})
    after = choose(before, Choice(labels=["sad", "calm"]))
    assert [len(after[name]) for name in after] == [7, 9]
    with pytest.raises(DataError, match="split 'test': none of its 9 clips is chosen"):
        choose(before, Choice(labels=["positive"]))  # a word here, and not a sign there


def test_unknown_labels_meet_no_bound() -> None:
    scores = ROWS.copy()
    scores[0, 0] = np.nan
    for choice in (Choice(low=-9), Choice(high=9), Choice(drop_neutral=True)):
        assert (
            "train0$_$0" not in choose(data(scores=scores), choice, splits=["train"])["train"].ids
        )


def test_some_clips_by_chance() -> None:
    few, more = (choose(data(), Choice(clips=n), 5) for n in (3, 5))
    for name in ("train", "test"):
        assert len(few[name]) == 3
        assert set(few[name].ids) <= set(more[name].ids)
        order = [data()[name].ids.index(clip) for clip in more[name].ids]
        assert order == sorted(order)
    assert len(choose(data(), Choice(clips=100))["train"]) == 8
    with pytest.raises(ConfigError, match="at least 1"):
        choose(data(), Choice(clips=0))


def test_nothing_left_and_nothing_known() -> None:
    with pytest.raises(DataError, match=r"split 'train': none of its 8 clips is chosen"):
        choose(data(), Choice(low=2))
    with pytest.raises(DataError, match=r"1 of the ids asked for not found, such as 'z'"):
        choose(data(), Choice(ids=["train0$_$1", "z"]))
    with pytest.raises(DataError, match="split 'dev' not found"):
        choose(data(), Choice(), splits=["dev"])


def test_ids_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a$_$1\n\n b$_$2 \na$_$1\n")
    assert read_ids(tmp_path / "a.txt") == ("a$_$1", "b$_$2")
    (tmp_path / "a.csv").write_text("n,id\n1,a$_$1\n2,b\n")
    assert read_ids(tmp_path / "a.csv") == ("a$_$1", "b")
    (tmp_path / "b.csv").write_text("n,name\n1,a\n")
    (tmp_path / "b.txt").write_text("\n")
    (tmp_path / "c.txt").write_bytes(b"\xff")
    for name, message in (
        ("b.csv", "expected 'id' among them"),
        ("b.txt", "no id found"),
        ("c.txt", "no UTF-8 text"),
        ("absent.txt", "cannot be read"),
    ):
        with pytest.raises(DataError, match=message):
            read_ids(tmp_path / name)
