"""`tricord compare` and `experiments.compare`, from data to table."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_data
from commands import Type, narrow
from tricord import api
from tricord.cli.compare import by_model, models_named
from tricord.data.schema import Dataset, FeatureTable
from tricord.errors import ConfigError, DataError, ModelError, TricordError
from tricord.evaluation.simple import in_words
from tricord.evaluation.table import evaluate
from tricord.experiments.compare import compare
from tricord.experiments.compare_table import Compared
from tricord.inference import linear
from tricord.models import registry
from tricord.training.loop import Observer, Progress, Stage
from tricord.types import Subset

CMC = {**tiny_data.SETTINGS, "pretrain.epochs": 1, "finetune.epochs": 2}
EARLY = {"epochs": 2, "hidden": 4, "batch_size": 8}
SETTINGS: dict[str, dict[str, Any]] = {"cmc": CMC, "early-fusion": EARLY}
FILES = {
    *("plan.json", "compare.json", "compare.md"),
    *(f"accuracy-{cost}.{kind}" for cost in ("size", "time") for kind in ("png", "svg")),
}


@pytest.fixture(scope="module")
def tiny() -> Dataset:
    return tiny_data.dataset()


def quickly(data: Dataset, out: Path, models: Any = ("cmc", "early-fusion"), **options: Any) -> Any:
    chosen = {name: SETTINGS[name] for name in models if name in SETTINGS}
    return compare(data, "tiny", models, out, **{"seeds": 2, "settings": chosen, **options})


@pytest.fixture(scope="module")
def done(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Compared]:
    out = tmp_path_factory.mktemp("compare") / "out"
    return out, quickly(tiny, out)


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch, done: object) -> None:
    """They take longer than these models to train; `done` has them."""
    monkeypatch.setattr("tricord.experiments.compare.write_figures", lambda *_: None)


@pytest.fixture
def nothing_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr(api, "train_one", refuse)


# ---------------------------------------------------------------------------------- what it finds


def test_every_row_is_what_the_model_gives_by_itself(
    done: tuple[Path, Compared], tiny: Dataset
) -> None:
    _, found = done
    assert [row.name for row in found.rows] == ["cmc", "early-fusion"]
    for row in found.rows:
        score = {"model.score_head": True} if row.name == "cmc" else {}
        run = api.train(tiny, "tiny", row.name, [1, 2], settings={**score, **SETTINGS[row.name]})
        alone = evaluate({row.name: run.trained}, tiny).row(row.name)
        np.testing.assert_array_equal(row.row.right, alone.right)
        assert row.row.cells == alone.cells
        assert row.size == run.model.size
        assert list(row.frames) == [t.frames for t in run.trained]
        assert row.config == run.trained[0].config
        assert len(row.seconds) == 2
        assert row.clips_per_second > 0


def test_one_row_is_best_and_the_other_is_tested_against_it(done: tuple[Path, Compared]) -> None:
    _, found = done
    means = {row.name: row.row.right.mean() for row in found.rows}
    other = ({"cmc", "early-fusion"} - {found.best}).pop()
    assert means[found.best] >= means[other]
    assert set(found.against) == {other}
    against = found.against[other]
    assert against.difference.estimate == pytest.approx(means[other] - means[found.best])
    assert against.p_holm == against.p


def test_the_result_file_has_what_is_needed_to_repeat_it(
    done: tuple[Path, Compared], tiny: Dataset
) -> None:
    out, found = done
    content = json.loads((out / "compare.json").read_text())
    assert content == json.loads(json.dumps(found.to_json()))
    assert content["data"] == {"source": "tiny.pkl", "fingerprint": tiny.fingerprint()}
    assert (content["preset"], content["seeds"], content["split"]) == ("tiny", [1, 2], "test")
    assert content["budget"]["trials"] == 0
    assert content["simulated"] is False
    assert set(content["versions"]) >= {"tricord", "torch"}
    for row, kept in zip(found.rows, content["rows"], strict=True):
        assert kept["config"] == row.config.model_dump(mode="json")
        assert kept["settings"] == SETTINGS[row.name]
        whole = kept[str(Subset.TEST)]
        assert whole["low"] <= whole["mean"] <= whole["high"]
        assert whole["spread_over_seeds"] is not None
        assert {"mae", "corr", "f1"} <= set(whole["metrics"])


def test_the_folder_holds_runs_figures_and_a_document(done: tuple[Path, Compared]) -> None:
    out, _ = done
    assert {p.name for p in out.iterdir()} == FILES | {"cmc", "early-fusion"}
    for name in ("cmc", "early-fusion"):
        assert [t.seed for t in api.load_model(out / name).trained] == [1, 2]
        assert f"| {name} |" in (out / "compare.md").read_text()
        assert f">{name}<" in (out / "accuracy-size.svg").read_text()
    assert (out / "accuracy-time.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_simple_stands_in_the_table(done: tuple[Path, Compared], tiny: Dataset) -> None:
    out, found = done
    names = [row.name for row in found.simple]
    assert names[0] == linear.NAME
    assert names[1] in tiny.modalities
    assert names[2:] == ["cmc, mean of votes"]
    content = json.loads((out / "compare.json").read_text())
    assert [row["name"] for row in content["simple"]] == names
    against = {row["name"]: row["no_worse_than_simple"] for row in content["rows"]}
    assert [one["row"] for one in against["cmc"]] == [*names[1:], names[0]]
    assert [one["row"] for one in against["early-fusion"]] == [names[0]]
    assert content["power"]["n"] == len(tiny["test"])
    text = (out / "compare.md").read_text()
    assert all(f"| {name} | - |" in text for name in names)
    assert found.power is not None
    for line in (found.power.note, *in_words("cmc", found.rows[0].simple)):
        assert f"- {line}" in text


def test_another_split(tiny: Dataset, done: tuple[Path, Compared], nothing_trains: None) -> None:
    found = quickly(tiny, done[0], split="valid")
    assert found.clips[Subset.TEST] == len(tiny["valid"])
    quickly(tiny, done[0])  # as the other tests expect it


# --------------------------------------------------------------------------------- going on again


def test_what_is_finished_is_not_trained_again(
    tiny: Dataset, done: tuple[Path, Compared], nothing_trains: None
) -> None:
    out, before = done
    again = quickly(tiny, out)
    for row, old in zip(again.rows, before.rows, strict=True):
        assert row.row.cells == old.row.cells
        assert row.seconds == old.seconds


class Stops(Observer):
    """Ctrl-C after some epochs."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_a_comparison_that_stopped_goes_on(
    tiny: Dataset, done: tuple[Path, Compared], tmp_path: Path
) -> None:
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        quickly(tiny, tmp_path / "out", observer=Stops(4), say=lines.append)
    assert lines == ["cmc (model 1 of 2)", "cmc, seed 1", "cmc, seed 2"]
    lines.clear()
    found = quickly(tiny, tmp_path / "out", say=lines.append)
    assert lines == [
        *("cmc (model 1 of 2)", "cmc, seed 2"),
        *("early-fusion (model 2 of 2)", "early-fusion, seed 1", "early-fusion, seed 2"),
    ]
    for row, whole in zip(found.rows, done[1].rows, strict=True):
        assert row.row.cells == whole.row.cells


