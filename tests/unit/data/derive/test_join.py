"""A modality from another file: by id, whatever the order, and never silently."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_data
from builders import repeatable
from fake_extractors import all_three, recipe_of, sound
from tricord.cli.data.joining import allowance, with_files
from tricord.clips.recipe import KEY, from_recipe
from tricord.data.derive.join import join, joined, loose
from tricord.data.gather import deferred
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.schema import UNSPLIT, Dataset, FeatureTable, Ragged
from tricord.errors import ConfigError, DataError


def clips(name: str, ids: list[str], label: float = 0.2, **words: object) -> FeatureTable:
    """Audio of width 2: clip ``v$_$7`` has one frame more than its place, all of its number."""
    number = [float("".join(c for c in clip if c.isdigit()) or 0) for clip in ids]
    lengths = [1 + int(n) % 3 for n in number]
    frames = np.repeat(np.array(number, np.float32), lengths)[:, None] * np.ones(2, np.float32)
    audio = Ragged(frames, np.concatenate([[0], np.cumsum(lengths)]), 9)
    scores = np.column_stack([np.full(len(ids), label), np.array(number) / 100])
    return FeatureTable(name, tuple(ids), {"audio": audio}, scores, **words)


def data(*tables: FeatureTable, source: str = "other.pkl") -> Dataset:
    return Dataset({table.name: table for table in tables}, source)


def base(**ids: list[str]) -> Dataset:
    """Text only, of width 3."""
    splits = {}
    for name, names in ids.items():
        made = tiny_data.table(name, len(names), widths={"text": 3})
        splits[name] = replace(made, ids=tuple(names))
    return Dataset(splits, "base.pkl")


BASE = base(train=["v$_$1", "v$_$2", "w$_$3"], valid=["x$_$4"], test=["y$_$5", "y$_$6"])


def audio_of(dataset: Dataset) -> dict[str, list[list[float]]]:
    found = {}
    for table in dataset.splits.values():
        audio = table.sequences["audio"]
        for clip, part in zip(table.ids, np.split(audio.values, audio.offsets[1:-1]), strict=True):
            found[clip] = part.tolist()
    return found


def test_each_clip_gets_its_own_features() -> None:
    other = data(
        clips("train", ["y$_$5", "w$_$3", "v$_$2"]),
        clips("test", ["x$_$4", "z$_$9", "y$_$6", "v$_$1"]),
    )
    result, report = join(BASE, "audio", other)
    assert audio_of(result) == {
        "v$_$1": [[1, 1]] * 2,
        "v$_$2": [[2, 2]] * 3,
        "w$_$3": [[3, 3]],
        "x$_$4": [[4, 4]] * 2,
        "y$_$5": [[5, 5]] * 3,
        "y$_$6": [[6, 6]],
    }
    assert result.modalities == ("text", "audio")
    assert {n: t.ids for n, t in result.splits.items()} == {
        n: t.ids for n, t in BASE.splits.items()
    }
    for name, table in BASE.splits.items():
        np.testing.assert_array_equal(result[name].scores[:, :2], table.scores)
    # the label of a modality that the base did not have is the other's
    np.testing.assert_allclose(result["train"].scores[:, 2], [0.01, 0.02, 0.03])
    assert report.surplus == ("z$_$9",)
    assert report.matched == {"train": 3, "valid": 1, "test": 2}
    assert result.notices[0] == ("audio taken by id from other.pkl (train 3, valid 1, test 2)")
    assert "1 clips of other.pkl unused: 'z$_$9'" in result.notices


@repeatable
@given(st.data())
def test_the_order_of_rows_and_splits_changes_nothing(draw: st.DataObject) -> None:
    names = [clip for table in BASE.splits.values() for clip in table.ids] + ["z$_$7", "z$_$8"]
    order = draw.draw(st.permutations(names))
    cuts = sorted(draw.draw(st.lists(st.integers(0, 8), min_size=2, max_size=2)))
    parts = [order[: cuts[0]], order[cuts[0] : cuts[1]], order[cuts[1] :]]
    tables = [clips(n, p) for n, p in zip(("train", "valid", "test"), parts, strict=True) if p]
    expected, plain = join(BASE, "audio", data(clips(UNSPLIT, sorted(names))))
    result, report = join(BASE, "audio", data(*tables))
    assert result.fingerprint() == expected.fingerprint()
    assert report == plain
    assert result.notices == expected.notices


def test_lazy_stays_lazy_and_in_memory_stays_there() -> None:
    other = data(clips(UNSPLIT, ["v$_$1", "v$_$2", "w$_$3", "x$_$4", "y$_$5", "y$_$6"]))
    lazy, _ = join(deferred(BASE), "audio", deferred(other))
    eager, _ = join(BASE, "audio", deferred(other))
    assert not isinstance(lazy["train"].sequences, dict)
    assert isinstance(eager["train"].sequences, dict)
    assert lazy.fingerprint() == eager.fingerprint()


def test_a_modality_that_was_there_is_replaced_and_keeps_its_labels() -> None:
    old = tiny_data.dataset((3, 2, 2))
    ids = [clip for table in old.splits.values() for clip in table.ids]
    result, _ = join(old, "audio", data(clips(UNSPLIT, ids)))
    assert result.modalities == ("text", "audio", "vision")
    assert result.widths == {"text": 5, "audio": 2, "vision": 4}
    for name, table in old.splits.items():
        np.testing.assert_array_equal(result[name].scores, table.scores)


@pytest.mark.parametrize("known", [True, False])
def test_how_clips_were_measured_is_that_of_the_file_a_modality_is_from(known: bool) -> None:
    ours = recipe_of(all_three())
    theirs = recipe_of({**all_three(), "audio": replace(sound(), hop=800)})
    audio = data(*(clips(name, list(table.ids)) for name, table in BASE.splits.items()))
    measured = replace(BASE, recipe={KEY: ours.model_dump(mode="json")})
    there = replace(audio, recipe={KEY: theirs.model_dump(mode="json")} if known else {})
    found = from_recipe(join(measured, "audio", there)[0].recipe)
    assert (found.text, found.audio) == (ours.text, theirs.audio if known else None)
    assert KEY not in join(BASE, "audio", there)[0].recipe


def test_text_brings_tokens_and_words() -> None:
    ids = ["v$_$1", "v$_$2"]
    made = tiny_data.table("train", 2, widths={"text": 4})
    tokens = Ragged(np.arange(5), np.array([0, 2, 5]), 6)
    other = data(replace(made, ids=("v$_$2", "v$_$1"), tokens=tokens, raw_text=("two", "one")))
    result, report = join(base(train=ids), "text", other)
    assert result["train"].raw_text == ("one", "two")
    assert result["train"].tokens is not None
    assert result["train"].tokens.values.tolist() == [2, 3, 4, 0, 1]
    assert result["train"].tokens.lengths.tolist() == [3, 2]
    assert report.reworded == 0
    without = data(replace(other["train"], tokens=None, raw_text=None))
    kept, _ = join(result, "text", without)
    assert kept["train"].raw_text == ("one", "two")
    assert kept["train"].tokens is not None


def test_what_should_agree_and_does_not_is_counted() -> None:
    ids = ["v$_$1", "v$_$2", "v$_$3"]
    ours = data(clips("train", ids, raw_text=("A  b", "c", "d")), source="base.pkl")
    theirs = data(clips("train", ids, 0.4, raw_text=("a b", "c", "D!")))
    result, report = join(ours, "audio", theirs)
    assert (report.relabelled, report.reworded) == (3, 1)
    assert "3 clips have another label in other.pkl" in result.notices
    same, _ = join(ours, "audio", ours)
    assert len(same.notices) == 1


# --------------------------------------------------------------------------------- missing clips


FOUR = base(train=["v$_$1", "v$_$2", "v$_$3", "v$_$4"], test=["y$_$5"])
THREE = data(clips("all", ["v$_$1", "v$_$3", "y$_$5", "v$_$4"]))


def test_missing_clips_are_refused_by_name() -> None:
    with pytest.raises(DataError) as error:
        join(FOUR, "audio", THREE)
    assert str(error.value) == (
        "base.pkl: split 'train': 1 of 4 clips have no audio in other.pkl, such as 'v$_$2'; "
        "expected at most 0: --allow-missing 1 drops these clips"
    )


def test_all_missing_and_surplus_ids_are_kept() -> None:
    surplus = [f"z$_${n}" for n in range(9)]
    other = data(clips("all", ["v$_$1", "y$_$5", *surplus]))
    result, _ = join(FOUR, "audio", other, allow_missing=3)
    assert result.recipe["joined"]["audio"] == {
        "source": "other.pkl",
        "matched": {"train": 1, "test": 1},
        "missing": {"train": ["v$_$2", "v$_$3", "v$_$4"]},
        "surplus": surplus,
    }
    again, _ = join(result, "audio", other)
    assert again.recipe["joined"]["audio"]["missing"] == {}
    vision = replace(other["all"], sequences={"vision": other["all"].sequences["audio"]})
    both, _ = join(result, "vision", data(vision))
    assert list(both.recipe["joined"]) == ["audio", "vision"]


@pytest.mark.parametrize("allowed", [1, 0.25, 1.0])
def test_missing_clips_are_dropped_up_to_the_limit(allowed: float) -> None:
    result, report = join(FOUR, "audio", THREE, allow_missing=allowed)
    assert result["train"].ids == ("v$_$1", "v$_$3", "v$_$4")
    np.testing.assert_array_equal(
        result["train"].sequences["text"].values,
        FOUR["train"].take(np.array([0, 2, 3])).sequences["text"].values,
    )
    np.testing.assert_array_equal(result["train"].scores[:, :2], FOUR["train"].scores[[0, 2, 3]])
    assert audio_of(result)["v$_$4"] == [[4, 4]] * 2
    assert report.missing == {"train": ("v$_$2",), "test": ()}
    assert "train: 1 clips dropped, no audio for them: 'v$_$2'" in result.notices


@pytest.mark.parametrize("allowed", [0, 0.24, 0.0])
def test_the_limit_holds_for_each_split(allowed: float) -> None:
    with pytest.raises(DataError, match="1 of 4 clips"):
        join(FOUR, "audio", THREE, allow_missing=allowed)


def test_a_split_that_would_lose_all_is_refused_whatever_is_allowed() -> None:
    with pytest.raises(DataError, match="expected the ids of the same clips"):
        join(FOUR, "audio", data(clips("all", ["v$_$1", "v$_$2"])), allow_missing=1.0)


# --------------------------------------------------------------------------------- ids that differ


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("a$_$3", "a_3", True),
        ("a$_$0003", "a$_$3", True),
        (" a$_$3 ", "a$_$3", True),
        ("a $_$ 3", "a_3", True),
        ("a$_$0", "a_000", True),
        ("a$_$3", "a$_$30", False),
        ("a$_$10", "a$_$1", False),
        ("a_1$_$3", "a_01$_$3", False),
        ("A$_$3", "a$_$3", False),
        ("v007", "v7", True),
    ],
)
def test_what_loose_overlooks(a: str, b: str, same: bool) -> None:
    assert (loose(a) == loose(b)) is same


def test_ids_that_would_match_are_named_and_only_matched_on_demand() -> None:
    other = data(clips("all", ["v_01", "v_02", "v_03", "v_4", "y_5"]))
    with pytest.raises(DataError, match=r"4 of 4 clips.*4 of them match.*--join-ids loose"):
        join(FOUR, "audio", other)
    result, report = join(FOUR, "audio", other, matching="loose")
    assert result["train"].ids == FOUR["train"].ids
    assert audio_of(result)["v$_$3"] == [[3, 3]]
    assert report.surplus == ()
    with pytest.raises(DataError, match="--join-ids loose"):  # however much may be lost
        join(FOUR, "audio", other, allow_missing=0.5)


def test_clips_that_are_dropped_for_their_spelling_are_said() -> None:
    other = data(clips("all", ["v$_$1", "v_2", "v$_$3", "v$_$4", "y$_$5"]))
    result, report = join(FOUR, "audio", other, allow_missing=1)
    assert result["train"].ids == ("v$_$1", "v$_$3", "v$_$4")
    assert report.alike == 1
    assert "1 of them would match in another spelling: --join-ids loose" in result.notices


def test_loose_refuses_what_it_cannot_tell_apart() -> None:
    two = base(train=["v$_$1", "v$_$01"])
    with pytest.raises(DataError, match="same clip when blanks"):
        join(two, "audio", data(clips("all", ["v$_$1"])), matching="loose")
    clash = data(clips("all", ["v$_$1", "v$_$2"]), clips("test", ["v$_$01"]))
    changed = clash["test"].sequences["audio"]
    split = replace(clash["test"], sequences={"audio": replace(changed, values=-changed.values)})
    with pytest.raises(DataError, match=r"'v\$_\$01' has other audio.* than 'v\$_\$1'"):
        join(base(train=["v$_$1"]), "audio", data(clash["all"], split), matching="loose")


def test_an_id_found_twice_needs_one_content() -> None:
    once, twice = clips("train", ["v$_$1", "v$_$2"]), clips("test", ["v$_$2"])
    wanted = base(train=["v$_$1", "v$_$2"])
    result, _ = join(wanted, "audio", data(once, twice))
    assert audio_of(result)["v$_$2"] == [[2, 2]] * 3
    audio = twice.sequences["audio"]
    other = replace(twice, sequences={"audio": replace(audio, values=audio.values + 1)})
    with pytest.raises(DataError, match=r"split 'test'.*'v\$_\$2' has other audio.*split 'train'"):
        join(wanted, "audio", data(once, other))
    words = [
        replace(tiny_data.table(n, 1, widths={"text": 2}), ids=("v$_$1",), raw_text=(n,))
        for n in ("train", "test")
    ]
    same = [replace(t, sequences=words[0].sequences) for t in words]
    with pytest.raises(DataError, match="has other text, words or labels"):
        join(base(train=["v$_$1"]), "text", data(*same))
    labelled = replace(twice, scores=twice.scores + np.array([[0, 0.2]]))
    with pytest.raises(DataError, match="has other audio, words or labels"):
        join(wanted, "audio", data(once, labelled))


def test_a_file_that_lacks_the_modality_or_has_it_twice() -> None:
    with pytest.raises(DataError, match=r"no vision found.*\['audio'\]"):
        join(FOUR, "vision", THREE)
    wide = tiny_data.table("test", 2, widths={"audio": 4})
    with pytest.raises(DataError, match=r"key 'audio': widths .* found, expected one"):
        join(FOUR, "audio", data(THREE["all"], wide))


# --------------------------------------------------------------------------------- from files


def test_from_files(tmp_path: Path) -> None:
    ids = [clip for table in BASE.splits.values() for clip in table.ids]
    frames = np.arange(12.0).reshape(6, 1, 2).astype(np.float32)
    frames[2, 0, 0] = -np.inf
    rows = [5, 4, 3, 2, 1, 0]
    split = {"id": [ids[r] for r in rows], "audio": frames[rows], "audio_lengths": [1] * 6}
    write_mmsa(tmp_path / "a.pkl", {"train": split})
    result = joined(BASE, audio=tmp_path / "a.pkl")
    assert audio_of(result)["v$_$2"] == [[2, 3]]
    assert audio_of(result)["w$_$3"] == [[0, 5]]  # made finite, as everything in memory is
    assert any("1 -inf cells replaced by 0" in notice for notice in result.notices)
    lazy = joined(deferred(BASE), audio=tmp_path / "a.pkl")
    assert np.isinf(lazy["train"].sequences["audio"].values).sum() == 1
    assert joined(BASE) is BASE


@pytest.mark.parametrize(
    ("text", "found"), [("5", 5), ("0", 0), ("0.02", 0.02), ("2%", 0.02), ("1.0", 1.0)]
)
def test_allowance(text: str, found: float) -> None:
    assert allowance(text) == pytest.approx(found)
    assert isinstance(allowance(text), int) == isinstance(found, int)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "101%", "nan", "inf", "%", "-0.1"])
def test_no_allowance(text: str) -> None:
    with pytest.raises(ConfigError, match="--allow-missing"):
        allowance(text)


def test_from_options(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    frames = np.array([7, 4], np.float32).reshape(2, 1, 1)
    write_mmsa(path, {"test": {"id": ["v_02", "v_1"], "audio": frames}})
    options: dict[str, Path | None] = {"audio": path, "vision": None, "text": None}
    made = base(train=["v$_$1", "v$_$2", "v$_$3"])
    loosely = with_files(made, **options, allow_missing="34%", join_ids="loose")
    assert audio_of(loosely) == {"v$_$1": [[4]], "v$_$2": [[7]]}
    with pytest.raises(DataError, match="--join-ids loose"):
        with_files(made, **options, allow_missing="2", join_ids="exact")
    with pytest.raises(ConfigError, match="--join-ids: 'rows' found, expected exact or loose"):
        with_files(made, **options, allow_missing="0", join_ids="rows")
