"""Figures 4 and 5: rows, slopes, and what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_data
from tricord import api
from tricord.data.schema import Dataset
from tricord.errors import ConfigError
from tricord.evaluation.statistics import Interval
from tricord.evaluation.table import evaluate
from tricord.experiments.compare_table import SIMULATED
from tricord.experiments.reproduce.figures45 import CMC, DIFFERENCE, FIGURE4, FIGURE5, GT, Retention
from tricord.experiments.reproduce.plan import Row
from tricord.experiments.reproduce.result import Number
from tricord.experiments.reproduce.retention import LEVELS, Curve, Steepness, measure, slopes
from tricord.experiments.reproduce.work import Context
from tricord.training.trained import TrainedModel
from tricord.types import Subset

SEEDS = (1, 2)
BRIEF = {"pretrain.epochs": 1, "finetune.epochs": 2, "pretrain.lr": 0.03, "finetune.lr": 0.03}
Models = Mapping[str, Sequence[TrainedModel]]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return tiny_data.dataset((16, 4, 30))


@pytest.fixture(scope="module")
def models(data: Dataset) -> Models:
    """Of each kind one a seed, hardly trained."""
    settings = {**tiny_data.SETTINGS, **BRIEF}
    return {
        shown: api.train(data, "tiny", name, SEEDS, settings=settings).trained
        for shown, name in ((CMC, "cmc"), (GT, "cmc-gt"))
    }


def trained_at(models: Models) -> Models:
    """By row: what stands for CMC is another model from 60 % on; CMC-GT is always the same."""
    early = {row.name: row.model == "cmc" and row.keep < 0.5 for row in FIGURE4.rows()}
    return {name: models[CMC if is_early else GT] for name, is_early in early.items()}


def context(
    out: Path, data: Dataset, models: Models | None = None, said: list[str] | None = None
) -> Context:
    def train(rows: Sequence[Row], preset: str) -> Models:
        assert models is not None
        assert ([row.name for row in rows], preset) == (list(trained_at(models)), "ch-sims")
        return trained_at(models)

    return Context(
        datasets={"ch-sims": data},
        seeds=SEEDS,
        settings_for=lambda model, preset: {},
        train=train,
        out=out,
        simulated=True,
        budget="quick",
        protocol="default",
        say=lambda line: said.append(line) if said is not None else None,
    )


def number(*per_seed: float) -> Number:
    mean = float(np.mean(per_seed))
    return Number(Interval(mean, mean - 0.1, mean + 0.1, 0.95, "made up", 9), 0.1, per_seed)


def test_slopes_by_hand() -> None:
    assert slopes([0, 1], [[50, 53]]).tolist() == [3]
    # x - mean = -1, 0, 1: (3 - 1) / 2, then (0 - 4) / 2
    np.testing.assert_allclose(slopes([0, 1, 2], [[1, 7, 3], [4, 0, 0]]), [1, -2])


def test_slopes_are_those_of_least_squares() -> None:
    values = np.random.default_rng(0).normal(size=(3, len(LEVELS)))
    expected = [np.polyfit(LEVELS, row, 1)[0] for row in values]
    np.testing.assert_allclose(slopes(LEVELS, values), expected)


def test_a_curve_has_a_slope_a_seed_in_percentage_points() -> None:
    curve = Curve([number(0.5 + 0.04 * keep, 0.9 - 0.1 * keep) for keep in LEVELS])
    np.testing.assert_allclose(curve.slopes, [4, -10])


def test_steepness_of_one_seed_has_no_interval() -> None:
    assert Steepness.of(np.array([2.0])) == Steepness([2.0], 2.0, None, None)
    several = Steepness.of(np.array([1.0, 2.0, 3.0]))
    assert (several.mean, several.spread) == (2, 1)
    assert several.interval is not None
    # 4.303 is the t quantile of two degrees of freedom
    assert several.interval.high == pytest.approx(2 + 4.303 / 3**0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("figure", "preset", "printed", "layers"),
    [
        (FIGURE4, "ch-sims", {CMC: 4.53, GT: 4.30}, 1),
        (FIGURE5, "ch-sims-v2", {CMC: 6.77, GT: 4.02}, 4),
    ],
)
def test_rows_are_both_models_at_every_level(
    figure: Retention, preset: str, printed: dict[str, float], layers: int
) -> None:
    rows = figure.rows()
    assert (figure.preset, dict(figure.slopes)) == (preset, printed)
    assert [(row.model, row.keep) for row in rows] == [
        (model, keep) for model in ("cmc", "cmc-gt") for keep in (0, 0.2, 0.4, 0.6, 0.8, 1)
    ]
    assert len({row.name for row in rows}) == 12
    own = {row.for_preset.get(preset, {}).get("modalities.layers") for row in rows[6:]}
    assert own == {layers}
    assert not any(row.for_preset for row in rows[:6])


@dataclass(frozen=True)
class Written:
    """What FIGURE4 wrote and said."""

    folder: Path
    said: list[str]

    def text(self, suffix: str) -> str:
        return (self.folder / f"fig4{suffix}").read_text(encoding="utf-8")

    @property
    def subsets(self) -> dict[str, Any]:
        return json.loads(self.text(".json"))["subsets"]


@pytest.fixture(scope="module")
def written(data: Dataset, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Written:
    found = Written(tmp_path_factory.mktemp("figure"), [])
    FIGURE4.run(context(found.folder, data, models, found.said))
    return found


def test_points_are_those_of_the_table(data: Dataset, models: Models, written: Written) -> None:
    table = evaluate(models, data)
    assert set(written.subsets) == set(Subset)
    for subset in Subset:
        points = written.subsets[subset]["points"]
        for shown, place, kept in ((CMC, 2, CMC), (CMC, 3, GT), (GT, 0, GT)):
            right = table.row(kept).right[:, table.masks[subset]].mean(axis=1)
            np.testing.assert_allclose(points[shown][place]["per_seed"], 100 * right)


def test_slopes_are_those_of_the_points(written: Written) -> None:
    assert json.loads(written.text(".json"))["slopes_in_the_paper"] == {
        "D_msc": {CMC: 4.53, GT: 4.30}
    }
    for own in written.subsets.values():
        curve = np.array([point["per_seed"] for point in own["points"][CMC]]).T
        expected = [np.polyfit(LEVELS, row, 1)[0] for row in curve]
        np.testing.assert_allclose(own["slopes"][CMC]["by_seed"], expected, atol=1e-9)
        np.testing.assert_allclose(own["slopes"][GT]["by_seed"], [0, 0], atol=1e-9)
        np.testing.assert_allclose(own["slopes"][DIFFERENCE]["by_seed"], expected, atol=1e-9)
    assert any(abs(own["slopes"][CMC]["mean"]) > 1 for own in written.subsets.values())


def test_every_file_says_what_it_is(written: Written) -> None:
    suffixes = {path.suffix for path in written.folder.iterdir()}
    assert suffixes == {".json", ".md", ".csv", ".png", ".svg"}
    assert json.loads(written.text(".json"))["head"] == SIMULATED
    assert SIMULATED in written.text(".md")
    assert "**Budget quick: too small to show a direction.**" in written.text(".md")
    assert "SIMULATED DATA" in written.text(".svg")
    assert written.text(".csv").count("SIMULATED") == 3 * 2 * len(LEVELS)


def test_the_papers_slopes_stand_beside_ours(written: Written) -> None:
    assert "| D_msc, the paper's | +4.53 | +4.30 | +0.23 |" in written.text(".md")
    assert written.said[0] == "budget quick: too small to show a direction"
    assert written.said[-1] == "slope on D_msc, the paper's: CMC +4.53, CMC-GT +4.30"
    rows = list(csv.DictReader(written.text(".csv").splitlines()))
    assert float(rows[0]["mean"]) == written.subsets["D_test"]["points"][CMC][0]["mean"]


def test_data_without_unimodal_labels_have_one_panel(data: Dataset, models: Models) -> None:
    scores = data["test"].scores.copy()
    scores[:, 1:] = np.nan
    bare = replace(data, splits={**data.splits, "test": replace(data["test"], scores=scores)})
    alone = {name: own[:1] for name, own in trained_at(models).items()}
    assert set(measure(alone, (CMC, GT), bare)) == {Subset.TEST}


def test_real_data_and_one_seed(data: Dataset, tmp_path: Path) -> None:
    curves = {
        CMC: Curve([number(0.8)] * 6),
        GT: Curve([number(0.7 + keep / 10) for keep in LEVELS]),
    }
    real = replace(context(tmp_path, data), seeds=(1,), simulated=False, budget="paper")
    FIGURE4.write(real, {Subset.MSC: curves})
    content = json.loads((tmp_path / "fig4.json").read_text(encoding="utf-8"))
    slope = content["subsets"]["D_msc"]["slopes"][GT]
    assert slope["mean"] == pytest.approx(10)
    assert slope["interval"] is None
    page = (tmp_path / "fig4.md").read_text(encoding="utf-8")
    assert "| D_msc | 0.00 | +10.00 | −10.00 |" in page
    assert "oo small" not in page
    for name in ("fig4.md", "fig4.svg", "fig4.csv"):
        assert "SIMULATED" not in (tmp_path / name).read_text(encoding="utf-8")


def test_a_figure_of_other_data_is_refused(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is about ch-sims-v2; the data are ch-sims"):
        FIGURE5.run(context(tmp_path, data))
