"""`tricord confidence`, and what `tricord predict` promises, as a user types them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tricord
from commands import Type, narrow
from figures import Drawn, letters
from tricord import cli
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.schema import Dataset
from tricord.evaluation.calibration import ece
from tricord.experiments import confidence
from tricord.inference.confidence import abstains, sets
from tricord.inference.predictor import predict


def test_what_is_shown(trained: Path, sim: Path, user: Type) -> None:
    said = user("confidence", trained, "--risk", 0.7, "--unit", "clip", "--data", sim)
    assert said.code == 0, said.err
    assert narrow(said.out)
    for word in ("SIMULATED DATA", "ECE mass", "Brier", "D_msi", "vote vision", "AUPRC", "2 seeds"):
        assert word in said.out
    assert "fitted on 14 clips of valid of sim.pkl" in " ".join(said.out.split())


def test_what_is_kept_and_printed_as_json(run: Path, user: Type, drawn: Drawn) -> None:
    said = user("confidence", run, "--json")
    assert said.code == 0
    content = json.loads((run / "confidence-test.json").read_text())
    assert json.loads(said.out) == content
    assert content["simulated"] is True
    assert content["seeds"] == [1, 2]
    whole = content["rows"][0]
    assert (whole["name"], whole["subset"], whole["clips"]) == ("consensus", "D_test", 14)
    loaded = tricord.load_model(run)
    for seed, trained in enumerate(loaded.trained):
        found = predict(trained, loaded.dataset(), "test")
        truth = found.scheme.to_class(loaded.dataset()["test"].scores[:, 0])
        assert whole["after"][seed]["ece"] == pytest.approx(ece(found.probabilities, truth))
        bare = ece(found.uncalibrated.probabilities, truth)
        assert whole["before"][seed]["ece"] == pytest.approx(bare)
    written = letters(drawn["confidence-test"])
    for word in ("SIMULATED DATA", "as trained", "calibrated (temperature)", "D_msi"):
        assert word in written


def test_on_valid_the_fit_lowers_the_log_loss(run: Path) -> None:
    for method in ("temperature", "vector"):
        found = confidence.measure(tricord.load_model(run), split="valid", method=method)
        for row in (found.rows[0], *(r for r in found.rows if r.name != "consensus")):
            for before, after in zip(row.before, row.after, strict=True):
                assert after["log_loss"] <= before["log_loss"] + 1e-12


def test_nothing_is_fitted_on_the_split_looked_at(run: Path, data: Dataset) -> None:
    """Other labels there change what is measured, and no scaling or threshold."""
    loaded = tricord.load_model(run)
    scores = np.round(-data["test"].scores, 6)
    turned = {**data.splits, "test": data["test"].take(np.arange(14))}
    turned["test"] = replace(turned["test"], scores=scores)
    other = Dataset(turned, data.source)
    first, second = (confidence.measure(loaded, d, risk=0.7, by_video=False) for d in (data, other))
    assert first.calibrations == second.calibrations
    assert [s.threshold for s in first.sets] == [s.threshold for s in second.sets]
    assert [d.threshold for d in first.detectors] == [d.threshold for d in second.detectors]
    assert first.rows[0].after != second.rows[0].after


def test_another_file_keeps_nothing_and_may_lack_valid(
    run: Path, simulated: tuple[dict[str, dict[str, Any]], Any], user: Type, tmp_path: Path
) -> None:
    write_mmsa(tmp_path / "alone.pkl", {"test": simulated[0]["test"]})
    said = user("confidence", run, "--data", tmp_path / "alone.pkl", "--json")
    assert said.code == 0
    assert json.loads(said.out)["fitted_on"] == "14 clips of valid of sim.pkl"
    assert not (run / "confidence-test.json").exists()


def test_a_head_that_gives_scores_is_a_mistake(sim: Path, user: Type, tmp_path: Path) -> None:
    settings = {"epochs": 1, "labels.head": "regression"}
    tricord.train(sim, "tiny", "early-fusion", out=tmp_path / "run", settings=settings)
    said = user("confidence", tmp_path / "run")
    assert said.code == 2
    assert "early-fusion: gives a score and no classes" in said.err
    said = user("predict", tmp_path / "run", sim, "--risk", 0.2)
    assert said.code == 2
    assert "not calibrated" in said.err
    assert "calibrated" not in user("predict", tmp_path / "run", sim).err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--method", "platt"], "--method platt: one of temperature, vector, none"),
        (["--risk", "0"], "--risk 0: a number between 0 and 1"),
        (["--coverage", "nan"], "--coverage nan: a number between 0 and 1"),
        (["--unit", "speaker"], "--unit speaker: 'video' or 'clip'"),
        (["--split", "dev"], "'dev'"),
    ],
)
def test_mistakes_are_one_line(words: list[str], expected: str, trained: Path, user: Type) -> None:
    said = user("confidence", trained, *words)
    assert said.code == 2
    assert expected in said.err
    assert said.err.count("\n") == 1


# -------------------------------------------------------------------------------------- predicting


def test_predict_says_on_what_probabilities_stand(run: Path, sim: Path, user: Type) -> None:
    said = user("predict", run, sim)
    assert said.err == "probabilities calibrated on 14 clips of valid\n"
    assert "abstain" not in said.out
    for path in run.glob("seed-*/calibration.json"):
        path.unlink()
    assert user("predict", run, sim).err == "probabilities not calibrated\n"


def test_predict_adds_what_it_is_asked_for(run: Path, sim: Path, user: Type) -> None:
    said = user("predict", run, sim, "--risk", 0.5, "--coverage", 0.6, "--unit", "clip")
    assert said.code == 0, said.err
    rows = list(csv.DictReader(said.out.splitlines()))
    predictions = tricord.load_model(run).predict(sim)
    expected = abstains(predictions, 0.5, by_video=False)
    assert [row["abstain"] for row in rows] == [str(e) for e in expected.tolist()]
    assert f"no answer for {expected.sum()} of 14 clips" in said.err
    assert [row["set"] for row in rows] == sets(predictions, 0.6, by_video=False)
    names = ("negative", "neutral", "positive")
    for row in rows:
        members = row["set"].split("|")
        assert row["label"] in members
        assert members == [n for n in names if n in members]
        assert min(float(row[f"p_{n}"]) for n in members) >= max(
            (float(row[f"p_{n}"]) for n in names if n not in members), default=0
        )
    said = user("predict", run, sim, "--risk", 0.01)
    assert {row["abstain"] for row in csv.DictReader(said.out.splitlines())} == {"True"}
    assert "no answer for 14 of 14 clips; --unit clip asks for less" in said.err
    assert "lack a modality" not in said.err


def test_promises_are_hedged_where_a_modality_is_absent(
    run: Path, simulated: Any, user: Type, tmp_path: Path
) -> None:
    splits, record = simulated
    deaf = {k: v for k, v in splits["test"].items() if not k.startswith("audio")}
    write_mmsa(tmp_path / "deaf.pkl", {"test": deaf}, record)
    hedge = "promises need not hold for clips that lack a modality"
    assert hedge in user("predict", run, tmp_path / "deaf.pkl", "--coverage", 0.6).err
    assert hedge not in user("predict", run, tmp_path / "deaf.pkl").err


def test_the_commands_help_fits_and_is_listed(user: Type) -> None:
    assert "confidence" in user("--help").out
    said = user("confidence", "--help")
    assert narrow(said.out)
    assert cli.run(["confidence"]) == 2
