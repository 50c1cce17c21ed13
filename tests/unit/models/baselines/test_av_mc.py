"""AV-MC: three passes, mixed goals, means taken once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import baseline_data
import tiny_data
from tricord.data.batching import Loader, TensorTable
from tricord.models import registry
from tricord.models.baselines import av_mc
from tricord.models.baselines.av_mc import AVMC, AVMCStage, Mixing, draw_mixing
from tricord.training.loop import fit
from tricord.types import Batch

STILL = {"encoder_dropout": 0, "head_dropout": 0}
WEIGHTS = torch.tensor([1.0, 0.2, 0.8, 0.4])


@pytest.fixture
def stage() -> AVMCStage:
    """In evaluation mode and without dropout: nothing but mixing differs between passes."""
    made: AVMCStage = baseline_data.first_stage(baseline_data.build("av-mc", STILL))
    made.model.eval()
    return made


def fix_mixing(monkeypatch: pytest.MonkeyPatch, share: float, partner: Tensor) -> None:
    mixing = Mixing(torch.tensor(share), partner)
    monkeypatch.setattr(av_mc, "draw_mixing", lambda clips: mixing)


def errors(scores: Tensor, goals: Tensor) -> Tensor:
    return (scores - goals).abs().mean(dim=0)


@pytest.mark.parametrize("preset", registry.WIDTHS)
def test_size_is_the_published_one(preset: str) -> None:
    entry = registry.get("av-mc")
    model = entry.build(entry.config(preset), registry.WIDTHS[preset])
    assert model.size == entry.published[preset]
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == model.size - 2  # range and shift


def test_a_clip_that_keeps_all_of_its_own_is_not_mixed(
    stage: AVMCStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = baseline_data.batch_of(stage.model, 5)
    fix_mixing(monkeypatch, 1.0, torch.tensor([1, 2, 3, 4, 0]))
    losses = stage.loss(batch)
    expected = WEIGHTS @ errors(stage.model.tasks(stage.model.vectors(batch)), batch.scores)
    for name in ("plain", "mixed_audio", "mixed_vision"):
        torch.testing.assert_close(losses[name], expected)
    torch.testing.assert_close(losses["loss"], 3 * expected)


def test_mixing_takes_the_goals_along(stage: AVMCStage, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = baseline_data.batch_of(stage.model, 5)
    share, partner = 0.3, torch.tensor([2, 0, 4, 1, 3])
    fix_mixing(monkeypatch, share, partner)
    losses = stage.loss(batch)
    for column, name in ((2, "audio"), (3, "vision")):
        vectors = stage.model.vectors(batch)
        vectors[name] = share * vectors[name] + (1 - share) * vectors[name][partner]
        scores = stage.model.tasks(vectors)
        expected = errors(scores, batch.scores)
        mixed = share * expected + (1 - share) * errors(scores, batch.scores[partner])
        expected[[0, column]] = mixed[[0, column]]
        torch.testing.assert_close(losses[f"mixed_{name}"], WEIGHTS @ expected)


def without(batch: Batch, columns: slice) -> Batch:
    scores, labels = batch.scores.clone(), batch.labels.clone()
    scores[:, columns], labels[:, columns] = math.nan, -1
    return replace(batch, scores=scores, labels=labels)


def test_tasks_without_own_labels_learn_the_multimodal_one(
    stage: AVMCStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_mixing(monkeypatch, 0.4, torch.tensor([2, 0, 1]))
    batch = baseline_data.batch_of(stage.model, 3)
    same = replace(batch, scores=batch.scores[:, :1].expand(-1, 4))
    expected = stage.loss(same)["loss"]
    torch.testing.assert_close(stage.loss(without(batch, slice(1, None)))["loss"], expected)
    assert not torch.isclose(stage.loss(batch)["loss"], expected)


def test_unknown_labels_and_absent_modalities_are_left_out(stage: AVMCStage) -> None:
    whole = baseline_data.batch_of(stage.model, 4)
    none = without(whole, slice(0, None))
    assert stage.loss(none)["loss"] == 0
    absent = replace(whole, present=torch.tensor([[True, False, True]]).expand(4, -1))
    with torch.no_grad():
        known = stage._evaluate(whole, 1)["loss"]
        own = errors(stage.model.tasks(stage.model.vectors(whole)), whole.scores)
        torch.testing.assert_close(known, WEIGHTS @ own)
        torch.testing.assert_close(stage._evaluate(absent, 1)["loss"], known - 0.8 * own[2])


def test_mixing_is_drawn_from_torch() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = [draw_mixing(9) for _ in range(200)]
        torch.manual_seed(3)
        again = draw_mixing(9)
    assert torch.equal(first[0].partner, again.partner)
    assert torch.equal(first[0].share, again.share)
    shares = torch.stack([mixing.share for mixing in first])
    assert 0 <= shares.min() < 0.1  # Beta(1, 1): all shares alike
    assert 0.9 < shares.max() <= 1
    assert all(torch.equal(m.partner.sort().values, torch.arange(9)) for m in first)


@pytest.mark.parametrize(("output", "bounds"), [("labels", (-3.0, 3.0)), ("unit", (-1.0, 1.0))])
def test_scores_stay_in_their_range(output: str, bounds: tuple[float, float]) -> None:
    config = registry.get("av-mc").config("mosi").with_settings({"output": output})
    model = AVMC(config, tiny_data.WIDTHS).eval()
    batch = baseline_data.batch_of(model, 4)
    last: Any = model.fusion[-1]
    for bias, expected in zip((-1e4, 1e4), bounds, strict=True):
        with torch.no_grad():
            last.bias.fill_(bias)
        torch.testing.assert_close(model(batch), torch.full((4, 1), expected))


def test_released_settings() -> None:
    config = registry.get("av-mc").config("mosei").released()
    assert (config.output, config.first_frame, config.rounding) == ("unit", True, 4)


@pytest.mark.parametrize("vector", ["first", "mean"])
def test_one_frame_a_clip_says_the_same(vector: str) -> None:
    model: AVMC = baseline_data.build("av-mc", {"text_vector": vector}).eval()
    table = tiny_data.table(rows=7, shortest=0)
    reduced = model.inputs(table, table.sequences)
    assert {int(s.lengths.max()) for s in reduced.values()} == {1}
    whole, short = (
        TensorTable(table, model.config.labels, sequences=s).fetch(torch.arange(7))
        for s in (table.sequences, reduced)
    )
    assert torch.equal(short.present, whole.present)
    torch.testing.assert_close(model(short), model(whole))


@pytest.mark.parametrize("rows", [1, 4])
def test_any_batch_trains_and_absent_modalities_give_numbers(rows: int) -> None:
    stage = baseline_data.first_stage(baseline_data.build("av-mc"))
    for shortest in (0, 1):
        batch = baseline_data.batch_of(stage.model, rows, shortest)
        stage.begin_epoch(1)
        stage.step(batch)
        for module in (stage.model.train(), stage.model.eval()):
            scores = module(batch)
            assert scores.shape == (rows, 1)
            assert scores.isfinite().all()


def test_range_and_shift_are_not_trained() -> None:
    model = baseline_data.build("av-mc", {"epochs": 2})
    before = baseline_data.build("av-mc").state_dict()
    fit(baseline_data.first_stage(model))
    moved = tiny_data.differs(before, model.state_dict())
    assert {n for n, p in model.named_parameters() if p.requires_grad} <= moved
    assert not moved & {"range", "low"}


def test_training_lowers_the_error_on_valid() -> None:
    rates: Mapping[str, Any] = {"epochs": 12, "rates.other.lr": 3e-3, "batch_size": 8}
    model = baseline_data.build("av-mc", rates)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        history = fit(baseline_data.first_stage(model, tiny_data.dataset((80, 30, 8))))
    assert min(row["valid_fusion"] for row in history) < 0.8 * history[0]["valid_fusion"]
    assert min(row["valid_loss"] for row in history) < 0.8 * history[0]["valid_loss"]


def test_a_step_stays_on_its_device_and_reads_no_number() -> None:
    model = baseline_data.build("av-mc")
    train = Loader(
        TensorTable(tiny_data.table(shortest=0), model.config.labels, device="meta"), 8, 1
    )
    stage = AVMCStage(model.to("meta"), train, train)
    trained = [p for p in model.parameters() if p.requires_grad]
    stage.optimizers = [torch.optim.SGD(trained, lr=0.1)]  # Adam's is not made for meta
    stage.begin_epoch(1)
    for batch in stage.batches(1):
        assert {loss.device.type for loss in stage.step(batch).values()} == {"meta"}
