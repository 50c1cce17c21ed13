"""Every named variant trains, and does what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

import tiny_data
import tricord
from tricord.api import Run
from tricord.data.batching import TensorTable
from tricord.data.schema import Dataset
from tricord.errors import ConfigError, DataError
from tricord.inference.predictor import predict_stage1
from tricord.models.variants import VARIANTS, configure
from tricord.training.finetune import FinetuneStage
from tricord.training.loop import Observer, Progress, Stage
from tricord.training.pretrain import PretrainStage
from tricord.training.stages import clone_state

NAMES = ("text", "audio", "vision")
QUICK = {
    **tiny_data.SETTINGS,
    "pretrain.epochs": 2,
    "finetune.epochs": 2,
    "finetune.lr": 0.01,
    "model.attention_dropout": 0.0,
    # 41 clips: no batch of one, which the released SupCon does not survive
    "pretrain.batch_size": 12,
    "finetune.batch_size": 12,
}
MOVING = tiny_data.MOVING


class Watch(Observer):
    """The labels of stage 1 at its start and the names of the losses of stage 2."""

    def stage_started(self, stage: Stage, progress: Progress) -> None:
        if isinstance(stage, PretrainStage):
            self.start = stage.targets.bank.soft.clone()
            self.valid_start = stage.valid_targets.bank.soft.clone()
        if isinstance(stage, FinetuneStage):
            self.before = clone_state(stage.model)

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        if isinstance(stage, FinetuneStage):
            self.losses = {k for k in progress.history[-1] if k.startswith("train_")}


_DONE: dict[str, tuple[Run, Watch]] = {}


def train(
    data: Dataset, model: str, settings: Mapping[str, Any] | None = None
) -> tuple[Run, Watch]:
    """Trained once for all tests; they only look at the result."""
    key = f"{model} {settings} {data.source}"
    if key not in _DONE:
        watch, settings = Watch(), {**QUICK, **(settings or {})}
        run = tricord.train(data, "tiny", model, settings=settings, observer=watch)
        _DONE[key] = run, watch
    return _DONE[key]


@pytest.mark.parametrize("model", VARIANTS)
def test_every_variant_trains_and_is_evaluated(model: str, data: Dataset) -> None:
    run, _ = train(data, model)
    assert run.name == model
    first = 1 if run.model.evidence is None else 0  # what stage 1 hands over is a candidate
    epochs = {s: [row["epoch"] for row in run.best.history[s]] for s in ("pretrain", "finetune")}
    assert epochs == {"pretrain": [1, 2], "finetune": list(range(first, 3))}
    assert all(torch.isfinite(v).all() for v in run.model.state_dict().values())
    table = run.evaluate()
    assert table.rows[-1].name == model
    assert table.limits is not None
    found = run.predict(data)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=1e-6)


def test_unknown_variants_are_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="model 'cmc-2' does not exist; there is: cmc, cmc-var"):
        configure(tiny_data.config(), "cmc-2")


def test_cmc_variant_trains_the_router_alone(data: Dataset) -> None:
    run, watch = train(data, "cmc-variant")
    model, stage1 = run.model.state_dict(), run.best.stage1.state_dict()
    assert set(model) - set(stage1) == {"router.linear.weight", "router.linear.bias"}
    for name in stage1:
        assert torch.equal(model[name], stage1[name]), name
    assert tiny_data.differs(model, watch.before) == set(model) - set(stage1)


def test_cmc_variants_votes_are_those_of_stage_1(data: Dataset) -> None:
    run = train(data, "cmc-variant")[0]
    found, alone = run.predict(data), predict_stage1(run.best, data, "test")
    assert np.array_equal(found.votes, alone)
    assert found.weights.std(axis=0).min() > 0  # MCR weighs clip by clip
    assert not np.array_equal(train(data, "cmc")[0].predict(data).votes, alone)


def test_cmc_variant_has_neither_pfm_nor_unimodal_losses(data: Dataset) -> None:
    run, watch = train(data, "cmc-variant")
    assert watch.losses == {"train_loss", "train_consensus", "train_supcon"}
    assert run.model.fusion == "none"


def test_cmc_gt_starts_from_the_unimodal_labels(data: Dataset) -> None:
    run, watch = train(data, "cmc-gt", {"pretrain.lr": 1e-5})
    for start, split in ((watch.start, "train"), (watch.valid_start, "valid")):
        classes = run.best.config.labels.to_class(data[split].scores[:, 1:])
        assert torch.equal(start, one_hot(torch.as_tensor(classes), 3).float())
    own = run.best.config.labels.to_class(data["train"].scores)
    assert (own[:, 1:] != own[:, :1]).any()


@pytest.mark.parametrize("model", ["cmc-gt", "cmc-wo-plgm"])
def test_labels_that_are_given_never_move(model: str, data: Dataset) -> None:
    run, watch = train(data, model, MOVING)
    assert torch.equal(run.best.pretrained.labels, watch.start)
    assert torch.equal(run.best.pretrained.valid_labels, watch.valid_start)
    assert set(run.best.pretrained.moved.values()) == {0}
    moving, _ = train(data, "cmc", MOVING)  # the same settings move the labels of PLGM
    assert sum(moving.best.pretrained.moved.values()) > 0


def test_wo_plgm_is_the_multimodal_label_throughout(data: Dataset) -> None:
    run, watch = train(data, "cmc-wo-plgm", MOVING)
    classes = run.best.config.labels.to_class(data["train"].scores[:, 0])
    assert torch.equal(watch.start.argmax(-1), torch.as_tensor(classes)[:, None].expand(-1, 3))


@pytest.mark.parametrize("modality", NAMES)
def test_cmc_gt_needs_unimodal_labels(modality: str, data: Dataset) -> None:
    def strip(table: Any) -> Any:
        scores = table.scores.copy()
        scores[:, 1 + NAMES.index(modality)] = np.nan
        return replace(table, scores=scores)

    bare = Dataset({k: strip(t) for k, t in data.splits.items()}, "bare.pkl")
    with pytest.raises(DataError, match=rf"^bare\.pkl: no unimodal labels for {modality} found"):
        train(bare, "cmc-gt")
    assert train(bare, "cmc")[0].best


def fused(run: Run, data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """(h, what the classifiers' first layer is given), each (N, K, d)."""
    seen = {}
    handles = [
        part.classifier.proj1.register_forward_pre_hook(
            lambda _, inputs, n=name: seen.update({n: inputs[0].clone()})
        )
        for name, part in run.model.parts.items()
    ]
    table = TensorTable(data["test"], run.best.config.labels)
    with torch.no_grad():
        prediction = run.model.eval()(table.fetch(np.arange(len(table))))
    for handle in handles:
        handle.remove()
    return prediction.h, torch.stack([seen[n] for n in NAMES], dim=1)


@pytest.mark.parametrize("model", VARIANTS)
def test_without_pfm_fused_is_h(model: str, data: Dataset) -> None:
    h, given = fused(train(data, model)[0], data)
    without = model in ("cmc-variant", "cmc-wo-pfm", "cmc-single-task-wo-pfm")
    assert torch.equal(h, given) == without


@pytest.mark.parametrize("model", VARIANTS)
def test_without_mcr_weights_are_uniform(model: str, data: Dataset) -> None:
    run, _ = train(data, model)
    weights = run.predict(data).weights
    if model == "cmc-wo-mcr":
        np.testing.assert_allclose(weights, 1 / 3, rtol=1e-6)
        votes = run.predict(data).votes
        np.testing.assert_allclose(run.predict(data).outputs, votes.mean(axis=1), atol=1e-6)
        assert run.model.router is None
    else:
        assert np.abs(weights - 1 / 3).max() > 1e-3


@pytest.mark.parametrize("model", VARIANTS)
def test_single_task_has_no_unimodal_losses(model: str, data: Dataset) -> None:
    _, watch = train(data, model)
    own = {f"train_{n}" for n in NAMES}
    single = model in ("cmc-variant", "cmc-single-task", "cmc-single-task-wo-pfm")
    assert watch.losses - {"train_loss"} == {"train_consensus", "train_supcon"} | (
        set() if single else own
    )


def test_variants_combine_through_settings(data: Dataset) -> None:
    settings = {
        "pretrain.labels": "multimodal",
        "finetune.fusion": "none",
        "finetune.router": "mean",
        "finetune.tasks": "single",
    }
    run, watch = train(data, "cmc", settings)
    assert watch.losses == {"train_loss", "train_consensus", "train_supcon"}
    np.testing.assert_allclose(run.predict(data).weights, 1 / 3, rtol=1e-6)
    h, given = fused(run, data)
    assert torch.equal(h, given)
    with pytest.raises(ConfigError, match=r"'router_only' needs finetune\.router='mcr'"):
        train(data, "cmc-variant", {"finetune.router": "mean"})


def test_stage_1_is_the_same_for_all_that_differ_in_stage_2(data: Dataset) -> None:
    """So that it may be shared, as the demonstration does."""
    runs = [train(data, m)[0].best for m in ("cmc", "cmc-wo-pfm", "cmc-single-task")]
    for other in runs[1:]:
        tiny_data.assert_same_state(other.pretrained.unimodal, runs[0].pretrained.unimodal)
        assert torch.equal(other.pretrained.labels, runs[0].pretrained.labels)


def test_the_variant_from_a_shared_stage_1(data: Dataset) -> None:
    cmc, _ = train(data, "cmc")
    shared = tricord.train(data, "tiny", "cmc-variant", settings=QUICK, pretrained=cmc)
    alone = predict_stage1(cmc.best, data, "test")
    np.testing.assert_array_equal(predict_stage1(shared.best, data, "test"), alone)
    np.testing.assert_array_equal(shared.predict(data).votes, alone)
