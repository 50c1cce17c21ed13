"""Rows measured, claims tested, folders resumed: on clips small enough to train on at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_data
from tricord import api
from tricord.data.schema import Dataset
from tricord.errors import ConfigError, TricordError
from tricord.evaluation.statistics import holm, over_seeds
from tricord.evaluation.table import Evaluation, evaluate
from tricord.experiments.reproduce import cells
from tricord.experiments.reproduce.measure import RESAMPLES
from tricord.experiments.reproduce.plan import Claim, Experiment, Row
from tricord.experiments.reproduce.result import Found, Result
from tricord.experiments.reproduce.run import run_experiment
from tricord.experiments.reproduce.work import Work
from tricord.models import registry
from tricord.types import Subset

BY_HAND = {
    "cmc": {**tiny_data.SETTINGS, "pretrain.epochs": 2, "finetune.epochs": 2},
    "early-fusion": {"hidden": 4, "batch_size": 8},
}
PAPER = {"tiny": {"D_test": 84.9, "D_msi": 70.0, "F1": 84.0, "Size": 123}}
CMC = Row("CMC", "cmc", paper=PAPER)
ROWS = (
    CMC,
    Row("Early", "early-fusion", settings={"epochs": 3}, paper={"tiny": {"D_msc": 80.0}}),
    Row("Audio", "cmc", output="audio"),
    Row("Few", "cmc", keep=0.5),
    Row("Plain", "cmc", for_preset={"tiny": {"finetune.router": "mean"}}),
    Row("Quoted", None, note="of another paper", paper={"tiny": {"D_test": 80.0}}),
    Row("Odd", "cmc", settings={"finetune.router": "best"}),
    Row("Elsewhere", None, paper={"mosi": {"Acc2": 80.0}}),
    Row("Talkative", "mse-adapter-qwen-1.8b"),
    Row("Deaf", "early-fusion", output="audio", settings={"epochs": 3}),
)
CLAIMS = (
    Claim("CMC", "Audio", "D_test", ("tiny", "mosi"), "better than audio alone"),
    Claim("Early", "CMC", "D_msi", ("tiny",), "early fusion is better"),
    Claim("CMC", "Quoted", "D_test", ("tiny",), "better than a quoted one"),
)
EXPERIMENT = Experiment("tiny1", "A tiny table", ("tiny", "mosi"), ROWS, CLAIMS, "Tiny.")


@pytest.fixture(scope="module")
def tiny() -> Dataset:
    return tiny_data.dataset((20, 9, 30))


def work_on(tiny: Dataset, out: Path, **changed: Any) -> Work:
    return Work({"tiny": tiny}, out, **{"seeds": (1, 2), "settings": BY_HAND, **changed})


@pytest.fixture(scope="module")
def done(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, Result]:
    work = work_on(tiny, tmp_path_factory.mktemp("run") / "out")
    return work, run_experiment(EXPERIMENT, work)


@pytest.fixture(scope="module")
def alone(done: tuple[Work, Result], tiny: Dataset) -> Evaluation:
    """CMC trained and evaluated by itself."""
    run = api.train(tiny, "tiny", "cmc", [1, 2], settings=BY_HAND["cmc"])
    return evaluate({"cmc": run.trained}, tiny)


@pytest.fixture
def nothing_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr(cells, "train_one", refuse)


def row(result: Result, name: str) -> Found:
    return next(found for found in result.found if found.row.name == name)


# ------------------------------------------------------------------------------------------ rows


def test_a_row_is_what_its_model_gives_by_itself(
    done: tuple[Work, Result], alone: Evaluation
) -> None:
    found = row(done[1], "CMC")
    for column, subset in (("D_test", Subset.TEST), ("D_msi", Subset.MSI)):
        cell = alone.row("cmc").cells[subset]
        assert cell is not None
        number = found.numbers[column]
        assert number.interval == cell.interval
        assert number.spread == pytest.approx(cell.spread)
        assert np.mean(number.per_seed) == pytest.approx(number.mean)
    assert found.size == alone.models["cmc"]["size"]
    assert found.paper == PAPER["tiny"]
    assert len(set(found.cells)) == 2


def test_f1_is_that_of_the_metrics_with_an_interval_over_videos(
    done: tuple[Work, Result], alone: Evaluation
) -> None:
    for name in ("CMC", "Early"):
        number = row(done[1], name).numbers["F1"]
        assert number.interval.low <= number.mean <= number.interval.high
        assert number.interval.low < number.interval.high
        assert number.interval.method == "cluster bootstrap"
        assert number.mean == pytest.approx(np.mean(number.per_seed))
    cell = alone.row("cmc").cells[Subset.TEST]
    assert cell is not None
    assert row(done[1], "CMC").numbers["F1"].mean == pytest.approx(cell.metrics["f1"])
    assert row(done[1], "CMC").numbers["F1"].mean != row(done[1], "CMC").numbers["D_test"].mean


def test_an_output_is_that_modalitys_model_of_stage_1(
    done: tuple[Work, Result], alone: Evaluation
) -> None:
    found = row(done[1], "Audio")
    cell = alone.row("audio").cells[Subset.TEST]
    assert cell is not None
    assert found.numbers["D_test"].interval == cell.interval
    assert list(found.cells) == list(row(done[1], "CMC").cells)


def test_settings_of_a_row_go_before_those_by_hand_and_these_before_the_budget(
    done: tuple[Work, Result],
) -> None:
    result = done[1]
    assert row(result, "Early").settings["epochs"] == 3
    assert row(result, "Early").settings["hidden"] == 4
    assert row(result, "CMC").settings["finetune"]["epochs"] == 2
    assert row(result, "Plain").settings["finetune"]["router"] == "mean"
    assert "cmc.pretrain.epochs=2" in result.by_hand


def test_fewer_consistent_clips_are_another_cell(done: tuple[Work, Result]) -> None:
    few, all_of_them = row(done[1], "Few"), row(done[1], "CMC")
    assert few.numbers
    assert not set(few.cells) & set(all_of_them.cells)
    assert few.settings == all_of_them.settings


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Quoted", "quoted, not run: of another paper"),
        ("Odd", "setting finetune.router"),
        ("Deaf", "early-fusion has no decisions of audio by itself"),
    ],
)
def test_a_row_that_does_not_run_says_why(
    name: str, reason: str, done: tuple[Work, Result]
) -> None:
    found = row(done[1], name)
    assert reason in found.reason
    assert not found.numbers


def test_a_size_needs_no_training_and_a_quoted_row_needs_a_number(
    done: tuple[Work, Result], tiny: Dataset
) -> None:
    found = row(done[1], "Talkative")
    assert "key 'raw_text' not found" in found.reason
    entry = registry.get("mse-adapter-qwen-1.8b")
    assert found.size == entry.build(entry.config("tiny"), tiny.widths).size
    assert row(done[1], "Quoted").size is None
    assert "Elsewhere" not in {one.row.name for one in done[1].found}


def test_columns_are_the_papers_in_its_order(done: tuple[Work, Result]) -> None:
    result = done[1]
    assert result.columns == {"tiny": ("D_test", "D_msc", "D_msi", "F1", "Size")}
    assert set(row(result, "Early").numbers) == {"D_test", "D_msc", "D_msi", "F1"}
    counts = result.clips["tiny"]
    assert counts["D_test"] == 30
    assert counts["D_msc"] + counts["D_msi"] == 30


def test_without_numbers_of_the_paper_accuracy_is_told(
    done: tuple[Work, Result], tiny: Dataset
) -> None:
    experiment = Experiment("one", "One", ("tiny",), (replace(CMC, paper={}),))
    result = run_experiment(experiment, done[0])
    assert result.columns == {"tiny": ("Acc2",)}
    assert result.found[0].numbers["Acc2"] == row(done[1], "CMC").numbers["D_test"]


# ---------------------------------------------------------------------------------------- claims


def test_claims_are_tested_on_the_same_clips_and_corrected_together(
    done: tuple[Work, Result], alone: Evaluation, tiny: Dataset
) -> None:
    first, second, third = done[1].tested
    right = {name: alone.row(name).right.astype(float) for name in ("cmc", "audio")}
    expected = over_seeds(right["cmc"], right["audio"], alone.videos, resamples=RESAMPLES).decision
    assert first.difference == expected.difference
    assert first.p == expected.p
    assert second.p is not None
    assert [first.p_holm, second.p_holm] == holm([first.p, second.p]).tolist()
    assert second.difference is not None
    assert second.difference.n == alone.clips[Subset.MSI]
    assert third.verdict == "not tested: Quoted did not run"


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (Claim("CMC", "Nobody", "D_test", ("tiny",), "x"), "no row 'Nobody'"),
        (Claim("CMC", "Audio", "F1", ("tiny",), "x"), "only accuracies are tested, no F1"),
    ],
)
@pytest.mark.usefixtures("nothing_trains")
def test_a_claim_that_cannot_be_tested_is_an_error(
    claim: Claim, said: str, done: tuple[Work, Result]
) -> None:
    with pytest.raises(ConfigError, match=said):
        run_experiment(replace(EXPERIMENT, claims=(claim,)), done[0])


# ----------------------------------------------------------------------------------------- terms


@pytest.mark.usefixtures("nothing_trains")
def test_the_same_call_again_trains_nothing_and_finds_the_same(
    done: tuple[Work, Result], tiny: Dataset
) -> None:
    experiment = replace(EXPERIMENT, rows=[r for r in ROWS if r.name != "Talkative"])
    result = run_experiment(experiment, work_on(tiny, done[0].out))
    kept = [found for found in done[1].found if found.row.name != "Talkative"]
    assert result.found == kept
    assert result.tested == done[1].tested


def test_the_released_protocol_has_one_seed_and_all_its_options(
    tiny: Dataset, tmp_path: Path
) -> None:
    work = work_on(tiny, tmp_path / "out", protocol="released")
    assert work.seeds == (1,)
    (cell,) = work.cells(CMC, "tiny")
    assert cell.config == cell.config.released()
    assert cell.config != work_on(tiny, tmp_path / "other").cells(CMC, "tiny")[0].config


def test_stage_1_is_shared_where_only_stage_2_differs(tiny: Dataset, tmp_path: Path) -> None:
    work = work_on(tiny, tmp_path / "out")
    usual = work.cells(CMC, "tiny")[0]
    assert usual.base is None

    def base_of(model: str, settings: Mapping[str, Any]) -> Any:
        row = Row("x", model, settings={**BY_HAND["cmc"], **settings})
        return work.cells(row, "tiny")[0].base

    for model, settings in (
        ("cmc", {"finetune.temperature": 0.5}),
        ("cmc-wo-pfm", {}),
        ("cmc-variant", {}),
    ):
        assert base_of(model, settings).key == usual.key
    assert base_of("cmc-wo-plgm", {}) is None
    assert base_of("cmc-gt", {}) is None
    of_gt = base_of("cmc-gt", {"finetune.temperature": 0.5})
    assert of_gt.config.pretrain.labels == "ground_truth"
    assert of_gt.config.finetune == usual.config.finetune


def test_a_folder_on_other_terms_is_refused_and_more_seeds_are_not(
    done: tuple[Work, Result], tiny: Dataset, tmp_path: Path
) -> None:
    out = done[0].out
    work_on(tiny, out, seeds=(1, 2, 3))
    for changed, said in (
        ({"budget": "paper"}, "another budget, 'quick'"),
        ({"protocol": "released"}, "another protocol"),
    ):
        with pytest.raises(ConfigError, match=said):
            work_on(tiny, out, **changed)
    with pytest.raises(ConfigError, match="other data for tiny"):
        work_on(tiny_data.dataset((21, 9, 12)), out)
    Work({"mosi": tiny}, out)
    assert set(json.loads((out / "reproduce.json").read_text())["data"]) == {"tiny", "mosi"}
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="exists and is no reproduction"):
        work_on(tiny, tmp_path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seeds": ()}, "seeds: "),
        ({"seeds": (1, 1)}, "seeds: "),
        ({"budget": "huge"}, "budget 'huge'"),
        ({"protocol": "best"}, "protocol 'best'"),
        ({"encoders": {"mosi": "bert"}}, "encoder: 'mosi' is not one of the data sets"),
    ],
)
def test_terms_that_cannot_be_are_errors(
    changed: dict[str, Any], said: str, tiny: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        work_on(tiny, tmp_path / "out", **changed)
    assert not list(tmp_path.iterdir())


def test_an_experiment_about_other_data_is_an_error(done: tuple[Work, Result]) -> None:
    other = replace(EXPERIMENT, presets=("mosi", "mosei"))
    with pytest.raises(ConfigError, match="tiny1: is about mosi, mosei; the data are tiny"):
        run_experiment(other, done[0])


# --------------------------------------------------------------------------------------- context


@pytest.mark.usefixtures("nothing_trains")
def test_a_context_gives_the_same_cells(done: tuple[Work, Result], tiny: Dataset) -> None:
    context = done[0].context()
    trained = context.train([CMC, ROWS[3]], "tiny")
    assert list(trained) == ["CMC", "Few"]
    assert [model.seed for model in trained["CMC"]] == list(context.seeds) == [1, 2]
    assert [model.fingerprint for model in trained["CMC"]] == [tiny.fingerprint()] * 2
    assert context.settings_for("cmc", "tiny")["pretrain.epochs"] == 2
    assert (context.budget, context.protocol, context.simulated) == ("quick", "default", False)


def test_a_context_needs_all_seeds(
    done: tuple[Work, Result], tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise TricordError("no more")

    monkeypatch.setattr(cells, "train_one", refuse)
    context = work_on(tiny, done[0].out, seeds=(1, 2, 3)).context()
    with pytest.raises(TricordError, match="CMC: tiny, CMC, seed 3: no more"):
        context.train([CMC], "tiny")


def test_what_was_set_by_hand_is_in_the_terms_of_a_context(done: tuple[Work, Result]) -> None:
    context = done[0].context()
    assert "cmc.pretrain.epochs=2" in context.head("x", "X")["set_by_hand"]
    assert "`cmc.pretrain.epochs=2`" in "".join(context.paragraphs())


def test_a_row_without_one_of_its_seeds_is_not_told_and_no_row_is_an_error(
    done: tuple[Work, Result], tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_one = cells.train_one

    def refuse_cmc(*arguments: Any, name: str, **others: Any) -> Any:
        if name == "cmc":
            raise TricordError("no more")
        return train_one(*arguments, name=name, **others)

    monkeypatch.setattr(cells, "train_one", refuse_cmc)
    work = work_on(tiny, done[0].out, seeds=(1, 2, 3))
    result = run_experiment(replace(EXPERIMENT, rows=ROWS[:2], claims=()), work)
    assert [found.reason for found in result.found] == ["tiny, CMC, seed 3: no more", ""]
    quoted = [CMC, row(done[1], "Quoted").row]
    with pytest.raises(TricordError, match="tiny1: no row can run: tiny, CMC, seed 3: no more"):
        run_experiment(replace(EXPERIMENT, rows=quoted, claims=()), work)
