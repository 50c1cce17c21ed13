"""Splits by group: no group is cut, the parts are alike, and the same is found again."""

from __future__ import annotations

import itertools
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

import tiny_data
from builders import repeatable
from tricord.data.derive.balance import assign, independence, strata
from tricord.data.derive.grouping import groups_of, read_groups, split_by_group
from tricord.data.derive.subset import read_ids
from tricord.data.gather import deferred
from tricord.data.schema import UNLABELLED, UNSPLIT, Dataset, FeatureTable
from tricord.errors import ConfigError, DataError

SHARES = (0.6, 0.2, 0.2)


def loss(counts: np.ndarray, part: np.ndarray, shares: tuple[float, ...] = SHARES) -> float:
    wanted = np.outer(shares, counts.sum(axis=0))
    found = np.stack([counts[part == s].sum(axis=0) for s in range(len(shares))])
    return float(((found - wanted) ** 2 / np.maximum(wanted, 1e-9)).sum())


# --------------------------------------------------------------------------------- the numbers


def test_what_is_balanced() -> None:
    scores = np.array([[-1, -1, -1], [0.5, 0.2, 0.1], [0.5, -0.2, 0.1], [0, np.nan, 0.0]])
    found = strata(scores)
    # signs -, 0, +; values -1, 0, 0.5; unknown, D_msi, D_msc
    assert found.tolist() == [
        [1, 0, 0, 1, 0, 0, 0, 0, 1],
        [0, 0, 1, 0, 0, 1, 0, 0, 1],
        [0, 0, 1, 0, 0, 1, 0, 1, 0],
        [0, 1, 0, 0, 1, 0, 1, 0, 0],
    ]
    words = strata(np.full((3, 1), np.nan), ["sad", "angry", "sad"])
    assert words[:, :2].tolist() == [[0, 1], [1, 0], [0, 1]]


def test_many_values_become_seven_levels() -> None:
    found = strata(np.linspace(-3, 3, 71)[:, None])
    assert found.shape[1] == 3 + 7
    assert (found[:, 3:].sum(axis=0) >= 10).all()


@pytest.mark.parametrize("seed", range(6))
def test_few_groups_are_laid_in_the_best_way(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 30, (7, 4)).astype(float)
    best = min(
        loss(counts, np.array(part))
        for part in itertools.product(range(3), repeat=7)
        if len(set(part)) == 3
    )
    found = assign(counts, SHARES, seed)
    assert set(found) == {0, 1, 2}
    assert loss(counts, found) == pytest.approx(best, rel=1e-9)


def test_many_groups_come_out_even_and_soon() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1, 3, (600, 1)) * [0.5, 0.2, 0.3]).astype(float)
    part = assign(counts, SHARES, 1)
    found = np.stack([counts[part == s].sum(axis=0) for s in range(3)]) / counts.sum(axis=0)
    np.testing.assert_allclose(found, np.tile(SHARES, (3, 1)).T, atol=0.01)


def test_every_part_gets_a_group_even_if_one_group_is_nearly_all() -> None:
    counts = np.array([[1000.0], [1.0], [1.0]])
    assert sorted(assign(counts, SHARES, 0)) == [0, 1, 2]
    assert assign(counts, SHARES, 0)[0] == 0
    with pytest.raises(ValueError, match="2 groups for 3 parts"):
        assign(counts[:2], SHARES, 0)


def test_chi_square_as_scipy_finds_it() -> None:
    table = np.array([[50, 20, 30], [10, 9, 11], [5, 0, 9]])
    expected = chi2_contingency(table, correction=False)
    found = independence(table)
    assert (found.chi_square, found.degrees) == (pytest.approx(expected.statistic), 4)
    assert found.p == pytest.approx(expected.pvalue)
    assert independence([[5, 0], [0, 5]]).cramers_v == pytest.approx(1)
    assert independence([[6, 3], [2, 1]]).cramers_v == pytest.approx(0)
    for nothing in ([[3, 4]], [[3], [4]], [[3, 0], [4, 0]], [[0, 0], [3, 4]]):
        assert independence(nothing).p == 1.0


# --------------------------------------------------------------------------------- the data set


def data(rows: int = 90, seed: int = 0) -> Dataset:
    return tiny_data.dataset((rows, 21, 30), seed=seed)


