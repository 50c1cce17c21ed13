"""Simulated data, small enough for both stages in a second."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tricord
from commands import QUICK, Said, Type
from tricord import cli
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.schema import Dataset
from tricord.data.simulation.simulate import simulate

Splits = dict[str, dict[str, Any]]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small only lose time to several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def simulated() -> tuple[Splits, dict[str, Any]]:
    """(splits, record): 41, 14 and 14 clips."""
    splits, record = simulate(scale=0.03, length_scale=0.1, seed=1)
    return {name: dict(split) for name, split in splits.items()}, dict(record)


@pytest.fixture(scope="session")
def sim(simulated: tuple[Splits, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated file."""
    path = tmp_path_factory.mktemp("simulated") / "sim.pkl"
    write_mmsa(path, *simulated)
    return path


@pytest.fixture(scope="session")
def data(sim: Path) -> Dataset:
    return tricord.load(sim)


@pytest.fixture(scope="session")
def trained(sim: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds; tests that write into it copy it first."""
    out = tmp_path_factory.mktemp("trained") / "run"
    words = ["train", sim, "--preset", "tiny", "--seed", 1, "--seed", 2, "--out", out, *QUICK]
    assert cli.run([str(w) for w in words]) == 0
    return out


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def user(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Runs a command in this process, as in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def types(*words: Any) -> Said:
        capfd.readouterr()
        code = cli.run([str(w) for w in words])
        found = capfd.readouterr()
        return Said(code, found.out, found.err)

    return types
