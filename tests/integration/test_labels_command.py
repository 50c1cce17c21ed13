"""tricord labels, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import tricord
from commands import Type, narrow

SHORT = {"model.d": 8, "pretrain.epochs": 0, "finetune.epochs": 0}


def test_labels_are_scored_over_seeds_and_kept(run: Path, user: Type) -> None:
    said = user("labels", run)
    assert said.code == 0
    assert narrow(said.out)
    assert said.out.startswith("SIMULATED DATA")
    for word in (
        "text, all",
        "text, D_msi",
        "vision, D_msi",
        "oracle",
        "2 seeds",
        "warning: audio",
    ):
        assert word in said.out
    kept = json.loads((run / "labels.json").read_text())
    assert (kept["simulated"], kept["seeds"]) == (True, [1, 2])
    part = kept["modalities"]["audio"]["parts"]["D_msi"]
    assert part["oracle"] > part["before"]
    assert part["reached"]["seeds"] == [0.0, 0.0]

    said = user("labels", run, "--json")
    assert json.loads(said.out) == kept


def test_true_labels_need_no_recovery(sim: Path, user: Type, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tricord.train(sim, "tiny", "cmc-gt", out=run, settings=SHORT)
    said = user("labels", run)
    assert (said.code, said.out) == (2, "")
    assert "'cmc-gt' has no pseudo labels" in said.err
    assert not (run / "labels.json").exists()


def test_help_fits(user: Type) -> None:
    said = user("labels", "--help")
    assert narrow(said.out)
    assert "Example:" in said.out
