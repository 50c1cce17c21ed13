"""`tricord demo`, end to end at full counts: minutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tricord


@pytest.mark.slow
def test_the_demonstration_from_end_to_end(tmp_path: Path) -> None:
    environment = {**os.environ, "COLUMNS": "80"}
    words = [sys.executable, "-m", "tricord", "demo", "--out", str(tmp_path / "demo")]
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "SIMULATED DATA" in said.stderr
    assert "1368/456/457 clips in the shape of CH-SIMS" in said.stderr
    assert "SIMULATED DATA" in said.stdout
    assert max(len(line) for line in said.stdout.splitlines()[:-1]) <= 80

    out = tmp_path / "demo"
    found = json.loads((out / "evaluation-test.json").read_text())
    assert [row["name"] for row in found["rows"]] == [
        *("majority class", "logistic regression on time means"),
        *("text", "audio", "vision", "stage 1, mean of votes"),
        *("cmc, mean of votes", "cmc", "cmc-variant"),
    ]
    assert found["clips"]["D_test"] == 457
    assert set(found["bayes_limit"]) == {"D_test", "D_msc", "D_msi"}
    for row in found["rows"]:
        for subset in found["clips"]:
            assert row[subset]["low"] <= row[subset]["accuracy"] <= row[subset]["high"]
            assert row["name"][:20] in said.stdout  # long ones have a second line
    rows = {row["name"]: row["D_test"]["accuracy"] for row in found["rows"]}
    assert rows["cmc"] > rows["majority class"]

    report = (out / "report.html").read_text(encoding="utf-8")
    assert "SIMULATED DATA" in report
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert 'src="http' not in report
    for name in ("cmc", "cmc-variant"):
        run = tricord.load_model(out / name)
        assert run.evaluate().row(name).cells["D_test"] is not None
    again = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "already exists" in again.stderr
