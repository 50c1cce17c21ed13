"""Predictions: what a row says, and data that the model does not fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import baseline_data
import tiny_data
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.errors import ModelError
from tricord.inference import predictor
from tricord.inference.predictor import (
    Predictions,
    absent_modalities,
    check_widths,
    predict,
    softmax,
)
from tricord.labels import LabelScheme, sentiment
from tricord.models.network import Network
from tricord.training.cmc import TrainedCMC
from tricord.training.run import train_one
from tricord.types import Polarity

SCHEME = sentiment(Polarity.NON_POSITIVE, 1.0)
REGRESSION = SCHEME.model_copy(update={"head": "regression"})
ABSENT = {1: "audio", 4: "text"}


def without(table: FeatureTable, rows: Mapping[int, str]) -> FeatureTable:
    sequences = dict(table.sequences)
    for row, modality in rows.items():
        lengths = sequences[modality].lengths.copy()
        lengths[row] = 0
        sequences[modality] = Ragged.from_padded(sequences[modality].padded(), lengths)
    return replace(table, sequences=sequences)


def train(data: Dataset, settings: Mapping[str, Any] | None = None) -> TrainedCMC:
    short = {"pretrain.epochs": 1, "finetune.epochs": 1}
    config = tiny_data.config({**short, **(settings or {})})
    return train_one(data, config, name="cmc", seed=1)


@pytest.fixture(scope="module")
def data() -> Dataset:
    whole = tiny_data.dataset()
    return Dataset({**whole.splits, "test": without(whole["test"], ABSENT)}, "tiny.pkl")


@pytest.fixture(scope="module")
def trained(data: Dataset) -> TrainedCMC:
    return train(data)


@pytest.fixture(scope="module")
def predictions(trained: TrainedCMC, data: Dataset) -> Predictions:
    return predict(trained, data, "test")


def test_shapes_and_order(predictions: Predictions, data: Dataset) -> None:
    assert predictions.ids == data["test"].ids
    assert predictions.modalities == ("text", "audio", "vision")
    assert predictions.outputs.shape == (12, 3)
    assert predictions.votes.shape == (12, 3, 3)
    assert predictions.weights.shape == predictions.present.shape == (12, 3)
    np.testing.assert_allclose(predictions.weights.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, rtol=1e-12)


def test_the_consensus_is_the_weighted_sum_of_the_votes(predictions: Predictions) -> None:
    """Eq. 14."""
    summed = np.einsum("nk,nkc->nc", predictions.weights, predictions.votes)
    np.testing.assert_allclose(predictions.outputs, summed, rtol=1e-5, atol=1e-6)


def test_absent_modalities_have_no_weight_and_no_vote(predictions: Predictions) -> None:
    rows = list(predictions.rows())
    for row, modality in ABSENT.items():
        k = predictions.modalities.index(modality)
        assert not predictions.present[row, k]
        assert predictions.weights[row, k] == 0
        assert rows[row][f"vote_{modality}"] is None
        assert rows[row][f"weight_{modality}"] == 0
        assert {rows[row][f"p_{modality}_{name}"] for name in SCHEME.classes} == {None}
    assert predictions.present.sum() == 12 * 3 - len(ABSENT)


def test_clips_do_not_depend_on_their_company(
    trained: TrainedCMC, data: Dataset, predictions: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = data["test"].take(np.array([7, 1, 4]))
    alone = predict(trained, Dataset({"new": table}, "new.pkl"), "new")
    np.testing.assert_allclose(alone.outputs, predictions.outputs[[7, 1, 4]], atol=1e-5)
    monkeypatch.setattr(Network, "predict_clips", 1)
    single = predict(trained, data, "test")
    np.testing.assert_allclose(single.outputs, predictions.outputs, atol=1e-5)


def test_stage_1_are_the_unimodal_models(
    trained: TrainedCMC, data: Dataset, predictions: Predictions
) -> None:
    import torch

    table = data["test"]
    alone = predictor.predict_stage1(trained, data, "test")
    assert alone.shape == (12, 3, 3)
    for k, name in enumerate(predictions.modalities):
        padded = torch.as_tensor(table.sequences[name].padded())
        lengths = torch.as_tensor(table.sequences[name].lengths)
        logits = trained.stage1.parts[name].predict_features(padded, lengths).logits
        here = predictions.present[:, k]
        np.testing.assert_allclose(logits[here], alone[here, k], atol=1e-5)


# --------------------------------------------------------------------------------------------- rows


def made(
    votes: Any,
    outputs: Any = None,
    present: Any = None,
    scheme: LabelScheme = SCHEME,
) -> Predictions:
    votes = np.array(votes, dtype=float)
    n, k, _ = votes.shape
    return Predictions(
        ids=tuple(f"v$_${i}" for i in range(n)),
        modalities=("text", "audio", "vision")[:k],
        scheme=scheme,
        outputs=np.array(outputs, float) if outputs is not None else votes.mean(axis=1),
        votes=votes,
        weights=np.full((n, k), 1 / max(k, 1)),
        present=np.ones((n, k), bool) if present is None else np.array(present),
    )


NEG, NEU, POS = [2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]


def test_conflict_is_between_the_modalities_that_are_there() -> None:
    votes = [[NEG, NEG, NEG], [NEG, NEU, NEG], [NEG, POS, NEG], [NEG, POS, NEG], [NEG, POS, POS]]
    present = [[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 0, 1], [0, 0, 0]]
    found = made(votes, present=np.array(present, bool)).conflict
    assert found.tolist() == [False, True, True, False, False]


def found_apart() -> float:
    """Three votes of logit 2 for three classes: they mix to the even one, log 3."""
    sure = np.exp([2.0, 0, 0]) / np.exp([2.0, 0, 0]).sum()
    return float(1 + (sure * np.log(sure)).sum() / np.log(3))


def test_a_row_of_a_classification() -> None:
    row = next(made([[NEG, NEU, POS]], outputs=[[0.0, 0.0, math.log(2)]]).rows())
    expected = {
        "id": "v$_$0",
        "label": "positive",
        "p_negative": 0.25,
        "p_neutral": 0.25,
        "p_positive": 0.5,
        "vote_text": "negative",
        "weight_text": 0.333333,
        "vote_audio": "neutral",
        "weight_audio": 0.333333,
        "vote_vision": "positive",
        "weight_vision": 0.333333,
        "conflict": True,
    }
    assert {k: row[k] for k in expected} == expected
    own = {k: v for k, v in row.items() if k not in expected}
    e2 = math.exp(2)
    assert own.pop("conflict_score") == pytest.approx(found_apart(), abs=1e-6)
    assert own.pop("p_text_negative") == pytest.approx(e2 / (e2 + 2), abs=1e-6)
    assert set(own) == {
        f"p_{m}_{c}" for m in ("text", "audio", "vision") for c in SCHEME.classes
    } - {"p_text_negative"}


def test_a_row_of_a_regression() -> None:
    found = made([[[-0.4], [0.0], [3.0]]], outputs=[[-0.12345678]], scheme=REGRESSION)
    row = next(found.rows())
    assert row["label"] == "negative"
    assert row["score"] == -0.123457
    votes = [row[f"vote_{m}"] for m in found.modalities]
    assert votes == ["negative", "neutral", "positive"]  # 3.0 lies outside the scale
    assert row["conflict"] is True
    assert not any(name.startswith("p_") for name in row)
    assert "nan" not in str(row)


def test_values_are_plain_and_columns_equal(predictions: Predictions) -> None:
    rows = list(predictions.rows())
    assert all(list(row) == list(rows[0]) for row in rows)
    assert {type(v) for row in rows for v in row.values()} <= {str, float, bool, type(None)}
    for row in rows:
        total = sum(row[f"p_{name}"] for name in SCHEME.classes)
        assert total == pytest.approx(1, abs=3e-6)
        assert row["label"] == max(SCHEME.classes, key=lambda c, r=row: r[f"p_{c}"])


def test_softmax_does_not_overflow() -> None:
    found = softmax(np.array([[1e308, 0.0], [-1e308, -1e308], [0.0, math.log(3)]]))
    np.testing.assert_allclose(found, [[1, 0], [0.5, 0.5], [0.25, 0.75]])


# --- what does not fit


@pytest.mark.parametrize("modality", ["text", "audio", "vision"])
def test_another_width_names_modality_found_and_expected(
    modality: str, trained: TrainedCMC
) -> None:
    widths = {**tiny_data.WIDTHS, modality: 74}
    other = tiny_data.dataset(widths=widths)
    expected = (
        f"tiny.pkl: modality '{modality}' has 74 columns, "
        f"the model expects {tiny_data.WIDTHS[modality]}"
    )
    with pytest.raises(ModelError) as error:
        predict(trained, other, "test")
    assert str(error.value) == expected


@pytest.mark.parametrize("modality", ["text", "audio", "vision"])
def test_data_without_a_modality_is_predicted_from_the_others(
    modality: str, trained: TrainedCMC, data: Dataset
) -> None:
    others = tuple(name for name in tiny_data.WIDTHS if name != modality)
    table = data["test"]
    lacking = replace(
        table,
        sequences={name: table.sequences[name] for name in others},
        scores=table.scores[:, : 1 + len(others)],
    )
    empty = Ragged.from_padded(
        table.sequences[modality].padded(), np.zeros(len(table), dtype=np.int64)
    )
    silent = replace(table, sequences={**table.sequences, modality: empty})
    found = predict(trained, Dataset({"test": lacking}, "new.pkl"), "test")
    assert absent_modalities(trained, lacking) == absent_modalities(trained, silent) == (modality,)
    assert found.modalities == tuple(tiny_data.WIDTHS)
    k = found.modalities.index(modality)
    assert not found.present[:, k].any()
    assert not found.weights[:, k].any()
    some = found.present.any(axis=1)
    np.testing.assert_allclose(found.weights[some].sum(axis=1), 1, rtol=1e-6)
    same = predict(trained, Dataset({"test": silent}, "new.pkl"), "test")
    assert np.array_equal(found.outputs, same.outputs)
    assert not np.allclose(found.outputs, predict(trained, data, "test").outputs)


def test_no_modality_at_all_is_an_error(trained: TrainedCMC, data: Dataset) -> None:
    other = replace(data["test"], sequences={}, scores=data["test"].scores[:, :1])
    with pytest.raises(ModelError, match=r"^x: no frame of text, audio, vision found"):
        predict(trained, Dataset({"test": other}, "x"), "test")


def test_a_baseline_that_lacks_a_modality_is_named() -> None:
    data = tiny_data.dataset()
    config = baseline_data.settings("early-fusion", {"epochs": 1, "hidden": 4})
    trained = train_one(data, config, name="early-fusion", seed=1)
    widths = {"text": 5, "audio": 3}
    expected = (
        r"^tiny\.pkl: modality 'vision' not found; early-fusion was trained with it and cannot"
    )
    with pytest.raises(ModelError, match=expected):
        predict(trained, tiny_data.dataset(widths=widths), "test")


def test_more_modalities_in_another_order_are_no_matter() -> None:
    data = tiny_data.dataset()
    two = {
        k: replace(
            t,
            sequences={m: t.sequences[m] for m in ("text", "vision")},
            scores=t.scores[:, [0, 1, 3]],
        )
        for k, t in data.splits.items()
    }
    trained = train(Dataset(two, "two.pkl"))
    assert trained.model.modalities == ("text", "vision")
    shuffled = replace(
        data["test"], sequences={m: data["test"].sequences[m] for m in ("vision", "audio", "text")}
    )
    check_widths(trained, shuffled, "x")
    found = predict(trained, Dataset({"test": shuffled}, "x"), "test")
    assert found.modalities == ("text", "vision")
    assert np.array_equal(found.outputs, predict(trained, Dataset(two, "two.pkl"), "test").outputs)


def test_labels_beyond_the_scale_do_not_matter(trained: TrainedCMC, data: Dataset) -> None:
    strange = replace(data["test"], scores=np.full((12, 4), 99.0))
    found = predict(trained, Dataset({"test": strange}, "x"), "test")
    assert np.array_equal(found.outputs, predict(trained, data, "test").outputs)


def test_prediction_leaves_the_generators_alone(trained: TrainedCMC, data: Dataset) -> None:
    import torch

    before = torch.get_rng_state()
    predict(trained, data, "test")
    assert torch.equal(before, torch.get_rng_state())


def test_a_row_of_a_model_without_votes_has_none_and_no_conflict() -> None:
    found = made(np.zeros((1, 0, 1)), outputs=[[0.5]], scheme=REGRESSION)
    assert next(found.rows()) == {"id": "v$_$0", "label": "positive", "score": 0.5}
