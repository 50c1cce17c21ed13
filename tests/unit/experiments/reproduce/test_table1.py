"""Tables I and II: the paper's numbers, and those of given data beside them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny_data
from tricord.data.schema import Dataset, Ragged
from tricord.experiments.compare_table import SIMULATED
from tricord.experiments.reproduce.table1 import (
    COUNTS,
    EXPERIMENT,
    SHAPES,
    counted,
    facts,
    measured,
)
from tricord.experiments.reproduce.work import Context
from tricord.models import registry


def context(out: Path, datasets: Mapping[str, Dataset], *, simulated: bool = False) -> Context:
    return Context(
        datasets=datasets,
        seeds=(1,),
        settings_for=lambda model, preset: {},
        train=lambda rows, preset: {},
        out=out,
        simulated=simulated,
        budget="quick",
        protocol="default",
        say=lambda line: None,
    )


def with_scores(scores: list[list[float]]) -> Dataset:
    """Test has these; train and valid have clips whose labels differ."""
    data = tiny_data.dataset((5, 3, len(scores)))
    test = replace(data["test"], scores=np.array(scores, float))
    return replace(data, splits={**data.splits, "test": test})


def test_every_number_of_the_paper_is_there() -> None:
    found = facts({})
    assert len([f for f in found if f.table == "I"]) == 2 * (1 + 3 * 3) + 2 * 4
    assert len([f for f in found if f.table == "II"]) == 4 * 3 * 2
    assert all(f.ours is None for f in found)


@pytest.mark.parametrize("preset", COUNTS)
def test_splits_add_up(preset: str) -> None:
    splits = {name: numbers for name, numbers in COUNTS[preset].items() if name != "total"}
    assert sum(clips for clips, *_ in splits.values()) == COUNTS[preset]["total"][0]
    for clips, *parts in splits.values():
        assert not parts or sum(parts) == clips


def test_widths_are_those_that_the_registry_counts_with() -> None:
    widths = {p: {name: own[1] for name, own in shapes.items()} for p, shapes in SHAPES.items()}
    assert widths == registry.WIDTHS


def test_clips_are_counted_by_the_signs_of_all_labels() -> None:
    data = with_scores([[1, 1, 0.2, 1], [0, 0, 0, 0], [-1, -1, 0, -1], [1, -1, 1, 1], [-1] * 4])
    found = counted(data)
    assert found["test"] == {"clips": 5, "consistent": 3, "inconsistent": 2}
    assert found["total"] == {"clips": 13}


def test_without_all_labels_clips_are_counted_alone() -> None:
    assert counted(with_scores([[1, np.nan, 1, 1], [1, 1, 1, 1]]))["test"] == {"clips": 2}


def test_lengths_are_those_of_the_padding_and_tokens_have_no_width() -> None:
    data = tiny_data.dataset()
    assert measured(data) == {
        name: {"length": 4, "width": width} for name, width in tiny_data.WIDTHS.items()
    }
    tokens = Ragged(np.zeros(20, np.int64), np.arange(21), 39)
    train = data["train"]
    without = {name: frames for name, frames in train.sequences.items() if name != "text"}
    split = replace(train, sequences=without, tokens=tokens)
    assert measured(Dataset({"train": split}, source="x"))["text"] == {"length": 39}


def test_what_is_written_has_ours_beside_the_papers(tmp_path: Path) -> None:
    data = with_scores([[1, 1, 1, 1], [1, -1, 1, 1]])
    EXPERIMENT.run(context(tmp_path, {"ch-sims": data}, simulated=True))
    page = (tmp_path / "table1.md").read_text(encoding="utf-8")
    assert SIMULATED in page
    assert "| ch-sims | test | **2** | 457 | **1** | 239 | **1** | 218 |" in page
    assert "| mosei | test | - | 4,659 | - | - | - | - |" in page
    assert "| ch-sims | text | **4** | 39 | **5** | 768 |" in page
    content = json.loads((tmp_path / "table1.json").read_text(encoding="utf-8"))
    assert content["head"] == SIMULATED
    with (tmp_path / "table1.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(content["facts"]) == len(facts({}))
    place = {"table": "I", "preset": "ch-sims", "part": "test", "quantity": "consistent"}
    assert {**place, "paper": "239", "ours": "1", "data": "SIMULATED"} in rows


def test_the_papers_own_numbers_are_not_bold(tmp_path: Path) -> None:
    data = tiny_data.dataset((1284, 229, 686), widths={"text": 768, "audio": 5, "vision": 20})
    EXPERIMENT.run(context(tmp_path, {"mosi": data}))
    page = (tmp_path / "table1.md").read_text(encoding="utf-8")
    assert "| mosi | valid | 229 | 229 | - | - | - | - |" in page
    assert "7 of 10 numbers of the given data are the paper's; bold ones are not." in page
    assert "SIMULATED" not in page
