"""Figure 7: which clips are chosen, what MCR saved and lost, what is written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny_data
from tricord import api, presets
from tricord.data.schema import Dataset, FeatureTable
from tricord.experiments.compare_table import SIMULATED
from tricord.experiments.reproduce.figure7 import Figure7
from tricord.experiments.reproduce.figure7_cases import KINDS, Decided, decide, most_usual
from tricord.experiments.reproduce.plan import Row
from tricord.experiments.reproduce.work import Context
from tricord.inference.predictor import Predictions, predict
from tricord.training.trained import TrainedModel

NEGATIVE, POSITIVE = [3.0, 0.0, -3.0], [-3.0, 0.0, 3.0]
EVEN, SOME, SURE = [0.34, 0.33, 0.33], [0.6, 0.2, 0.2], [0.98, 0.01, 0.01]
IDS = ("a", "b", "c", "d", "e")
# multimodal, text, audio, vision: two consistent clips, three inconsistent ones
SCORES = [
    [0.4, 0.4, 0.2, 0.6],
    [-0.4, -0.2, -0.2, -0.6],
    [0.4, -0.4, 0.4, 0.4],
    [0.4, 0.4, 0.4, -0.4],
    [-0.4, 0.4, -0.4, -0.4],
]


def table(scores: Sequence[Sequence[float]] = SCORES) -> FeatureTable:
    return replace(tiny_data.table("test", len(scores)), ids=IDS, scores=np.array(scores))


def predictions(
    outputs: Sequence[list[float]], text: Sequence[list[float]], weights: Sequence[list[float]]
) -> Predictions:
    votes = np.array([[t, POSITIVE, POSITIVE] for t in text])
    return Predictions(
        ids=IDS,
        modalities=("text", "audio", "vision"),
        scheme=presets.tiny().labels,
        outputs=np.array(outputs),
        votes=votes,
        weights=np.array(weights),
        present=np.ones((len(IDS), 3), dtype=np.bool_),
    )


def decided(found: Predictions, scores: Sequence[Sequence[float]] = SCORES) -> Decided:
    result = decide(found, table(scores), "ch-sims", "f", 1)
    assert result is not None
    return result


def test_the_median_entropy_is_chosen_not_an_end() -> None:
    weights = np.array([EVEN, SURE, SOME])
    every = np.ones(3, dtype=np.bool_)
    assert most_usual(weights, every, ("a", "b", "c")) == 2
    assert most_usual(weights, np.array([True, False, False]), ("a", "b", "c")) == 0
    assert most_usual(weights, ~every, ("a", "b", "c")) is None


def test_of_two_as_near_the_first_id_is_chosen() -> None:
    assert most_usual(np.array([EVEN, SURE]), np.ones(2, dtype=np.bool_), ("y", "x")) == 1


def test_each_kind_is_chosen_among_rightly_decided_clips_of_its_own() -> None:
    found = decided(
        predictions(
            outputs=[NEGATIVE, NEGATIVE, POSITIVE, POSITIVE, POSITIVE],  # a and e are wrong
            text=[POSITIVE, NEGATIVE, NEGATIVE, POSITIVE, NEGATIVE],
            weights=[EVEN, EVEN, SOME, SURE, EVEN],
        )
    )
    assert [case.kind for case in found.cases] == list(KINDS)
    assert [case.id for case in found.cases] == ["b", "d", "c"]
    assert [case.candidates for case in found.cases] == [1, 1, 1]
    assert (found.inconsistent, found.saved, found.lost) == (3, 1, 1)


def test_votes_and_consensus_are_probabilities_and_absent_votes_are_nothing() -> None:
    found = predictions([POSITIVE] * 5, [POSITIVE] * 5, [SOME] * 5)
    found.present[:, 1] = False
    result = decided(found)
    case = result.cases[0]
    np.testing.assert_allclose(case.votes.sum(axis=1), 1)
    np.testing.assert_allclose(case.consensus, np.exp(POSITIVE) / np.exp(POSITIVE).sum())
    written = result.to_json()["cases"][0]["modalities"]
    assert written["audio"]["vote"] is None
    assert written["text"]["vote"] == pytest.approx(case.votes[0].tolist(), abs=1e-6)


def test_a_kind_without_candidates_is_left_out() -> None:
    found = decided(predictions([NEGATIVE] * 5, [NEGATIVE] * 5, [SOME] * 5))
    assert [case.kind for case in found.cases] == list(KINDS[:2])  # text and consensus agree
    assert (found.saved, found.lost) == (0, 0)


def test_without_the_modalities_labels_there_is_nothing_to_show() -> None:
    scores = [[*row[:3], math.nan] for row in SCORES]
    found = predictions([POSITIVE] * 5, [POSITIVE] * 5, [SOME] * 5)
    assert decide(found, table(scores), "mosi", "f", 1) is None


@pytest.fixture(scope="module")
def data() -> Dataset:
    return replace(tiny_data.dataset((20, 9, 30)), simulation={"about": "a test"})


@pytest.fixture(scope="module")
def trained(data: Dataset) -> Sequence[TrainedModel]:
    config = tiny_data.config({"pretrain.epochs": 1, "finetune.epochs": 1})
    return api.train(data, "tiny", seed=[1, 2], config=config).trained


def context(data: Dataset, trained: Sequence[TrainedModel], out: Path) -> Context:
    def train(rows: Sequence[Row], preset: str) -> Mapping[str, Sequence[TrainedModel]]:
        assert [(row.model, row.settings) for row in rows] == [("cmc", {})]  # Table IV's cells
        return {row.name: trained for row in rows}

    return Context(
        datasets={"ch-sims": data},
        seeds=[1, 2],
        settings_for=lambda model, preset: {},
        train=train,
        out=out,
        simulated=data.simulated,
        budget="quick",
        protocol="default",
        say=str,
    )


def test_what_is_written_is_what_the_seed_best_on_valid_decides(
    data: Dataset, trained: Sequence[TrainedModel], tmp_path: Path
) -> None:
    Figure7().run(context(data, trained, tmp_path))
    content = json.loads((tmp_path / "fig7.json").read_text(encoding="utf-8"))
    found = content["datasets"]["ch-sims"]
    best = min(trained, key=lambda model: model.selected()[model.config.criterion])
    assert found["seed"] == best.seed
    decisions = predict(best, data, "test")
    assert found["cases"]
    for case in found["cases"]:
        row = decisions.ids.index(case["id"])
        weights = [case["modalities"][name]["weight"] for name in decisions.modalities]
        assert weights == pytest.approx(decisions.weights[row].tolist(), abs=1e-6)
        assert case["consensus"] == pytest.approx(
            decisions.uncalibrated.probabilities[row].tolist(), abs=1e-6
        )
    assert content["head"] == SIMULATED
    assert SIMULATED in (tmp_path / "fig7.md").read_text(encoding="utf-8")
    assert "SIMULATED DATA" in (tmp_path / "fig7.svg").read_text(encoding="utf-8")
    assert (tmp_path / "fig7.png").read_bytes().startswith(b"\x89PNG")


def test_real_data_are_not_called_simulated(
    data: Dataset, trained: Sequence[TrainedModel], tmp_path: Path
) -> None:
    Figure7().run(context(replace(data, simulation=None), trained, tmp_path))
    for name in ("fig7.md", "fig7.svg", "fig7.json"):
        assert "SIMULATED" not in (tmp_path / name).read_text(encoding="utf-8")


def test_a_data_set_without_such_labels_is_named(
    data: Dataset, trained: Sequence[TrainedModel], tmp_path: Path
) -> None:
    test = data["test"]
    scores = test.scores.copy()
    scores[0, 2] = np.nan
    splits = {**data.splits, "test": replace(test, scores=scores)}
    Figure7().run(context(replace(data, splits=splits), trained, tmp_path))
    assert "ch-sims: not shown" in (tmp_path / "fig7.md").read_text(encoding="utf-8")
    assert not (tmp_path / "fig7.svg").exists()
