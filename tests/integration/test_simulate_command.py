"""tricord simulate --kind, as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest

import tricord
from commands import Type, narrow
from tricord.data.simulation.kinds import KINDS

SMALL = ("--scale", 0.02, "--length-scale", 0.05)


def test_a_kind_is_kept_in_the_file_and_its_limits_are_told(
    user: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tricord.data.simulation.simulate.DRAWS", 2000)
    out = tmp_path / "shift.pkl"
    said = user("simulate", "--out", out, "--kind", "shift", "--conflict", 0.8, *SMALL)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[1].startswith("Bayes limit of test's population, %: D_test ")
    assert lines[2].startswith("of what train can tell of it, %: D_test ")
    record = tricord.load(out).simulation
    assert record is not None
    assert record["kind"] == "shift"
    assert record["model"]["shift"] == {"mean": 1.0, "spread": 1.5}


def test_an_unknown_kind_is_one_line_with_those_there_are(user: Type, tmp_path: Path) -> None:
    out = tmp_path / "x.pkl"
    said = user("simulate", "--out", out, "--kind", "foggy", *SMALL)
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert "'foggy' found" in said.err
    assert "bursts" in said.err
    assert not out.exists()


def test_help_names_every_kind(user: Type) -> None:
    said = user("simulate", "--help")
    assert narrow(said.out)
    assert all(kind in said.out for kind in KINDS)
