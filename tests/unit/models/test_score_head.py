"""CMC's optional score head: error and correlation beside the classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import builders
import tiny_data
from tricord.errors import ConfigError
from tricord.evaluation.metrics import regression_metrics
from tricord.evaluation.table import evaluate
from tricord.inference.predictor import predict
from tricord.models.variants import VARIANTS
from tricord.nn.fusion import parameter_free_fusion
from tricord.nn.router import pool
from tricord.training.run import load_trained, train_one

HEAD = {"model.score_head": True}


def test_score_is_linear_in_the_pooled_fused_features_and_changes_nothing_before_it() -> None:
    model = builders.small_model(HEAD).eval()
    batch = builders.to_batch(builders.random_clips([[2, 3, 1], [1, 1, 4]]))
    prediction = model(batch)
    fused = parameter_free_fusion(model.encode(batch), model.temperature, batch.present)
    assert prediction.score is not None
    torch.testing.assert_close(prediction.score, model.score_head(pool(fused)))
    prediction.score.sum().backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {"score_head.weight", "score_head.bias"}


def test_size_grows_by_the_head_alone() -> None:
    plain, head = builders.small_model(), builders.small_model(HEAD)
    assert head.size == plain.size + 8 + 1
    assert plain(builders.to_batch(builders.random_clips([[1, 1, 1]]))).score is None


def test_error_and_correlation_stand_beside_the_classes(tmp_path) -> None:
    data = tiny_data.dataset()
    config = tiny_data.config({**HEAD, "finetune.epochs": 20, "finetune.lr": 0.01})
    trained = train_one(data, config, name="cmc", seed=1, folder=tmp_path)
    rows = trained.history["finetune"]
    assert rows[-1]["train_score"] < rows[0]["train_score"]
    predictions = predict(load_trained(tmp_path), data, "test")
    assert predictions.scores is not None
    cell = evaluate({"cmc": [trained]}, data).row("cmc").cells["D_test"]
    expected = regression_metrics(predictions.scores, data["test"].scores[:, 0], config.labels)
    for name in ("mae", "corr", "acc3", "acc5"):
        assert cell.metrics[name] == pytest.approx(expected[name])
    assert cell.metrics["acc2"] == cell.interval.estimate  # by classes, not by the score's sign
    shown = [row["score"] for row in predictions.rows()]
    assert np.allclose(shown, predictions.scores, atol=1e-6)


def test_the_head_learns_where_all_but_the_router_is_frozen() -> None:
    variant = {**VARIANTS["cmc-variant"], "finetune.epochs": 20, "finetune.lr": 0.01}
    config = tiny_data.config({**HEAD, **variant})
    trained = train_one(tiny_data.dataset(), config, name="cmc-variant", seed=1)
    rows = trained.history["finetune"]
    assert rows[-1]["train_score"] < 0.9 * rows[0]["train_score"]
    for name, state in trained.pretrained.unimodal.items():
        tiny_data.assert_same_state(dict(trained.model.parts[name].state_dict()), dict(state))


def test_labels_without_a_score_cannot_have_the_head() -> None:
    with pytest.raises(ConfigError, match="needs classes that are made from scores"):
        builders.small_config(
            {**HEAD, "labels.head": "regression", "pretrain.labels": "multimodal"}
        )


def test_training_is_the_same_as_without_the_head() -> None:
    data = tiny_data.dataset()
    short = {"pretrain.epochs": 2, "finetune.epochs": 2}
    plain, head = (
        train_one(data, tiny_data.config({**short, **more}), name="cmc", seed=1)
        for more in ({}, HEAD)
    )
    rest = {k: v for k, v in head.model.state_dict().items() if "score_head" not in k}
    tiny_data.assert_same_state(plain.model.state_dict(), rest)
