"""`tricord leave-out` and `experiments.leave_out`: every group is test once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_data
from commands import Type, narrow
from tricord import api
from tricord.data.derive.grouping import groups_of
from tricord.data.schema import UNLABELLED, Dataset, FeatureTable
from tricord.data.store import write_store
from tricord.errors import ConfigError, DataError
from tricord.evaluation.metrics import correct
from tricord.evaluation.table import MAJORITY
from tricord.experiments.leave_out import LeftOut, Plan, leave_out
from tricord.inference import linear
from tricord.inference.predictor import predict

MODELS = ("early-fusion", "text-only")
SETTINGS = {"early-fusion": {"epochs": 2, "hidden": 4, "batch_size": 8}, "text-only": {"epochs": 1}}
PLAN = Plan(MODELS, "tiny", (1, 2), settings=SETTINGS)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Five groups in three splits."""
    return tiny_data.dataset((9, 3, 3))


@pytest.fixture(scope="module")
def done(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LeftOut]:
    out = tmp_path_factory.mktemp("leave") / "out"
    return out, leave_out(data, groups_of(data), PLAN, out)


def test_every_clip_is_decided_by_models_that_never_saw_its_group(
    data: Dataset, done: tuple[Path, LeftOut], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[tuple[Dataset, str, Path]] = []
    train = api.train

    def spy(given: Dataset, *, model: str, out: Path, **more: Any) -> Any:
        seen.append((given, model, out))
        return train(given, model=model, out=out, **more)

    monkeypatch.setattr(api, "train", spy)
    found = leave_out(data, groups_of(data), PLAN, tmp_path / "again")
    assert len(seen) == 5 * len(MODELS)
    tested = []
    for given, _, _ in seen:
        videos = {name: set(given[name].videos.tolist()) for name in ("train", "valid", "test")}
        assert len(videos["test"]) == 1
        assert not videos["test"] & (videos["train"] | videos["valid"])
        assert not videos["train"] & videos["valid"]
        assert sum(len(given[n]) for n in videos) == 15
        tested.append(*videos["test"])
    assert sorted(set(tested)) == sorted(set(found.groups.tolist()))

    given, model, folder = seen[0]
    run = api.load_model(folder)
    row = next(row for row in found.rows if row.name == model)
    outputs = [predict(t, given, "test").outputs for t in run.trained]
    scheme = run.best.config.labels
    mask = found.groups == given["test"].videos[0]
    right = [correct(o, scheme.to_class(given["test"].scores[:, 0]), scheme) for o in outputs]
    assert (row.right[:, mask] == np.stack(right)).all()


def test_the_same_again_trains_nothing_and_finds_the_same(
    data: Dataset, done: tuple[Path, LeftOut], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, first = done
    before = (out / "leave-out.json").read_bytes()

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("trained again")

    monkeypatch.setattr(api, "train_one", never)
    again = leave_out(data, groups_of(data), PLAN, out)
    assert (out / "leave-out.json").read_bytes() == before
    assert [row.name for row in again.rows] == [MAJORITY, linear.NAME, *MODELS]
    assert again.best == first.best


def test_the_table_is_of_all_clips_and_of_each_group(done: tuple[Path, LeftOut]) -> None:
    out, found = done
    content = json.loads((out / "leave-out.json").read_text())
    assert sum(content["groups"].values()) == 15
    for row, kept in zip(found.rows, content["rows"], strict=True):
        mean = sum(
            content["groups"][g] * share for g, share in kept["of_groups"].items()
        ) / 15  # fmt: skip
        assert kept["D_test"]["mean"] == pytest.approx(mean)
        assert row.right.shape == (1 if row.name in (MAJORITY, linear.NAME) else 2, 15)
        assert (kept["against_best"] is None) == (row.name == found.best)
    text = (out / "leave-out.md").read_text()
    assert "SIMULATED" not in text
    assert "| train0 |" in text


def test_other_terms_in_the_same_folder_are_refused(
    data: Dataset, done: tuple[Path, LeftOut]
) -> None:
    with pytest.raises(ConfigError, match="on other terms"):
        leave_out(data, groups_of(data), replace(PLAN, seeds=(1,)), done[0])


def test_too_few_groups(data: Dataset, tmp_path: Path) -> None:
    groups = {name: ["a" if name == "train" else "b"] * len(data[name]) for name in data}
    with pytest.raises(DataError, match="2 groups found, expected three or more"):
        leave_out(data, groups, PLAN, tmp_path / "few")
    assert not (tmp_path / "few").exists()


def test_an_unknown_model_is_said_before_anything_is_trained(data: Dataset, tmp_path: Path) -> None:
    plan = replace(PLAN, models=(*MODELS, "nothing"))
    with pytest.raises(ConfigError, match="'nothing' does not exist"):
        leave_out(data, groups_of(data), plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_clips_without_a_label_are_left_out(data: Dataset, tmp_path: Path) -> None:
    scores = data["test"].scores.copy()
    scores[0, 0] = np.nan
    splits = {**data.splits, "test": replace(data["test"], scores=scores)}
    splits[UNLABELLED] = replace(
        tiny_data.table("more", 3), scores=np.full((3, 4), np.nan), name=UNLABELLED
    )
    more = replace(data, splits=splits)
    own = {"text-only": SETTINGS["text-only"]}
    plan = replace(PLAN, models=("text-only",), seeds=(1,), settings=own)
    found = leave_out(more, groups_of(more), plan, tmp_path / "out")
    assert len(found.groups) == 14


def with_words(data: Dataset, known: bool) -> Dataset:
    """With label words; "odd" only in the group that is left out first. known: scores stay."""

    def words(table: FeatureTable) -> FeatureTable:
        found = tuple(
            "a" if n % 2 == 0 else "odd" if video == "test0" else "b"
            for n, video in enumerate(table.videos)
        )
        scores = table.scores if known else np.full_like(table.scores, np.nan)
        return replace(table, label_names=found, scores=scores)

    return replace(data, splits={name: words(table) for name, table in data.splits.items()})


def test_a_class_may_be_in_one_group_alone(data: Dataset, tmp_path: Path) -> None:
    plan = replace(PLAN, preset=None, models=("text-only",), seeds=(1,))
    plan = replace(plan, settings={"text-only": SETTINGS["text-only"]})
    named = with_words(data, known=False)
    found = leave_out(named, groups_of(named), plan, tmp_path / "out")
    assert min(found.clips) == "test0"
    runs = sorted((tmp_path / "out").glob("*/text-only/run.json"))
    for run in runs:
        assert json.loads(run.read_text())["config"]["labels"]["classes"] == ["a", "b", "odd"]
    majority = next(row for row in found.rows if row.name == MAJORITY)
    assert majority.right.sum() == 9  # all of class a; b and odd never


def test_a_word_is_no_label_where_labels_are_scores(data: Dataset, tmp_path: Path) -> None:
    named = with_words(data, known=True)
    scores = named["train"].scores.copy()
    scores[0, 0] = np.nan
    splits = {**named.splits, "train": replace(named["train"], scores=scores)}
    plan = replace(PLAN, models=("text-only",), seeds=(1,))
    plan = replace(plan, settings={"text-only": SETTINGS["text-only"]})
    found = leave_out(replace(named, splits=splits), groups_of(named), plan, tmp_path / "out")
    assert len(found.groups) == 14


def test_without_a_preset_all_groups_have_the_same_settings(data: Dataset, tmp_path: Path) -> None:
    plan = replace(PLAN, preset=None, models=("text-only",), seeds=(1,))
    plan = replace(plan, settings={"text-only": SETTINGS["text-only"]})
    leave_out(data, groups_of(data), plan, tmp_path / "out")
    runs = sorted((tmp_path / "out").glob("*/text-only/run.json"))
    configs = [json.loads(run.read_text())["config"] for run in runs]
    assert len(configs) == 5
    assert all(config == configs[0] for config in configs)
    assert configs[0]["preset"] == "automatic"


def test_as_a_user_types_it(data: Dataset, tmp_path: Path, user: Type) -> None:
    write_store(data, tmp_path / "tiny.tricord")
    said = user(
        *("leave-out", str(tmp_path / "tiny.tricord"), "--models", "text-only", "--by", "video"),
        *("--preset", "tiny", "--out", str(tmp_path / "out"), "--set", "text-only.epochs=1"),
    )
    assert said.code == 0, said.err
    assert narrow(said.out)
    assert "one of 5 groups left out at a time, 15 clips, 1 seed" in said.out
    assert "train1 left out (3 of 5): text-only" in said.err
