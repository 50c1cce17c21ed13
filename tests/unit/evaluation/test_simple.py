"""Whether a method is worse than something simple."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tiny_data
from tricord.data.schema import Dataset
from tricord.evaluation import simple, table
from tricord.evaluation.simple import (
    BELOW,
    LINEAR,
    MEAN,
    NOT_BELOW,
    SINGLE,
    Simple,
    against_simple,
    best_on_valid,
    in_words,
)
from tricord.evaluation.statistics import over_seeds
from tricord.inference import linear
from tricord.training.cmc import TrainedCMC

VIDEOS = np.repeat([f"v{i}" for i in range(20)], 2)
GOOD = np.ones((2, 40), bool)
BAD = np.zeros((1, 40), bool)
EVEN = np.tile([True, False], (2, 20))


def named(right: np.ndarray, kind: str = LINEAR, row: str = "x") -> Simple:
    return Simple(kind, row, right)


def test_below_is_below_by_more_than_the_interval() -> None:
    found = against_simple(EVEN, [named(GOOD), named(BAD), named(EVEN)], VIDEOS)
    assert [one.verdict for one in found] == [BELOW, NOT_BELOW, NOT_BELOW]
    assert [one.found.difference.estimate for one in found] == [-0.5, 0.5, 0]
    slightly = EVEN.copy()
    slightly[:, 1] = True
    (within,) = against_simple(EVEN, [named(slightly)], VIDEOS)  # one clip, one video
    assert within.found.difference.estimate < 0
    assert within.verdict == NOT_BELOW


def test_the_difference_is_the_paired_one_over_seeds() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((3, 40)) < 0.8, rng.random((3, 40)) < 0.6
    (same,) = against_simple(ours, [named(theirs)], VIDEOS)
    assert same.found == over_seeds(ours, theirs, VIDEOS).decision
    (one,) = against_simple(ours, [named(theirs[:1])], VIDEOS)
    assert one.found == over_seeds(ours, np.repeat(theirs[:1], 3, axis=0), VIDEOS).decision
    (fewer,) = against_simple(ours, [named(theirs[:2])], VIDEOS)
    expected = ours.mean() - theirs[:2].mean()
    assert fewer.found.difference.estimate == pytest.approx(expected)


def test_it_is_said_in_one_line_each() -> None:
    others = [named(BAD, SINGLE, "text"), named(EVEN, MEAN, "cmc, mean"), named(GOOD)]
    better, worse = in_words("cmc", against_simple(EVEN, others, VIDEOS))
    assert better == (
        "cmc, no worse than: best single modality, text (+50.0, +50.0 to +50.0); "
        "plain mean of the votes (+0.0, +0.0 to +0.0)"
    )
    assert worse == "cmc, WORSE THAN: logistic regression (-50.0, -50.0 to -50.0)"
    assert in_words("cmc", []) == []


# ----------------------------------------------------------------------------------- in the table


@pytest.fixture(scope="module")
def data() -> Dataset:
    return tiny_data.dataset((20, 9, 12))


@pytest.fixture(scope="module")
def trained(data: Dataset) -> TrainedCMC:
    return replace(tiny_data.untrained(), fingerprint=data.fingerprint())


@pytest.fixture
def votes(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Which modality's votes are right, by split."""
    right: dict[str, int] = {}

    def made_up(_: Any, data: Dataset, split: str) -> np.ndarray:
        side = np.where(data[split].scores[:, 0] > 0, 1.0, -1.0)
        found = np.zeros((len(side), 3, 3))
        found[:, :, 2] = -side[:, None]
        found[:, right[split], 2] = side
        return found

    for module in (simple, table):
        monkeypatch.setattr(module, "predict_stage1", made_up)
    return right


def test_the_single_modality_is_the_one_that_is_best_on_valid(
    trained: TrainedCMC, data: Dataset, votes: dict[str, int]
) -> None:
    votes |= {"valid": 1, "test": 2}
    assert best_on_valid([trained], data.seal("test")) == "audio"
    found = table.evaluate({"cmc": [trained]}, data)
    single, mean, logistic = found.against["cmc"]
    assert (single.simple.row, single.simple.note) == ("audio", "chosen on valid")
    assert (mean.simple.kind, mean.simple.row) == (MEAN, "cmc, mean of votes")
    assert (logistic.simple.kind, logistic.simple.row) == (LINEAR, linear.NAME)
    for one in found.against["cmc"]:
        ours, theirs = found.row("cmc"), found.row(one.simple.row)
        np.testing.assert_array_equal(one.simple.right, theirs.right)
        difference = ours.right.mean() - theirs.right.mean()
        assert one.found.difference.estimate == pytest.approx(difference)
    kept = found.to_json()["no_worse_than_simple"]["cmc"]
    assert [one["simple"] for one in kept] == [SINGLE, MEAN, LINEAR]
    assert {one["verdict"] for one in kept} <= {BELOW, NOT_BELOW}


def test_what_cannot_be_chosen_or_fitted_is_left_out_and_said(
    trained: TrainedCMC, data: Dataset
) -> None:
    without = replace(data, splits={k: v for k, v in data.splits.items() if k != "valid"})
    found = table.evaluate({"cmc": [trained]}, without)
    assert linear.NAME not in [row.name for row in found.rows]
    assert [one.simple.kind for one in found.against["cmc"]] == [MEAN]
    assert found.left_out == [
        f"{linear.NAME}: tiny.pkl: split 'valid' not found",
        f"{SINGLE}: tiny.pkl has no valid to choose it on",
    ]
    assert found.notes()[-2:] == [f"left out: {line}" for line in found.left_out]


def test_a_test_file_of_its_own_is_judged_by_what_the_run_learned_from(
    trained: TrainedCMC, data: Dataset
) -> None:
    alone = replace(data, splits={"test": data["test"]})
    found = table.evaluate({"cmc": [trained]}, alone, floor=data)
    whole = table.evaluate({"cmc": [trained]}, data)
    row, same = found.row(linear.NAME), whole.row(linear.NAME)
    np.testing.assert_array_equal(row.right, same.right)
    assert row.note == same.note
    other = replace(trained, fingerprint="another")
    assert "which the model was not" in table.evaluate({"cmc": [other]}, data).row(linear.NAME).note


def test_a_table_without_what_is_simple_has_the_same_other_rows(
    trained: TrainedCMC, data: Dataset
) -> None:
    whole, bare = (table.evaluate({"cmc": [trained]}, data, simple=s) for s in (True, False))
    assert [row.name for row in bare.rows] == [
        row.name for row in whole.rows if row.name != linear.NAME
    ]
    assert bare.against == {}
