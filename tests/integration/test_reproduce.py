"""`tricord reproduce`, from nothing to tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import Said, Type, narrow
from tricord.cli.reproduce import encoders_of, experiments
from tricord.errors import ConfigError, TricordError
from tricord.experiments.compare_table import SIMULATED
from tricord.experiments.reproduce import catalogue, cells
from tricord.experiments.reproduce import data as places
from tricord.experiments.reproduce.budget import BUDGETS, TOO_SMALL
from tricord.experiments.reproduce.plan import Claim, Experiment, Row
from tricord.experiments.reproduce.work import Context

SMALL = [
    f"--set=cmc.{path}" for path in ("model.d=8", "model.feedforward=8", "modalities.layers=1")
]
PAPER = {"ch-sims": {"D_test": 84.9, "D_msc": 94.14, "D_msi": 74.77, "Size": 247_096}}
TABLE = Experiment(
    "table0",
    "Table 0: made up",
    ("ch-sims", "mosi"),
    (
        Row("CMC", "cmc", paper=PAPER),
        Row("Audio, which says little by itself", "cmc", output="audio"),
        Row("No such split", "mc-teacher"),
    ),
    (Claim("CMC", "Audio, which says little by itself", "D_test", ("ch-sims",), "better"),),
)


class Figure:
    name, title = "fig0", "Figure 0: made up"

    def run(self, context: Context) -> None:
        (trained,) = context.train([TABLE.rows[0]], "ch-sims")["CMC"]
        (context.out / "fig0.md").write_text(f"{context.simulated} {trained.seed}")


class Impossible:
    name, title = "fig9", "Figure 9: cannot be made"

    def run(self, context: Context) -> None:
        raise TricordError("no clip is odd enough")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up: Mapping[str, Any] = {"table0": TABLE, "fig9": Impossible(), "fig0": Figure()}
    monkeypatch.setattr(catalogue, "EXPERIMENTS", made_up)
    quick = replace(BUDGETS["quick"], epochs=1, scale=0.02)
    monkeypatch.setitem(BUDGETS, "quick", quick)


@pytest.fixture
def nothing_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr(cells, "train_one", refuse)
    monkeypatch.setattr(places, "simulate", refuse)


def test_all_is_made_from_nothing_says_simulated_and_is_not_made_twice(
    user: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def ask(*words: str) -> Said:
        return user("reproduce", *words, "--seeds=1", f"--out={out}", *SMALL)

    said = ask("all")
    assert said.code == 0, said.err
    assert SIMULATED in said.out
    assert TOO_SMALL in said.out
    assert "CMC above Audio, which says little by itself" in said.out
    assert "No such split: not run: " in said.out
    assert "cell 1 of 2" in said.err
    assert "fig9: not made: no clip is odd enough" in said.err
    assert narrow(said.out.split("made up", 1)[1].split("No such split: ")[0])
    content = json.loads((out / "table0.json").read_text())
    assert content["simulated"]
    assert content["set_by_hand"] == [s.removeprefix("--set=") for s in SMALL]
    assert content["rows"][0]["paper"] == PAPER["ch-sims"]
    assert set(content["rows"][0]["ours"]) == {"D_test", "D_msc", "D_msi"}
    for kind in ("md", "csv"):
        assert "SIMULATED" in "".join((out / f"table0.{kind}").read_text().splitlines()[:3])
    assert (out / "fig0.md").read_text() == "True 1"

    monkeypatch.setattr(places, "simulate", None)
    said = ask("table0")
    assert "1 cell to train" in said.err  # the one that cannot be
    assert json.loads((out / "table0.json").read_text()) == content
    assert "to train" not in ask("fig0").err
    assert ask("fig9").err.splitlines()[-1] == "error: no clip is odd enough"
    refused = ask("table0", "--protocol=released")
    assert (refused.code, "another protocol, 'default'" in refused.err) == (2, True)


@pytest.mark.usefixtures("nothing_trains")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["table99"], "error: 'table99' cannot be reproduced; there is: table0, fig9, fig0, all"),
        (["table0", "--budget=huge"], "budget 'huge' does not exist"),
        (["table0", "--datasets=mosi"], "mosi cannot be simulated"),
        (["table0", "--data=nowhere"], "nowhere: no such folder"),
        (["table0", "--set=early.epochs=1"], "--set early.epochs=1: MODEL.SETTING expected"),
        ([], "rror: Missing argument"),
    ],
)
def test_a_mistake_is_a_line_and_leaves_nothing(
    words: list[str], said: str, user: Type, tmp_path: Path
) -> None:
    found = user("reproduce", *words, f"--out={tmp_path / 'out'}")
    assert found.code == 2
    assert said in found.err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("nothing_trains")
def test_a_place_of_something_else_stays_as_it_is(user: Type, tmp_path: Path) -> None:
    (tmp_path / "thesis").touch()
    for out in (tmp_path, tmp_path / "thesis"):
        found = user("reproduce", "table0", f"--out={out}")
        assert found.code == 2
        assert "exists and is no reproduction" in found.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def test_experiments_come_in_the_catalogues_order() -> None:
    assert list(experiments(["fig0", "table0"])) == ["table0", "fig0"]
    assert list(experiments(["all"])) == ["table0", "fig9", "fig0"]
    with pytest.raises(ConfigError, match="'x' cannot be reproduced"):
        experiments(["table0", "x"])


def test_a_language_model_is_for_one_data_set_or_for_all_others() -> None:
    presets = ["ch-sims", "mosi"]
    assert encoders_of([], presets) == {}
    assert encoders_of(["bert"], presets) == {"ch-sims": "bert", "mosi": "bert"}
    assert encoders_of(["bert", "mosi=folder/a=b"], presets) == {
        "ch-sims": "bert",
        "mosi": "folder/a=b",
    }