def groups_in(dataset: Dataset) -> dict[str, set[str]]:
    return {name: set(table.videos) for name, table in dataset.splits.items()}


def test_no_video_is_in_two_splits_and_no_clip_is_lost() -> None:
    before = data()
    after, report = split_by_group(before, groups_of(before), SHARES, 1)
    assert list(after) == ["train", "valid", "test"]
    found = groups_in(after)
    assert not found["train"] & found["valid"]
    assert not (found["train"] | found["valid"]) & found["test"]
    old = {
        clip: (table.sequences["audio"].take(np.array([row])).values.tolist(), *table.scores[row])
        for table in before.splits.values()
        for row, clip in enumerate(table.ids)
    }
    new = {
        clip: (table.sequences["audio"].take(np.array([row])).values.tolist(), *table.scores[row])
        for table in after.splits.values()
        for row, clip in enumerate(table.ids)
    }
    assert new == old
    assert report.clips == {name: len(table) for name, table in after.splits.items()}
    assert report.groups == {name: len(videos) for name, videos in found.items()}
    for name, share in zip(after, SHARES, strict=True):
        assert report.reached[name] == pytest.approx(share, abs=0.03)
        assert report.wanted[name] == pytest.approx(share)
        assert sum(row[name] for row in report.labels.values()) == pytest.approx(1)
    assert report.balance.cramers_v < 0.1


@settings(repeatable, max_examples=8)
@given(st.integers(0, 99), st.permutations(range(40)))
def test_the_order_of_clips_changes_nothing(seed: int, order: list[int]) -> None:
    table = tiny_data.table(UNSPLIT, 40)
    straight = Dataset({UNSPLIT: table}, "x")
    mixed = Dataset({UNSPLIT: table.take(np.array(order))}, "x")
    first, _ = split_by_group(straight, groups_of(straight), SHARES, seed)
    second, _ = split_by_group(mixed, groups_of(mixed), SHARES, seed)
    assert {n: sorted(t.ids) for n, t in first.splits.items()} == {
        n: sorted(t.ids) for n, t in second.splits.items()
    }


