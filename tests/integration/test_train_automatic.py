"""tricord train and compare without a preset, from a store to a prediction."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_data
import tricord
from commands import QUICK, SETTINGS, Said, Type, narrow
from tricord import api
from tricord.data.schema import Dataset, FeatureTable
from tricord.data.store import write_store

WORDS = np.array(["sad", "angry", "happy"])
BLOCK = "settings chosen from train and valid:"


def in_words(table: FeatureTable) -> FeatureTable:
    """Labels that are words alone."""
    places = np.digitize(table.scores[:, 0], [-0.2, 0.2])
    scores = np.full_like(table.scores, np.nan)
    return replace(table, scores=scores, label_names=tuple(WORDS[places].tolist()))


def in_grades(table: FeatureTable) -> FeatureTable:
    """Whole numbers from 1 to 5."""
    scores = np.full_like(table.scores, np.nan)
    scores[:, 0] = 1 + np.digitize(table.scores[:, 0], [-0.4, -0.1, 0.1, 0.4])
    return replace(table, scores=scores)


def stored(path: Path, change: Any, **options: Any) -> Path:
    whole = tiny_data.dataset((30, 18, 15), **options)
    write_store(Dataset({k: change(t) for k, t in whole.splits.items()}, "drawn"), path)
    return path


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return stored(tmp_path / "words.tricord", in_words)


def typed(said: Said) -> str:
    """What a command told on its way, its lines joined."""
    assert said.code == 0, said.err
    return " ".join(said.err.split())


def test_words_from_training_to_prediction(words: Path, user: Type, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = user("train", words, "--out", run, *QUICK)
    told = typed(said)
    assert BLOCK in told
    assert narrow(said.err[said.err.index(BLOCK) : said.err.index("stage 1")])
    for part in (
        "labels 3 words: angry, happy, sad (no order)",
        "clips 30 train, 18 valid, 15 test",
        "features text 5, audio 3, vision 4 (numbers a frame)",
        "(fewer than 600 clips to train on)",
    ):
        assert part in told
    about = json.loads((run / "run.json").read_text())
    assert about["config"]["preset"] == "automatic"
    assert about["config"]["labels"]["classes"] == ["angry", "happy", "sad"]
    assert about["chosen"][0] == {
        "what": "labels",
        "value": "3 words: angry, happy, sad",
        "why": "no order",
    }

    for command in ("evaluate", "labels", "confidence"):
        assert user(command, run).code == 0
    assert "angry" in (run / "report.html").read_text()
    out = tmp_path / "p.csv"
    assert user("predict", run, words, "--out", out).code == 0
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 15
    assert {row["label"] for row in rows} <= set(WORDS)
    for row in rows:
        assert sum(float(row[f"p_{w}"]) for w in WORDS) == pytest.approx(1, abs=1e-5)


def test_a_run_without_a_preset_is_resumed_without_one(
    words: Path, user: Type, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert user("train", words, "--out", run, *QUICK).code == 0
    again = user("train", words, "--out", run, "--seed", 1, "--resume", *QUICK)
    assert "stage 1" not in typed(again)  # nothing is trained again
    other = user("train", words, "--out", run, "--resume", "--preset", "mosi", *QUICK)
    assert other.code == 2
    assert "holds a run with another config" in other.err


def test_a_preset_is_as_before(sim: Path, user: Type, tmp_path: Path) -> None:
    said = user("train", sim, "--preset", "tiny", "--out", tmp_path / "run", *QUICK)
    assert BLOCK not in typed(said)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (about["config"]["preset"], about["chosen"]) == ("tiny", [])


@pytest.mark.parametrize("widths", [{"audio": 3}, {"text": 5, "vision": 4}])
def test_grades_and_fewer_modalities(widths: dict[str, int], tmp_path: Path) -> None:
    path = stored(tmp_path / "grades.tricord", in_grades, widths=widths)
    run = tricord.train(path, settings=SETTINGS)
    assert run.best.widths == widths
    assert run.best.config.labels.classes == ("1", "2", "3", "4", "5")
    accuracy = run.evaluate().row("cmc").cells
    assert all(cell is not None for cell in accuracy.values())


def test_test_may_hold_anything_when_settings_are_chosen(tmp_path: Path) -> None:
    whole = tiny_data.dataset()
    broken = replace(whole["test"], scores=np.full_like(whole["test"].scores, 77.0))
    changed = Dataset({**whole.splits, "test": broken}, whole.source)
    assert api.config_for(changed) == api.config_for(whole) == api.config_for(whole, "automatic")


def test_numbers_of_no_kind_are_refused_before_anything_is_written(
    user: Type, tmp_path: Path
) -> None:
    def hundred(table: FeatureTable) -> FeatureTable:
        return replace(table, scores=50.5 + 50 * table.scores)

    path = stored(tmp_path / "hundred.tricord", hundred)
    said = user("train", path, "--out", tmp_path / "run", *QUICK)
    assert said.code == 2
    assert "say where classes begin: --set 'labels.cuts=" in " ".join(said.err.split())
    assert not (tmp_path / "run").exists()
    by_hand = {"cuts": '[">=50"]', "classes": '["low","high"]', "low": 0, "high": 101}
    given = [part for k, v in by_hand.items() for part in ("--set", f"labels.{k}={v}")]
    said = user("train", path, "--out", tmp_path / "run", *QUICK, *given)
    assert "labels 2 classes: low, high (set by hand)" in typed(said)
    chosen = json.loads((tmp_path / "run" / "run.json").read_text())["chosen"]
    assert chosen[0]["why"] == "set by hand"


def test_models_are_compared_without_a_preset(words: Path, user: Type, tmp_path: Path) -> None:
    sets = [part for k, v in SETTINGS.items() for part in ("--set", f"cmc.{k}={v}")]
    sets += ["--set", "early-fusion.epochs=1"]
    models = ("--models", "self-mm,cmc,early-fusion", "--seeds", 1)
    said = user("compare", words, *models, "--out", tmp_path / "duel", *sets)
    assert "self-mm: not run: labels.head" in typed(said)
    assert typed(said).startswith(f"{BLOCK} labels 3 words: angry, happy, sad")
    plan = json.loads((tmp_path / "duel" / "plan.json").read_text())
    assert plan["preset"] == "automatic"
    about = json.loads((tmp_path / "duel" / "cmc" / "run.json").read_text())
    assert about["config"]["labels"]["classes"] == ["angry", "happy", "sad"]
    wrong = user("compare", words, *models, "--out", tmp_path / "no", "--set", "cmc.nonsense=1")
    assert (wrong.code, (tmp_path / "no").exists()) == (2, False)


def test_a_device_that_is_not_there_is_said_before_anything_is_written(
    words: Path, user: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    commands = {"train": (), "compare": ("--models", "cmc"), "leave-out": ("--models", "cmc")}
    for command, more in commands.items():
        said = user(command, words, *more, "--device", "cuda", "--out", tmp_path / command)
        assert said.code == 2
        assert "device: 'cuda' is not on this machine" in said.err
        assert not (tmp_path / command).exists()
