"""Shuffling and removal: the same as on data that was changed, and nothing where nothing hangs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tiny_data
from tiny_data import untrained
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.errors import ConfigError, DataError
from tricord.inference.importance import importance
from tricord.inference.predictor import predict

NAMES = tuple(tiny_data.WIDTHS)


def changed(data: Dataset, modality: str, sequence: Ragged) -> Dataset:
    table = data["test"]
    own = replace(table, sequences={**table.sequences, modality: sequence})
    return Dataset({"test": own}, data.source)


def log_losses(probabilities: np.ndarray, table: FeatureTable) -> np.ndarray:
    truth = np.sign(table.scores[:, 0]).astype(int) + 1
    return -np.log(probabilities[np.arange(len(truth)), truth])


@pytest.fixture(scope="module")
def data() -> Dataset:
    """30 clips, some without audio."""
    data = tiny_data.dataset((3, 3, 30))
    audio = data["test"].sequences["audio"]
    lengths = np.where(np.arange(30) % 5 == 0, 0, audio.lengths)
    return changed(data, "audio", Ragged.from_padded(audio.padded(), lengths))


def test_shuffling_is_that_of_the_data_itself(data: Dataset) -> None:
    trained, table = untrained(), data["test"]
    found = importance(trained, data, "test", repeats=1, seed=7)
    order = np.random.default_rng(7).permutation(30)
    before = predict(trained, data, "test").uncalibrated
    np.testing.assert_allclose(found.log_loss, log_losses(before.probabilities, table), rtol=1e-4)
    positive = table.scores[:, 0] > 0
    for k, name in enumerate(NAMES):
        other = changed(data, name, table.sequences[name].take(order))
        after = predict(trained, other, "test").uncalibrated
        gained = log_losses(after.probabilities, table) - found.log_loss
        np.testing.assert_allclose(found.loss_gained[:, k], gained, atol=1e-4)
        right = (after.outputs[:, 2] > after.outputs[:, 0]) == positive
        np.testing.assert_array_equal(found.accuracy_lost[:, k], found.right.astype(float) - right)
    np.testing.assert_allclose(found.weights, before.weights, atol=1e-5)


def test_removal_is_that_of_the_data_itself(data: Dataset) -> None:
    trained, table = untrained(), data["test"]
    found = importance(trained, data, "test", repeats=1)
    before = predict(trained, data, "test").uncalibrated.probabilities
    rows, decided = np.arange(30), before.argmax(axis=1)
    for k, name in enumerate(NAMES):
        none = Ragged.from_padded(table.sequences[name].padded(), np.zeros(30, int))
        after = predict(trained, changed(data, name, none), "test").uncalibrated.probabilities
        expected = before[rows, decided] - after[rows, decided]
        there = table.sequences[name].lengths > 0
        np.testing.assert_array_equal(np.isnan(found.change[:, k]), ~there)
        np.testing.assert_allclose(found.change[there, k], expected[there], atol=1e-5)


def test_nothing_hangs_on_a_modality_that_says_the_same_of_every_clip(data: Dataset) -> None:
    table = data["test"]
    one = table.sequences["vision"].take(np.zeros(30, int))
    found = importance(untrained(), changed(data, "vision", one), "test", repeats=2)
    np.testing.assert_allclose(found.loss_gained[:, 2], 0, atol=1e-6)
    assert not found.accuracy_lost[:, 2].any()
    assert found.loss_gained[:, :2].any(axis=0).all()


def test_a_modality_that_is_alone_cannot_be_removed(data: Dataset) -> None:
    table = data["test"]
    empty = {n: table.sequences[n].take(np.arange(0)) for n in ("audio", "vision")}
    nothing = {
        n: Ragged(s.values, np.zeros(31, np.int64), s.padded_length) for n, s in empty.items()
    }
    alone = Dataset({"test": replace(table, sequences={**table.sequences, **nothing})}, "x")
    assert np.isnan(importance(untrained(), alone, "test", repeats=1).change).all()


def test_a_single_clip_and_clips_without_a_label(data: Dataset) -> None:
    table = data["test"]
    scores = table.scores.copy()
    scores[1:, 0] = np.nan
    found = importance(untrained(), Dataset({"test": replace(table, scores=scores)}, "x"), "test")
    assert found.weights.shape == (1, 3)
    assert not found.loss_gained.any()  # there is no other clip to exchange with
    scores[0, 0] = np.nan
    with pytest.raises(DataError, match="x: split 'test': no clip has a label"):
        importance(untrained(), Dataset({"test": replace(table, scores=scores)}, "x"), "test")


def test_a_model_that_does_not_fit_is_refused(data: Dataset) -> None:
    scores = {"labels.head": "regression", "pretrain.labels": "multimodal"}
    with pytest.raises(ConfigError, match=r"labels\.head is 'regression', but classes are needed"):
        importance(untrained(scores), data, "test")
    with pytest.raises(ConfigError, match="repeats: 0 found"):
        importance(untrained(), data, "test", repeats=0)