def test_the_seed_decides() -> None:
    before = data()
    groups = groups_of(before)
    found = [split_by_group(before, groups, SHARES, seed)[0].fingerprint() for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    lazy, _ = split_by_group(deferred(before), groups, SHARES, 1)
    assert lazy.fingerprint() == found[0]
    assert not isinstance(lazy["train"].sequences, dict)


def test_shares_are_proportions() -> None:
    before = data()
    found = [
        split_by_group(before, groups_of(before), shares)[0].fingerprint()
        for shares in (SHARES, (6, 2, 2))
    ]
    assert found[0] == found[1]
    for shares in ((0.8, 0.2), (0.8, 0.2, 0.0), (1, 1, -1), (1, 1, float("nan"))):
        with pytest.raises(ConfigError, match="three positive numbers"):
            split_by_group(before, groups_of(before), shares)


def test_test_can_stay() -> None:
    before = data()
    after, report = split_by_group(before, groups_of(before), SHARES, 3, keep_test=True)
    assert after["test"] is before["test"]
    assert report.wanted == pytest.approx({"train": 111 / 141 * 0.75, "valid": 111 / 141 * 0.25,
                                           "test": 30 / 141})  # fmt: skip
    assert report.reached["train"] == pytest.approx(report.wanted["train"], abs=0.02)
    shared = replace(before["train"], ids=("test0$_$99", *before["train"].ids[1:]))
    mixed = replace(before, splits={**before.splits, "train": shared})
    with pytest.raises(DataError, match=r"1 groups of split 'test' are in split 'train'.*'test0'"):
        split_by_group(mixed, groups_of(mixed), keep_test=True)
    without = replace(before, splits={"train": before["train"]})
    with pytest.raises(DataError, match="no split 'test'"):
        split_by_group(without, groups_of(without), keep_test=True)


def table_of(groups: list[str], **options: object) -> FeatureTable:
    made = tiny_data.table(UNSPLIT, len(groups))
    return replace(made, ids=tuple(f"{g}$_${i}" for i, g in enumerate(groups)), **options)


def test_three_large_groups_are_one_each() -> None:
    names = ["a"] * 30 + ["b"] * 9 + ["c"] * 8
    before = Dataset({UNSPLIT: table_of(names)}, "x.csd")
    after, report = split_by_group(before, groups_of(before))
    assert report.groups == {"train": 1, "valid": 1, "test": 1}
    assert len(after["train"]) == 30
    two = Dataset({UNSPLIT: table_of(["a"] * 5 + ["b"] * 5)}, "x.csd")
    with pytest.raises(DataError) as error:
        split_by_group(two, groups_of(two))
    assert str(error.value) == (
        "x.csd: 2 groups found ('a', 'b'), expected at least 3, one for each split"
    )


def test_words_are_balanced_where_labels_are_words() -> None:
    rng = np.random.default_rng(0)
    words = tuple(rng.choice(["angry", "calm", "sad"], 300, p=[0.6, 0.3, 0.1]))
    names = [f"v{i}" for i in rng.integers(0, 60, 300)]
    table = table_of(names, label_names=words)
    before = Dataset({UNSPLIT: replace(table, scores=np.full_like(table.scores, np.nan))}, "x")
    after, report = split_by_group(before, groups_of(before))
    assert set(report.labels) == {"angry", "calm", "sad"}
    assert report.balance.p > 0.9
    assert sorted(sum((t.label_names or () for t in after.splits.values()), ())) == sorted(words)


# --------------------------------------------------------------------------------- named groups


def test_groups_by_id_or_video(tmp_path: Path) -> None:
    before = Dataset({UNSPLIT: table_of(["a", "a", "b", "c"])}, "x.pkl")
    path = tmp_path / "speakers.csv"
    path.write_text("\ufeffvideo_id,age,speaker\na,3,ann\nb,4,ann\nc,5,007\n", encoding="utf-8")
    named = read_groups(path)
    assert named == {"a": "ann", "b": "ann", "c": "007"}
    assert groups_of(before, named) == {UNSPLIT: ["ann", "ann", "ann", "007"]}
    path = tmp_path / "speakers.json"
    path.write_text(json.dumps({**named, "a$_$1": 12}))
    assert groups_of(before, read_groups(path)) == {UNSPLIT: ["ann", "12", "ann", "007"]}
    with pytest.raises(DataError, match=r"no group is given for 1 clips, such as 'c\$_\$3'"):
        groups_of(before, {"a": "x", "b": "y"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("g.csv", "a,b\n1,2\n", r"columns \['a', 'b'\] found, expected 'id'"),
        ("g.csv", "", r"columns \[\] found"),
        ("g.csv", "id,group\nv1,\n", "no group for 'v1'"),
        ("g.csv", "id,group\nv1\n", "no group for 'v1'"),
        ("g.csv", "id,group\nv1,a\nv1,b\n", "'v1' is in group 'a' and in 'b'"),
        ("g.csv", b"id,group\n\xff,a\n", "not readable as groups"),
        ("g.json", "[1]", "one JSON object"),
        ("g.json", '{"a": [1]}', "one JSON object"),
        ("g.json", "{", "not readable as groups"),
        ("g.json", "[" * 100_000, "not readable as groups"),
    ],
)
def test_files_that_name_no_groups(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as error:
        read_groups(path)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="cannot be read"):
        read_groups(tmp_path / "absent.csv")


@repeatable
@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from(['"', "\n", ",", "id", "group", "\0", "a", "{", "}", ":", "\r"]))
        .map("".join)
        .map(str.encode),
    ),
    st.sampled_from([".csv", ".json", ".txt"]),
)
def test_any_bytes_are_read_or_refused_in_one_line(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"names{suffix}"
        path.write_bytes(content)
        for read in (read_groups, read_ids):
            said = ""
            try:
                assert all(isinstance(name, str) for name in read(path))
            except DataError as error:
                said = str(error)
            assert said == "" or said.startswith(f"{path}: ")
            assert "\n" not in said


@pytest.mark.parametrize("keep_test", [False, True])
def test_clips_without_labels_stay_where_they_are(keep_test: bool) -> None:
    labelled = tiny_data.dataset((30, 9, 12))
    table = tiny_data.table(UNLABELLED)
    data = replace(labelled, splits={**labelled.splits, UNLABELLED: table})
    alone, _ = split_by_group(labelled, groups_of(labelled), keep_test=keep_test)
    found, report = split_by_group(data, groups_of(data), keep_test=keep_test)
    assert found[UNLABELLED] is table
    assert set(report.clips) == {"train", "valid", "test"}
    for name in alone:
        assert found[name].ids == alone[name].ids
