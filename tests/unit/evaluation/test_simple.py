"""Whether a method is worse than something simple."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tiny_data
from tricord.data.schema import Dataset
from tricord.evaluation import table
from tricord.evaluation.on_valid import OnValid
from tricord.evaluation.simple import (
    BELOW,
    LINEAR,
    MEAN,
    NOT_BELOW,
    SINGLE,
    Simple,
    against_simple,
    in_words,
)
from tricord.evaluation.statistics import over_seeds
from tricord.inference import linear
from tricord.inference.predictor import predict
from tricord.labels import sentiment
from tricord.training.cmc import TrainedCMC
from tricord.types import Polarity

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
        "cmc, not shown to be worse than: best single modality, text (+50.0, +50.0 to +50.0); "
        "plain mean of the votes (+0.0, +0.0 to +0.0)"
    )
    assert worse == "cmc, WORSE THAN: logistic regression (-50.0, -50.0 to -50.0)"
    assert in_words("cmc", []) == []


@pytest.mark.parametrize(("decision", "shift"), [("sides", 0.0), ("ends", 2.0)])
def test_what_is_simple_is_decided_by_the_rule_that_valid_prefers(
    decision: str, shift: float
) -> None:
    """Neutral clips; with the shift neutral is so likely that every clip falls on its side."""
    scheme = sentiment(Polarity.NON_POSITIVE, 1.0).model_copy(update={"decision": "sides"})
    truth = np.array([2, 2, 0, 1])
    logits = np.array([[0.0, shift, 1], [0, shift, 1], [1, shift, 0], [0, 0.5, 0.1]])
    logits[3] += [0, shift, 0.0 if shift else 0.2]
    valid = OnValid(("text",), scheme, logits[None, :, None], truth)
    assert valid.rule(logits[None]) == decision
    paper = scheme.model_copy(update={"decision": "ends"})
    assert OnValid(("text",), paper, logits[None, :, None], truth).rule(logits[None]) == "ends"


def test_of_modalities_that_are_right_equally_often_the_surer_one_is_best() -> None:
    """Both are right of two of three clips; the second is less sure of what it has wrong."""
    scheme = sentiment(Polarity.NON_POSITIVE, 1.0)
    truth = np.array([2, 0, 2])
    first = np.array([[0.0, 0, 1], [1, 0, 0], [3, 0, 0]])
    second = np.array([[0.0, 0, 1], [1, 0, 0], [0.1, 0, 0]])
    votes = np.stack([first, second], axis=1)[None]
    assert OnValid(("audio", "text"), scheme, votes, truth).best(("audio", "text")) == "text"
    score = scheme.model_copy(update={"head": "regression"})
    scores = np.array([1.0, -1, -1])[None, :, None, None].repeat(2, axis=2)
    assert OnValid(("audio", "text"), score, scores, truth).best(("audio", "text")) == "audio"


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

    monkeypatch.setattr(table, "predict_stage1", made_up)
    return right


def test_the_single_modality_is_the_one_that_is_best_on_valid(
    trained: TrainedCMC, data: Dataset, votes: dict[str, int]
) -> None:
    votes |= {"valid": 1, "test": 2}
    names = trained.model.modalities
    valid = OnValid.of([trained], data.seal("test"), table.predict_stage1)
    assert valid is not None
    assert valid.best(names) == "audio"
    assert valid.best(["text", "vision"]) == "text"  # equals
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


def test_rows_of_votes_are_decided_by_the_rule_that_valid_prefers(
    trained: TrainedCMC, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neutral and negative together outweigh the positive, each by itself does not."""

    def close(where: Dataset, split: str) -> np.ndarray:
        return np.tile(np.log([0.3, 0.3, 0.4]), (len(where[split]), 3, 1))

    def decided(model: Any, where: Dataset, split: str) -> Any:
        votes = close(where, split)
        return replace(predict(model, where, split), outputs=votes[:, 0], votes=votes)

    monkeypatch.setattr(table, "predict_stage1", lambda _, where, split: close(where, split))
    monkeypatch.setattr(table, "predict", decided)
    positive = data["test"].scores[:, 0] > 0
    sides = (data["valid"].scores[:, 0] <= 0).mean() >= 0.5  # what is right more often there
    simple = [*trained.model.modalities, "cmc, mean of votes", table.MEAN_OF_STAGE1]
    for decision, by_sides in (("ends", False), ("sides", sides)):
        config = trained.config.with_settings({"labels.decision": decision})
        found = table.evaluate({"cmc": [replace(trained, config=config)]}, data)
        own = ~positive if decision == "sides" else positive
        assert found.row("cmc").right[0].tolist() == own.tolist()
        for name in simple:
            expected = ~positive if by_sides else positive
            assert found.row(name).right[0].tolist() == expected.tolist(), name


def test_a_table_of_the_clips_that_chose_says_so(trained: TrainedCMC, data: Dataset) -> None:
    other = replace(trained, fingerprint="another")
    for model, split, said in (
        (trained, "valid", True),
        (trained, "test", False),
        (other, "valid", False),
    ):
        found = table.evaluate({"cmc": [model]}, data, split, simple=False)
        assert (table.ON_VALID in found.notes()) == said


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
