"""Label recovery: counts by hand, the oracle against the simulation's model, and its warning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tiny_data
from builders import repeatable
from tricord.data.load import load
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.schema import Dataset, FeatureTable
from tricord.data.simulation.model import GenerativeModel
from tricord.data.simulation.simulate import simulate
from tricord.inference.recovery import (
    agreements,
    frozen_labels,
    movements,
    oracle_labels,
    over_seeds,
    recovery,
)
from tricord.labels import nominal
from tricord.presets import tiny
from tricord.training.cmc import TrainedCMC
from tricord.training.run import train_one
from tricord.types import MODALITIES

SCHEME = tiny().labels
# M, T, A, V of four clips: the first consistent, the last with an unknown label of text
SCORES = np.array(
    [[1.0, 0.4, 1.0, 0.2], [1.0, -0.4, 0.0, 0.2], [-1.0, 0.0, -0.2, -1.0], [0.0, np.nan, 0.2, 0.0]]
)


def small_table(scores: np.ndarray) -> FeatureTable:
    return replace(tiny_data.table(rows=len(scores), seed=1), scores=scores)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("recovery") / "sim.pkl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tricord.data.simulation.simulate.DRAWS", 2000)  # the limit is not used
        write_mmsa(path, *simulate(scale=0.1, length_scale=0.1, seed=2))
    return load(path)


@pytest.fixture(scope="module")
def trained() -> TrainedCMC:
    data = tiny_data.dataset()
    config = tiny_data.config({"pretrain.epochs": 1, "finetune.epochs": 1})
    found = train_one(data, config, name="cmc", seed=1)
    assert isinstance(found, TrainedCMC)
    five = {**found.history, "pretrain": found.history["pretrain"] * 5}
    return replace(found, history=five)


def test_agreement_by_hand() -> None:
    # text: truth 2, 0, 1, unknown; multimodal 2, 2, 0, 1; the second label moved to the truth, the
    # third away from it to a class that is also wrong
    found = agreements(small_table(SCORES), SCHEME, "text", np.array([2, 0, 2, 0]))
    everything, conflict = found["all"], found["D_msi"]
    assert (everything.clips, everything.moved, everything.moved_right) == (3, 2, 1)
    assert everything.before == pytest.approx(1 / 3)
    assert everything.after == pytest.approx(2 / 3)
    assert everything.change.estimate == pytest.approx(1 / 3)
    assert (conflict.clips, conflict.before, conflict.after) == (2, 0.0, 0.5)
    assert (everything.oracle, everything.reached) == (None, None)


def test_what_was_reached_is_the_share_of_the_oracles_gain() -> None:
    oracle = np.array([2, 0, 1, 0])  # right on all three that are known
    found = agreements(small_table(SCORES), SCHEME, "text", np.array([2, 0, 0, 1]), oracle)
    assert found["all"].oracle == 1.0
    assert found["all"].reached == pytest.approx(0.5)
    none = agreements(small_table(SCORES), SCHEME, "text", np.array([2, 0, 0, 1]), SCORES_CLASS)
    assert none["all"].reached is None  # an oracle that gains nothing


SCORES_CLASS = SCHEME.to_class(SCORES[:, 0])


@settings(repeatable, max_examples=15)  # each draws 2000 resamples
@given(arrays(np.int64, (6, 5), elements=st.integers(0, 2)))
def test_staying_changes_nothing_and_the_truth_reaches_all(
    codes: np.ndarray,
) -> None:
    scores = codes[:, :4] - 1.0
    table, truth = small_table(scores), codes[:, 2]
    stayed = agreements(table, SCHEME, "audio", codes[:, 0], codes[:, 4])["all"]
    assert (stayed.moved, stayed.after) == (0, stayed.before)
    at_truth = agreements(table, SCHEME, "audio", truth, truth)["all"]
    assert at_truth.after == 1.0
    assert at_truth.moved == at_truth.moved_right
    assert at_truth.reached == (None if at_truth.before == 1.0 else 1.0)


def test_no_agreement_where_no_label_is_known() -> None:
    scores = SCORES.copy()
    scores[:, 1:] = np.nan
    assert agreements(small_table(scores), SCHEME, "text", np.zeros(4, int)) == {}


def test_the_oracle_is_the_models_and_better_than_the_multimodal_label(simulated: Dataset) -> None:
    found = oracle_labels(simulated, "train", SCHEME)
    assert tuple(found) == MODALITIES
    classes = SCHEME.to_class(simulated["train"].scores)
    assert simulated.simulation is not None
    model = GenerativeModel.from_record(simulated.simulation["model"])
    right = np.stack(list(found.values()), axis=1) == classes[:, 1:]
    assert right.mean() > (classes[:, :1] == classes[:, 1:]).mean() + 0.05
    # a class that the joint table excludes with this multimodal label is never chosen
    pairs = model.joint.sum(axis=(2, 3))
    assert (pairs[classes[:, 0], found["text"]] > 0).all()


def test_no_oracle_where_it_is_not_known(simulated: Dataset) -> None:
    real = replace(simulated, simulation=None)
    train = simulated["train"]
    without_tokens = replace(simulated, splits={"train": replace(train, tokens=None)})
    narrow = {**train.sequences, "audio": train.sequences["text"]}
    other = replace(simulated, splits={"train": replace(train, sequences=narrow)})
    unknown = replace(train, scores=np.where(np.eye(len(train), 4) > 0, np.nan, train.scores))
    partly = replace(simulated, splits={"train": unknown})
    for data in (real, without_tokens, other, partly):
        assert oracle_labels(data, "train", SCHEME) == {}
    words = nominal(("a", "b", "c"))
    numbers = replace(train, scores=SCHEME.to_class(train.scores).astype(float))
    named = replace(simulated, splits={"train": numbers})
    assert oracle_labels(named, "train", words) == {}


def test_a_schedule_that_forbids_moves_is_said(trained: TrainedCMC) -> None:
    said = frozen_labels(trained)
    # 0.8, .859, .885, .9, .911: the product falls below one half in the fifth epoch
    assert [line.partition(":")[0] for line in said] == ["audio", "vision"]
    assert "in 5 epochs; 1,251 are needed" in said[0]
    for other in ({"pretrain.labels": "multimodal"}, {"pretrain.refine": "posterior"}):
        config = trained.config.with_settings(other)
        assert frozen_labels(replace(trained, config=config)) == []
        assert movements(replace(trained, config=config), tiny_data.dataset())[1].must_stay == 0
    config = trained.config.with_settings({"pretrain.schedule": "recursive"})
    assert "text: no pseudo label could move in 5 epochs; no number" in " ".join(
        frozen_labels(replace(trained, config=config))
    )


def test_over_seeds_has_each_modality_and_part(trained: TrainedCMC) -> None:
    data = tiny_data.dataset()
    own = SCHEME.to_class(data["train"].scores[:, 1:])
    labels = trained.pretrained.labels.clone().zero_()
    labels.scatter_(2, labels.new_tensor(own[..., None]).long(), 1.0)
    other = replace(trained, pretrained=replace(trained.pretrained, labels=labels))
    found: dict[str, Any] = recovery([trained, other], data)
    assert list(found["modalities"]) == list(MODALITIES)
    audio = found["modalities"]["audio"]["parts"]["all"]
    assert audio["after"]["seeds"] == [audio["before"], 1.0]
    assert audio["after"]["mean"] == pytest.approx((audio["before"] + 1) / 2)
    assert audio["moved"]["seeds"] == [0, movements(other, data)[1].moved]
    assert audio["reached"]["mean"] is None
    assert len(found["warnings"]) == 2


def test_a_mean_with_something_unknown_is_unknown() -> None:
    assert over_seeds([1.0, None]) == {"mean": None, "spread": None, "seeds": [1.0, None]}
    assert over_seeds([2.0]) == {"mean": 2.0, "spread": None, "seeds": [2.0]}
