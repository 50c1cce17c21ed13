"""Self-MM: labels that move, and what they do to training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import baseline_data
import tiny_bert
import tiny_data
from tricord.data.batching import Loader, TensorTable
from tricord.data.schema import Ragged
from tricord.features.language import TextEncoder
from tricord.models import registry
from tricord.models.baselines.self_mm import (
    LabelGenerator,
    SelfMM,
    SelfMMStage,
    candidates,
    relative_distance,
    weighted_errors,
)
from tricord.training.loop import fit

WIDTHS = {"fusion": 3, "text": 2, "audio": 2}
nan = math.nan


def generator(
    scores: list[float], present: Tensor | None = None, zero: Any = "neither", bound: float = 1.0
) -> LabelGenerator:
    if present is None:
        present = torch.ones(len(scores), 2, dtype=torch.bool)
    return LabelGenerator(torch.tensor(scores), present, WIDTHS, (-bound, bound), zero)


def random_features(rows: int, seed: int = 0) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    return {name: torch.rand(rows, p, generator=source) for name, p in WIDTHS.items()}


@pytest.mark.parametrize("preset", registry.WIDTHS)
def test_size_is_the_published_one(preset: str) -> None:
    entry = registry.get("self-mm")
    model = entry.build(entry.config(preset), registry.WIDTHS[preset])
    assert model.size == entry.published[preset]


def test_relative_distance_is_the_difference_by_the_distance_to_the_positive_center() -> None:
    centers = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    features = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 4.0]])
    found = relative_distance(features, centers)
    torch.testing.assert_close(found, torch.tensor([1.0, -0.5, 0.25]))
    torch.testing.assert_close(relative_distance(7 * features, 7 * centers), found)


def test_candidates_are_the_mean_of_a_scaled_and_a_shifted_label() -> None:
    # 0.4 / 0.8 * 0.6 = 0.3 and 0.6 + 0.4 - 0.8 = 0.2; -0.8 / 0.8 * 0.6 and 0.6 - 1.6
    found = candidates(torch.tensor([[0.8, 0.4, -0.8]]), torch.tensor([[0.6]]))
    torch.testing.assert_close(found, torch.tensor([[0.25, -0.8]]))


def test_zero_belongs_to_neither_sign_or_as_released_to_the_positive() -> None:
    features = {
        name: torch.tensor([[1.0], [5.0], [-2.0]]).expand(3, p) for name, p in WIDTHS.items()
    }
    for zero, expected in (("neither", 1.0), ("positive", 3.0)):
        labels = generator([1.0, 0.0, -1.0], zero=zero)
        labels.update(1, torch.arange(3), features)
        for name, centers in labels.centers().items():
            torch.testing.assert_close(centers[0], torch.full((WIDTHS[name],), expected))
            torch.testing.assert_close(centers[1], torch.full((WIDTHS[name],), -2.0))


def test_labels_move_from_the_second_epoch_with_the_centers_of_the_batches_before() -> None:
    labels = generator([0.5, -0.5, 0.2, -0.9])
    before, index = random_features(4), torch.tensor([2, 0])
    labels.update(1, torch.arange(4), before)
    start = labels.labels.clone()
    centers = labels.centers()
    now = random_features(2, seed=1)
    labels.update(2, index, now)
    distances = torch.stack([relative_distance(now[name], centers[name]) for name in WIDTHS], dim=1)
    new = candidates(distances, start[index, :1]).clamp(-1, 1)
    torch.testing.assert_close(labels.labels[index, 1:], start[index, 1:] / 3 + new * 2 / 3)
    assert not torch.equal(labels.labels[index, 1:], start[index, 1:])
    assert torch.equal(labels.labels[[1, 3]], start[[1, 3]])
    assert torch.equal(labels.labels[:, 0], start[:, 0])
    for name, table in labels.features.items():
        assert torch.equal(table[index], now[name])
        assert torch.equal(table[[1, 3]], before[name][[1, 3]])


@pytest.mark.parametrize("scores", [[0.5, 0.2, 0.9], [-0.5, -0.1, -1.0], [0.0, 0.0, 0.0]])
def test_without_a_sign_labels_stay(scores: list[float]) -> None:
    labels = generator(scores)
    start = labels.labels.clone()
    for epoch in (1, 2, 3):
        labels.update(epoch, torch.arange(3), random_features(3, seed=epoch))
    assert torch.equal(labels.labels, start)


def test_labels_stay_finite_and_in_range_where_features_coincide() -> None:
    labels = generator([0.5, -0.5, 0.3, -1.0], bound=1.0)
    same = {name: torch.zeros(4, p) for name, p in WIDTHS.items()}
    for epoch in (1, 2, 3):
        labels.update(epoch, torch.arange(4), same)
        labels.update(epoch, torch.arange(4), random_features(4, seed=epoch))
    assert labels.labels.abs().max() <= 1.0  # false for NaN


def test_unknown_labels_and_absent_modalities_take_no_part() -> None:
    present = torch.tensor([[True, True], [True, True], [True, False], [True, True]])
    labels = generator([0.5, -0.5, 0.9, nan], present)
    first = random_features(4)
    labels.update(1, torch.arange(4), first)
    centers = labels.centers()
    torch.testing.assert_close(centers["audio"][0], first["audio"][0])
    torch.testing.assert_close(centers["text"][0], first["text"][[0, 2]].mean(dim=0))
    labels.update(2, torch.arange(4), random_features(4, seed=1))
    unknown = labels.labels.isnan()
    assert unknown.tolist() == [[False] * 3, [False] * 3, [False, False, True], [True] * 3]


def test_a_modality_counts_as_far_as_its_label_differs() -> None:
    scores = torch.tensor([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0]], requires_grad=True)
    labels = torch.tensor([[0.5, 0.5, -0.5], [0.5, nan, 0.5]])
    errors = weighted_errors(scores, labels)
    torch.testing.assert_close(errors, torch.tensor([0.5, 0.0, math.tanh(1.0) * 1.5 / 2]))
    errors.sum().backward()
    assert scores.grad is not None
    torch.testing.assert_close(
        scores.grad, torch.tensor([[0.5, 0.0, math.tanh(1.0) / 2], [-0.5, 0.0, 0.0]])
    )


def unimodal_gradients(stage: SelfMMStage) -> dict[str, float]:
    """The largest gradient in each head for the first batch."""
    batch = next(iter(stage.batches(1)))
    stage.loss(batch)["loss"].backward()
    found = {
        name: max(float(p.grad.abs().max()) for p in head.parameters() if p.grad is not None)
        for name, head in stage.model.heads.items()
    }
    stage.model.zero_grad()
    return found


def test_unimodal_tasks_learn_only_when_labels_have_moved() -> None:
    stage = baseline_data.first_stage(baseline_data.build("self-mm", {"epochs": 2}))
    stage.begin_epoch(1)
    first = unimodal_gradients(stage)
    assert first.pop("fusion") > 0
    assert set(first.values()) == {0.0}
    fit(stage)
    assert all(value > 0 for value in unimodal_gradients(stage).values())


@pytest.mark.parametrize("rows", [1, 4])
def test_any_batch_trains_and_absent_modalities_give_numbers(rows: int) -> None:
    model = baseline_data.build("self-mm")
    for shortest in (0, 1):
        batch = baseline_data.batch_of(model, rows, shortest)
        for module in (model.train(), model.eval()):
            scores = module(batch)
            assert scores.shape == (rows, 1)
            assert scores.isfinite().all()


def test_prediction_is_the_fusion_task() -> None:
    model = baseline_data.build("self-mm").eval()
    batch = baseline_data.batch_of(model, 6)
    torch.testing.assert_close(model(batch), model.tasks(batch).scores[:, :1])


@pytest.mark.parametrize("vector", ["first", "mean"])
def test_ready_text_is_reduced_to_what_stands_for_the_sentence(vector: str) -> None:
    model: SelfMM = baseline_data.build("self-mm", {"text_vector": vector}).eval()
    table = tiny_data.table(rows=7, shortest=0)
    reduced = model.inputs(table, table.sequences)
    assert reduced["text"].lengths.max() == 1
    assert table.sequences["text"].lengths.max() > 1
    whole, short = (
        TensorTable(table, model.config.labels, sequences=s).fetch(torch.arange(7))
        for s in (table.sequences, reduced)
    )
    torch.testing.assert_close(model(short), model(whole))


def test_a_language_model_is_finetuned_through_its_first_state() -> None:
    entry = registry.get("self-mm")
    text = {"text.encoder": "none", "text.finetune": True, "accumulate": 1}
    model = entry.build(
        entry.config("tiny").with_settings(text), {**tiny_data.WIDTHS, "text": tiny_bert.WIDTH}
    )
    assert isinstance(model, SelfMM)
    model.language["text"] = TextEncoder(tiny_bert.make_model())
    table = tiny_data.table(rows=8)
    tokens = Ragged(np.tile([2, 5, 7, 3], 8), np.arange(0, 33, 4), 4)
    sequences = model.inputs(table, {**table.sequences, "text": tokens})
    assert sequences["text"] is tokens
    train = Loader(TensorTable(table, model.config.labels, sequences=sequences), 4, 1)
    stage = SelfMMStage(model, train, train)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stage.begin_epoch(1)
    for batch in stage.batches(1):
        stage.step(batch)
    moved = tiny_data.differs(before, dict(model.state_dict()))
    assert any(name.startswith("language.text") and "query.weight" in name for name in moved)
    assert {"heads.fusion.first.weight", "readers.audio.out.weight"} <= moved


def test_training_lowers_the_error_on_valid() -> None:
    changes = {"epochs": 12, "rates.other.lr": 1e-2, "batch_size": 8}
    model = baseline_data.build("self-mm", changes)
    data = tiny_data.dataset((80, 30, 8))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        history = fit(baseline_data.first_stage(model, data))
    assert min(row["valid_loss"] for row in history) < 0.8 * history[0]["valid_loss"]


def test_a_resumed_run_has_the_same_bits() -> None:
    changes: Mapping[str, Any] = {"epochs": 4, "accumulate": 2}
    whole = baseline_data.Kept()
    states = []
    for kept in (whole, baseline_data.Kept()):
        if states:  # continue from the second epoch of the first run
            kept.states = whole.states[1:2]
        with torch.random.fork_rng():
            torch.manual_seed(len(states))
            stage = baseline_data.first_stage(baseline_data.build("self-mm", changes))
            fit(stage, checkpoint=kept)
        states.append({**stage.model.state_dict(), **stage.generator.state_dict()})
    tiny_data.assert_same_state(states[0], states[1])
    own = stage.generator.labels
    assert not torch.equal(own[:, :1].expand(-1, 3), own[:, 1:])


def test_released_settings() -> None:
    config = registry.get("self-mm").config("ch-sims").released()
    assert (config.zero, config.leftovers, config.accumulate) == ("positive", "drop", 4)
    stage = baseline_data.first_stage(baseline_data.build("self-mm", {"zero": "positive"}))
    assert stage.generator.zero == "positive"


def test_labels_move_without_reading_a_number() -> None:
    scores = torch.zeros(6, device="meta")
    present = torch.ones(6, 2, dtype=torch.bool, device="meta")
    labels = LabelGenerator(scores, present, WIDTHS, (-1.0, 1.0))
    features = {name: torch.zeros(4, p, device="meta") for name, p in WIDTHS.items()}
    index = torch.arange(4, device="meta")
    for epoch in (1, 2):
        errors = weighted_errors(torch.zeros(4, 3, device="meta"), labels.labels[index])
        labels.update(epoch, index, features)
        assert errors.device.type == labels.labels.device.type == "meta"