def test_models_may_be_added_and_terms_may_not_change(tiny: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    quickly(tiny, out, ["early-fusion"])
    assert len(quickly(tiny, out, ["text-only", "early-fusion"]).rows) == 2
    for other in (
        {"seeds": 3},
        {"trials": 1},
        {"settings": {"early-fusion": {**EARLY, "hidden": 5}}},
    ):
        with pytest.raises(ConfigError, match="holds a comparison with another"):
            quickly(tiny, out, ["early-fusion"], **other)
    with pytest.raises(ConfigError, match="another data"):
        quickly(tiny_data.dataset(seed=1), out, ["early-fusion"])


def test_a_run_that_is_not_of_this_comparison_is_an_error_and_not_a_row(
    tiny: Dataset, tmp_path: Path
) -> None:
    quickly(tiny, tmp_path / "out", ["early-fusion"])
    path = tmp_path / "out" / "early-fusion" / "run.json"
    about = json.loads(path.read_text())
    about["config"]["hidden"] = 5
    path.write_text(json.dumps(about))
    with pytest.raises(ConfigError, match="holds a run with another config"):
        quickly(tiny, tmp_path / "out", ["early-fusion"])


# -------------------------------------------------------------------------------- what cannot run


@pytest.fixture(scope="module")
def without_own_labels(tiny: Dataset) -> Dataset:
    def without(table: FeatureTable) -> FeatureTable:
        scores = table.scores.copy()
        scores[:, 1:] = np.nan
        return replace(table, scores=scores)

    return replace(tiny, splits={name: without(table) for name, table in tiny.splits.items()})


def test_a_model_that_cannot_run_is_a_row_that_says_why(
    without_own_labels: Dataset, tmp_path: Path
) -> None:
    found = quickly(without_own_labels, tmp_path / "out", ["cmc-gt", "early-fusion"])
    assert [row.name for row in found.rows] == ["early-fusion"]
    (missing,) = found.not_run
    assert missing.name == "cmc-gt"
    assert missing.reason
    assert "\n" not in missing.reason
    content = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert content["not_run"] == [{"name": "cmc-gt", "reason": missing.reason}]
    assert f"not run: {missing.reason}" in (tmp_path / "out" / "compare.md").read_text()
    assert not (tmp_path / "out" / "cmc-gt").exists()


def test_where_nothing_runs_there_is_no_table(without_own_labels: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TricordError, match="no model ran; cmc-gt: "):
        quickly(without_own_labels, tmp_path / "out", ["cmc-gt"])
    assert not (tmp_path / "out").exists()  # or the next try would find it in its way


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ["cmc", "nonsense"]}, "model 'nonsense' does not exist"),
        ({"models": ["cmc", "cmc"]}, "models: .* different ones expected"),
        ({"models": []}, "models: "),
        ({"seeds": [1, 1]}, "seeds: "),
        ({"seeds": 0}, "seeds: "),
        ({"trials": -1}, "trials: -1 found"),
        ({"settings": {"cmc": {"nonsense": 1}}}, "cmc: setting 'nonsense' does not exist"),
        ({"settings": {"self-mm": {}}}, "'self-mm' is not one of the models"),
        ({"split": "nonsense"}, "split 'nonsense' not found"),
    ],
)
def test_a_mistake_is_seen_before_anything_is_made(
    tiny: Dataset, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        quickly(tiny, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_else_is_left_alone(tiny: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is no comparison"):
        quickly(tiny, tmp_path)
    (tmp_path / "plan.json").write_text("[]")
    with pytest.raises(ConfigError, match="no plan of a comparison"):
        quickly(tiny, tmp_path)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        quickly(tiny, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"mine.txt", "plan.json"}


# ----------------------------------------------------------------------------------------- tuning


def test_trials_choose_the_settings_of_every_seed_and_are_kept(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    found = quickly(tiny, tmp_path / "out", ["early-fusion"], trials=3, say=lines.append)
    (row,) = found.rows
    assert [trial.number for trial in row.trials] == [0, 1, 2]
    best = min(row.trials, key=lambda t: t.value)
    expected = api.config_for(
        tiny, "tiny", "early-fusion", {**best.settings, **SETTINGS["early-fusion"]}
    )
    assert row.config == expected
    kept = json.loads((tmp_path / "out" / "tuning" / "early-fusion.json").read_text())
    assert [trial["value"] for trial in kept] == [trial.value for trial in row.trials]
    assert sum("trial" in line for line in lines) == 3
    assert "3 trials a model" in (tmp_path / "out" / "compare.md").read_text()

    monkeypatch.setattr(api, "train_one", None)
    again = quickly(tiny, tmp_path / "out", ["early-fusion"], trials=3)
    assert again.rows[0].trials == row.trials


# ---------------------------------------------------------------------------------- the command


def test_compare_from_the_command_line(sim: Path, user: Type, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["compare", sim, "--preset", "tiny", "--models", "early-fusion, text-only"]
    words += ["--seeds", "2", "--set", "all.epochs=2", "--set", "early-fusion.epochs=1"]
    said = user(*words, "--out", out)
    assert said.code == 0
    assert narrow(said.out)
    assert said.out.splitlines()[0].startswith("SIMULATED DATA")
    assert said.err.startswith("SIMULATED DATA")
    for seed in ("1", "2"):
        assert f"early-fusion, seed {seed}" in said.err
    content = json.loads((out / "compare.json").read_text())
    assert content["simulated"] is True
    assert content["head"].startswith("SIMULATED DATA")
    assert set(content["bayes_limit"]) == {"D_test", "D_msc", "D_msi"}
    assert {r["name"]: r["config"]["epochs"] for r in content["rows"]} == {
        "early-fusion": 1,
        "text-only": 2,
    }
    for row in content["rows"]:
        assert row["name"] in said.out
        assert f"{row['size']:,}" in said.out
    assert "SIMULATED DATA" in (out / "compare.md").read_text().split("|")[0]

    said = user(*words, "--out", out, "--json")
    speeds = [row.pop("clips_per_second") for row in content["rows"]]
    found = json.loads(said.out)
    assert len([row.pop("clips_per_second") for row in found["rows"]]) == len(speeds)
    assert found == content


@pytest.mark.parametrize("command", ["compare", "models"])
def test_help_fits_the_terminal(command: str, user: Type) -> None:
    said = user(command, "--help")
    assert (said.code, said.err) == (0, "")
    assert narrow(said.out)
    assert "Example:" in said.out


def test_a_row_that_did_not_run_is_on_the_screen(sim: Path, user: Type, tmp_path: Path) -> None:
    said = user(
        *("compare", sim, "--preset", "tiny", "--models", "early-fusion,text-only", "--seeds", "1"),
        *("--set", "all.epochs=1", "--set", "text-only.text.encoder=./nowhere"),
        *("--out", tmp_path / "out"),
    )
    assert said.code == 0
    assert "text-only: not run: " in said.out
    assert narrow(said.out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "nonsense"], "model 'nonsense' does not exist"),
        (["--models", "cmc", "--set", "early-fusion.epochs=1"], "MODEL one of cmc, or all"),
        (["--models", "cmc", "--set", "cmc.nonsense=1"], "setting 'nonsense' does not exist"),
        (["--models", "cmc", "--seeds", "0"], "seeds"),
        (["--models", ","], "models: []"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], message: str, sim: Path, user: Type, tmp_path: Path
) -> None:
    said = user("compare", sim, "--preset", "tiny", "--out", tmp_path / "out", *words)
    assert said.code == 2
    assert said.out == ""
    assert message in said.err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ({}, {}),
        ({"a.x.y": "1"}, {"a": {"x.y": "1"}}),
        ({"all.x": "1"}, {"a": {"x": "1"}, "a-1.8b": {"x": "1"}}),
        ({"a.x": "2", "all.x": "1"}, {"a": {"x": "2"}, "a-1.8b": {"x": "1"}}),
        ({"a-1.8b.x": "1"}, {"a-1.8b": {"x": "1"}}),
    ],
)
def test_settings_are_for_one_model_or_for_all(
    pairs: Mapping[str, str], expected: dict[str, dict[str, str]]
) -> None:
    assert by_model(pairs, ["a", "a-1.8b"]) == expected


def test_models_are_named_with_commas_or_all_at_once() -> None:
    assert models_named("cmc, early-fusion") == ["cmc", "early-fusion"]
    assert models_named("all") == list(registry.MODELS)


def test_tuning_without_optuna_is_seen_before_anything_is_made(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match="optuna"):
        quickly(tiny, tmp_path / "out", trials=1)
    assert not (tmp_path / "out").exists()
