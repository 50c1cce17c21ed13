"""Which data an experiment is run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tricord.errors import ConfigError, DataError
from tricord.experiments.reproduce import data
from tricord.experiments.reproduce.budget import Budget

SMALL = Budget("quick", "", epochs=1, scale=0.02)


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        if name.endswith("/"):
            path.mkdir()
        else:
            path.touch()
    return folder


@pytest.mark.parametrize("name", ["mosi.pkl", "mosi.npz", "mosi.tricord", "mosi/"])
def test_a_data_set_is_a_file_a_store_or_a_folder(name: str, tmp_path: Path) -> None:
    assert data.find(touched(tmp_path, name)) == {"mosi": tmp_path / name}


def test_a_file_comes_before_a_folder_of_the_same_name(tmp_path: Path) -> None:
    touched(tmp_path, "mosi/", "mosi.npz", "mosi.pkl")
    assert data.find(tmp_path) == {"mosi": tmp_path / "mosi.pkl"}


def test_data_sets_stand_in_the_papers_order(tmp_path: Path) -> None:
    touched(tmp_path, "mosi.pkl", "ch-sims-v2.pkl", "ch-sims.pkl", "notes.txt")
    assert list(data.find(tmp_path)) == ["ch-sims", "ch-sims-v2", "mosi"]
    assert list(data.find(tmp_path, ["mosi", "ch-sims"])) == ["ch-sims", "mosi"]


def test_a_missing_data_set_is_named_with_what_is_there(tmp_path: Path) -> None:
    touched(tmp_path, "ch-sims.pkl", "notes.txt")
    with pytest.raises(DataError) as error:
        data.find(tmp_path, ["ch-sims", "mosei"])
    said = str(error.value)
    assert "ch-sims.pkl, notes.txt found" in said
    assert said.endswith("expected mosei.pkl, .npz, .tricord or mosei/")


def test_a_folder_without_any_and_no_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing found, expected ch-sims\.pkl.*mosei/"):
        data.find(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        data.find(tmp_path / "none")


@pytest.mark.parametrize("presets", [["iemocap"], []])
def test_an_unknown_data_set_or_none_is_an_error(presets: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected some of ch-sims, ch-sims-v2, mosi, mosei"):
        data.find(tmp_path, presets)


def test_simulated_data_are_written_once_and_say_what_they_are(tmp_path: Path) -> None:
    found = data.datasets(None, tmp_path / "data", SMALL)
    assert list(found) == ["ch-sims"]
    assert found["ch-sims"].simulated
    assert len(found["ch-sims"]["train"]) == round(1368 * 0.02)
    path = tmp_path / "data" / "ch-sims-quick.pkl"
    before = path.stat().st_mtime_ns
    again = data.datasets(None, tmp_path / "data", SMALL, ["ch-sims"])
    assert path.stat().st_mtime_ns == before
    assert again["ch-sims"].fingerprint() == found["ch-sims"].fingerprint()


def test_no_other_data_set_is_simulated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mosi cannot be simulated, only ch-sims"):
        data.datasets(None, tmp_path / "data", SMALL, ["ch-sims", "mosi"])
    assert not list(tmp_path.iterdir())
