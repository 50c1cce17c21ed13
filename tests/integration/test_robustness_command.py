"""`tricord robustness`, and data that lacks a modality, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import Type, narrow
from figures import Drawn, letters
from tricord import cli
from tricord.data.readers.mmsa import write_mmsa
from tricord.report.markup import Html
from tricord.types import MODALITIES

QUICK = ("model.d=8", "model.feedforward=8", "pretrain.epochs=1", "finetune.epochs=1")
KEPT = {f"robustness-valid.{kind}" for kind in ("json", "md", "png", "svg")}
WIDTH = 4
Splits = dict[str, dict[str, Any]]
SAID = "no vision in {}: predicted from text, audio; weights are over those present"


@pytest.fixture(scope="module")
def files(
    simulated: tuple[Splits, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Simulated clips with a few of their columns, and the same without vision."""
    folder = tmp_path_factory.mktemp("files")
    splits, record = simulated
    few = {
        name: {k: v[..., :WIDTH] if k in MODALITIES else v for k, v in split.items()}
        for name, split in splits.items()
    }
    gone = ("vision", "vision_lengths", "regression_labels_V")
    two = {name: {k: v for k, v in split.items() if k not in gone} for name, split in few.items()}
    write_mmsa(folder / "whole.pkl", few, record)
    write_mmsa(folder / "blind.pkl", two, record)
    return folder / "whole.pkl", folder / "blind.pkl"


@pytest.fixture(scope="module")
def whole(files: tuple[Path, Path]) -> Path:
    return files[0]


@pytest.fixture(scope="module")
def blind(files: tuple[Path, Path]) -> Path:
    return files[1]


@pytest.fixture(scope="module")
def run(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("robustness") / "run"
    return train(whole, out, "model.modality_dropout=0.3")


def train(file: Path, out: Path, *settings: str) -> Path:
    chosen = [word for setting in (*QUICK, *settings) for word in ("--set", setting)]
    assert cli.run(["train", str(file), "--preset", "tiny", "--out", str(out), *chosen]) == 0
    return out


def test_a_run_on_broken_data(user: Type, run: Path, drawn: Drawn) -> None:
    chosen = ("--conditions", "frames,removal,shift", "--repeats", 1)
    said = user("robustness", run, "--split", "valid", *chosen)
    assert said.code == 0
    assert narrow(said.out)
    assert "SIMULATED DATA" in said.out
    for words in ("cmc on valid", "clean", "frames all, 90 %", "removal text+audio", "drop 95 %"):
        assert words in said.out
    assert {path.name for path in run.iterdir()} >= KEPT
    written = letters(drawn["robustness-valid"])
    for words in ("SIMULATED DATA", "Frames lost", "removal text+audio", "shift vision 50 %"):
        assert words in written

    kept = json.loads((run / "robustness-valid.json").read_text())
    assert kept["simulated"] is True
    assert {row["condition"] for row in kept["rows"]} == {"frames", "removal", "shift"}
    levels = [point["level"] for point in kept["rows"][0]["points"]]
    assert levels == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])


def test_json_is_what_is_kept(user: Type, run: Path, drawn: Drawn) -> None:
    said = user("robustness", run, "--conditions", "shuffle", "--repeats", 1, "--json")
    assert said.code == 0
    assert json.loads(said.out) == json.loads((run / "robustness-test.json").read_text())
    wrong = user("robustness", run, "--conditions", "fog")
    assert wrong.code != 0
    assert "error: condition 'fog' does not exist" in wrong.err


def test_data_without_vision_is_predicted_and_it_is_said_once(
    user: Type, run: Path, blind: Path
) -> None:
    said = user("predict", run, blind)
    assert said.code == 0
    assert said.err.count(SAID.format(blind)) == 1
    head, first = said.out.splitlines()[:2]
    row = dict(zip(head.split(","), first.split(","), strict=True))
    assert (row["vote_vision"], float(row["weight_vision"])) == ("", 0)
    assert float(row["weight_text"]) + float(row["weight_audio"]) == pytest.approx(1, abs=1e-5)

    said = user("evaluate", run, "--data", blind)
    assert said.code == 0
    assert said.err.count(SAID.format(blind)) == 1
    names = [line.split(" ")[0] for line in said.out.splitlines()]
    assert "audio" in names
    assert "vision" not in names


def test_two_modalities_from_training_to_report(
    user: Type, whole: Path, blind: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # drawing takes longer than all else here, and is tested with the report
    monkeypatch.setattr("tricord.report.figures._figure", lambda *_, **__: Html(""))
    two = train(blind, tmp_path / "two")
    said = user("evaluate", two)
    assert said.code == 0
    assert "predicted from" not in said.err
    assert "all splits: vision" in (two / "report.html").read_text()
    full, half = user("predict", two, whole), user("predict", two, blind)
    assert full.code == half.code == 0
    assert full.out == half.out
    assert "vision" not in half.out.splitlines()[0]
