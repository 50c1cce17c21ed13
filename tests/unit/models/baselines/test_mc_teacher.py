"""MC-Teacher: what the student learns, whom the filter believes, how the teacher follows."""

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
from tricord.data.batching import Loader
from tricord.data.schema import Dataset
from tricord.errors import ConfigError, DataError
from tricord.models import registry
from tricord.models.baselines.mc_teacher import MCTeacher
from tricord.models.baselines.mc_teacher_parts import FILTER, Outputs
from tricord.models.baselines.mc_teacher_stage import (
    MCTeacherStage,
    Pace,
    divergence,
    teacher_momentum,
    tolerance,
)
from tricord.training.loop import fit
from tricord.types import Batch

NAME = "mc-teacher"
STILL = {"encoder_dropout": 0, "post_dropout": 0, "queue_dropout": 0}
LABELLED, UNLABELLED = 20, 30
SUPERVISED = torch.tensor([1.0, 1.0, 0.8, 0.8])  # text-audio, text-vision, audio-vision, fused
CONSISTENCY = torch.tensor([0.8, 0.2, 1.0, 0.8])


def data(unlabelled: int = UNLABELLED) -> Dataset:
    """The labels of ``unlabelled`` are there and must not be used."""
    splits = {**tiny_data.dataset((LABELLED, 9, 12)).splits}
    splits["unlabelled"] = tiny_data.table("unlabelled", unlabelled)
    return Dataset(splits, source="tiny.pkl")


def make(changes: Mapping[str, Any] | None = None, unlabelled: int = UNLABELLED) -> MCTeacherStage:
    model = baseline_data.build(NAME, {**STILL, **(changes or {})})
    stage: MCTeacherStage = baseline_data.first_stage(model, data(unlabelled))
    return stage


def mixed_batch(stage: MCTeacherStage) -> Batch:
    return next(stage.mixture.epoch(1))


def decide(stage: MCTeacherStage, accept: bool) -> None:
    """A filter that says the same of every clip."""
    last = stage.model.filter[-1]
    last.weight.data.zero_()
    last.bias.data = torch.tensor([0.0, 50.0] if accept else [50.0, 0.0])
    stage.filter_optimizer.param_groups[0]["lr"] = 0.0


def weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


# ------------------------------------------------------------------------------- sizes and settings


@pytest.mark.parametrize(("preset", "size"), [("ch-sims-v2", 322_424), ("mosei", 288_328)])
def test_size_is_the_published_one(preset: str, size: int) -> None:
    model = registry.get(NAME).build(registry.get(NAME).config(preset), registry.WIDTHS[preset])
    assert isinstance(model, MCTeacher)
    assert model.size == size
    parts = {
        name: sum(p.numel() for p in module.parameters())
        for name, module in {**model.encoders, "filter": model.filter, "fused": model.fused}.items()
    }
    if preset == "ch-sims-v2":
        assert parts == {
            "text": 49_216, "audio": 42_944, "vision": 177_536, "filter": 16_578, "fused": 7_361,
        }  # fmt: skip


def test_released_sets_every_oddity() -> None:
    config = registry.get(NAME).config("ch-sims-v2")
    changed = {
        name: value
        for name, value in config.released().model_dump().items()
        if config.model_dump()[name] != value
    }
    assert changed == {
        "double_softmax": True,
        "detached": False,
        "filter_accumulates": True,
        "filter_twice": True,
        "rounding": 4,
        "text_vector": "first",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": ["text"]}, "modalities: two are needed"),
        ({"supervised": {"fused": 1}}, "supervised: no weight for 'text_audio'"),
        ({"text.encoder": "bert", "text.finetune": True}, "text.finetune: .* is frozen"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        baseline_data.settings(NAME, changes)


def test_two_modalities_make_one_pair() -> None:
    two = {name: tiny_data.WIDTHS[name] for name in ("audio", "vision")}
    model = registry.get(NAME).build(baseline_data.settings(NAME), two)
    assert list(model.pairs) == ["audio_vision"]
    splits = {
        name: tiny_data.table(name, rows, widths=two)
        for name, rows in {"train": 20, "valid": 8, "unlabelled": 12}.items()
    }
    stage = baseline_data.first_stage(model, Dataset(splits, source="two.pkl"))
    losses = stage.step(mixed_batch(stage))
    assert all(value.isfinite() for value in losses.values())
    assert stage.pace.variance == 0  # of one pair


@pytest.mark.parametrize("unlabelled", [None, 0])
def test_without_clips_to_learn_from_it_says_what_is_needed(unlabelled: int | None) -> None:
    model = baseline_data.build(NAME)
    without = tiny_data.dataset() if unlabelled is None else data(unlabelled)
    with pytest.raises(DataError, match=r"tiny\.pkl: split 'unlabelled' not found.*MC-Teacher"):
        baseline_data.first_stage(model, without)


# ---------------------------------------------------------------------------------------- formulas


def test_tolerance_by_hand() -> None:
    config = registry.get(NAME).config("ch-sims-v2")
    found = [tolerance(config, batches) for batches in (0, 79, 159, 799)]
    assert found == pytest.approx([1.0, 1.0, 0.6, 0.28])


def test_teacher_momentum_by_hand() -> None:
    cases = {(0, 1.0): 0.0, (0, 7.0): 0.0, (1, 1.0): 0.5, (3, 0.5): 0.5, (1, 2.0): 0.75}
    for (batches, ratio), expected in cases.items():
        assert teacher_momentum(0.97, batches, ratio) == pytest.approx(expected)
    assert teacher_momentum(0.97, 500, 1.0) == 0.97
    assert teacher_momentum(0.97, 1, math.inf) == 0.97


def test_divergence_by_hand() -> None:
    student, teacher = torch.zeros(1, 1, 2), torch.tensor([[[math.log(3), 0.0]]])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(divergence(student, teacher)) == pytest.approx(expected)
    assert not divergence(teacher, teacher).any()


def test_pace_compares_with_the_batch_before() -> None:
    pace, ratios = Pace(), []
    for variance in (2.0, 4.0, 1.0, 0.0, 3.0):
        pace.saw(variance)
        ratios.append(pace.ratio)
    assert ratios == [1.0, 0.5, 4.0, 1.0, 1.0]  # nothing before, nothing to divide by
    again = Pace()
    again.load_state_dict(pace.state_dict())
    assert again == pace


# ----------------------------------------------------------------------------------------- network


def layer(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def test_the_network_by_its_equations() -> None:
    """One clip, dropout off; torch's own LSTM, all else written out."""
    model = baseline_data.build(NAME).eval().requires_grad_(False)
    batch = baseline_data.batch_of(model, 1)
    state = model.state_dict()
    encoded = {"text": layer(state, "encoders.text", batch.frames["text"].values.mean(dim=0))}
    for name in ("audio", "vision"):
        net = model.encoders[name]
        x = layer(state, f"encoders.{name}.project", batch.frames[name].values)
        outputs, (first, _) = net.first.rnn(x)
        centred = outputs - outputs.mean(dim=1, keepdim=True)
        normed = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        _, (second, _) = net.second.rnn(normed)
        encoded[name] = torch.cat([first.flatten(), second.flatten()])
    post = {name: layer(state, f"post.{name}", x).relu() for name, x in encoded.items()}

    scores, features = [], []
    for a, b in (("text", "audio"), ("text", "vision"), ("audio", "vision")):
        q = layer(state, f"pairs.{a}_{b}.first", torch.cat([post[a], post[b]]))
        hidden = layer(state, f"pairs.{a}_{b}.second", q).relu()
        scores.append(layer(state, f"pairs.{a}_{b}.out", hidden))
        features.append(q)
    hidden = layer(state, "fused.first", torch.cat(list(post.values())))
    hidden = layer(state, "fused.second", hidden).relu()
    scores.append(layer(state, "fused.out", hidden))
    features.append(hidden)
    found = model.outputs(batch)
    torch.testing.assert_close(found.scores, torch.cat(scores)[None])
    torch.testing.assert_close(found.features, torch.stack(features)[None])
    hidden = layer(state, "filter.0", torch.cat(features)).relu()
    torch.testing.assert_close(model.trust(found.features)[0], layer(state, "filter.2", hidden))


# ------------------------------------------------------------------------------------------- data


def test_a_mixture_holds_every_clip_once_and_forgets_labels() -> None:
    stage = make()
    batches = list(stage.mixture.epoch(1))
    assert [len(batch) for batch in batches] == [16, 16, 16, 2]
    known = [batch.label >= 0 for batch in batches]
    assert any(0 < int(k.sum()) < len(k) for k in known)  # the two kinds share a batch
    rows = sorted(
        (bool(k), int(row))
        for batch, ks in zip(batches, known, strict=True)
        for k, row in zip(ks, batch.index, strict=True)
    )
    expected = [(False, row) for row in range(UNLABELLED)]
    assert rows == expected + [(True, row) for row in range(LABELLED)]
    for batch, k in zip(batches, known, strict=True):
        assert batch.scores[~k].isnan().all()
        assert not batch.scores[k].isnan().any()


def test_clips_of_a_mixture_are_those_of_their_tables() -> None:
    stage = make()
    batch = mixed_batch(stage)
    labelled = int((batch.label >= 0).sum())
    assert (batch.label >= 0)[:labelled].all()
    own = stage.mixture.labelled.fetch(batch.index[:labelled])
    other = stage.mixture.unlabelled.fetch(batch.index[labelled:])
    for name, frames in batch.frames.items():
        joined = torch.cat([own.frames[name].values, other.frames[name].values])
        assert torch.equal(frames.values, joined)
        assert int(frames.lengths.sum()) == len(joined)
    assert torch.equal(batch.scores[:labelled], own.scores)
    orders = [next(stage.mixture.epoch(epoch)).index.tolist() for epoch in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


# ----------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("accept", [True, False])
def test_the_losses_of_a_mixed_batch(accept: bool) -> None:
    stage = make()
    decide(stage, accept)
    for parameter in stage.teacher.model.parameters():
        parameter.add_(0.1)
    batch = mixed_batch(stage)
    known = batch.label >= 0
    found = stage.loss(batch)
    student, teacher = stage.model.outputs(batch), stage.teacher.model.outputs(batch)

    errors = (student.scores[known] - batch.scores[known, :1]).abs().mean(dim=0)
    torch.testing.assert_close(found["supervised"], errors @ SUPERVISED)
    new = ~known
    apart = divergence(student.features[new, :-1], teacher.features[new, :-1]).sum(dim=0)
    mean = (student.scores[new, -1:] - teacher.scores[new, -1:]).abs().mean(dim=0)
    consistency = torch.cat([apart, mean]) @ CONSISTENCY
    assert float(consistency.detach()) > 0.01
    expected = consistency if accept else torch.zeros(())
    torch.testing.assert_close(found["consistency"], expected)
    torch.testing.assert_close(found["loss"], found["supervised"] + found["consistency"])
    assert float(found["accepted"]) == pytest.approx(float(new.float().mean()) if accept else 0)


def test_a_batch_without_labels_teaches_the_filter_nothing() -> None:
    stage = make()
    batch = mixed_batch(stage)
    unknown = replace(
        batch,
        scores=torch.full_like(batch.scores, math.nan),
        labels=torch.full_like(batch.labels, -1),
    )
    decide(stage, accept=False)
    stage.filter_optimizer.param_groups[0]["lr"] = 0.05
    before = weights(stage.model)
    losses = stage.step(unknown)
    assert {name: float(value.detach()) for name, value in losses.items()} == {
        "loss": 0, "supervised": 0, "consistency": 0, "filter": 0, "accepted": 0,
    }  # fmt: skip
    after = weights(stage.model)
    moved = {name for name in tiny_data.differs(before, after) if name.startswith(FILTER)}
    assert not moved
    assert all(value.isfinite().all() for value in after.values())


@pytest.mark.parametrize("double", [False, True])
def test_the_filter_learns_where_the_teacher_is_right(
    double: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right: the same sign and close enough; zero has no sign."""
    stage = make({"double_softmax": double, "tolerance_span": 1e-9, "tolerance_floor": 0.25})
    batch = mixed_batch(stage)
    label = torch.tensor([0.5, 0.5, 0.1, 0.0])
    guess = torch.tensor([0.7, 0.8, -0.1, 0.1])
    features = torch.randn(4, 4, 8, generator=torch.Generator().manual_seed(0))
    batch = replace(batch, scores=label[:, None].expand(4, 4))
    teacher = Outputs(torch.cat([torch.zeros(4, 3), guess[:, None]], dim=1), features)
    logits = stage.model.trust(features).detach()
    shown = logits.softmax(dim=1) if double else logits
    expected = -shown.log_softmax(dim=1)[torch.arange(4), torch.tensor([1, 0, 0, 0])].mean()
    found = stage._learn_filter(teacher, batch, torch.ones(4, dtype=torch.bool))
    torch.testing.assert_close(found, expected)
    again = stage._learn_filter(teacher, batch, torch.ones(4, dtype=torch.bool))
    assert float(again) < float(found)


# ------------------------------------------------------------------------------- the three parts


class Watched(MCTeacherStage):
    """Notes, for each step, the part and what has moved."""

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        student, teacher = weights(self.model), weights(self.teacher.model)
        losses = super().step(batch)
        moved = tiny_data.differs(student, weights(self.model))
        of_filter = {name for name in moved if name.startswith(FILTER)}
        after = weights(self.teacher.model)
        self.notes.append(
            {
                "part": self._part,
                "clips": len(batch),
                "labels": int((batch.label >= 0).sum()),
                "student": bool(moved - of_filter),
                "filter": bool(of_filter),
                "teacher": bool(tiny_data.differs(teacher, after)),
                "same": not tiny_data.differs(after, weights(self.model)),
                "losses": set(losses),
            }
        )
        return losses


def watch(changes: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """One epoch of 20 clips with labels and 30 without."""
    plain = make({"epochs": 1, "queue_batch_size": 20, **(changes or {})})
    stage = Watched(plain.model, plain.train, plain.valid, plain.mixture)
    stage.notes: list[dict[str, Any]] = []
    fit(stage)
    return stage.notes


def test_an_epoch_has_three_parts() -> None:
    notes = watch()
    assert [(note["part"], note["clips"]) for note in notes] == [
        *(("mixed", clips) for clips in (16, 16, 16, 2)),
        ("labelled", 16),
        ("labelled", 4),
        ("agreement", 20),
        ("agreement", 10),
    ]
    for note in notes:
        part = note["part"]
        assert note["student"] == (part != "agreement")
        assert note["filter"] == (part == "agreement" or (part == "mixed" and note["labels"] > 0))
        assert note["teacher"] == (part == "mixed")
        assert note["losses"] >= ({"agreement"} if part == "agreement" else {"loss"})


def test_the_teacher_is_the_student_at_first_and_an_average_later() -> None:
    notes = [note for note in watch() if note["part"] == "mixed"]
    stage = make()
    stage.begin_epoch(1)
    batches = stage.mixture.epoch(1)
    stage.step(next(batches))
    # what the filter did before the teacher followed is in both
    assert not tiny_data.differs(weights(stage.teacher.model), weights(stage.model))
    old = weights(stage.teacher.model)
    stage.step(next(batches))
    momentum = teacher_momentum(0.97, 1, stage.pace.ratio)
    assert 0.1 < momentum < 0.97
    for name, value in stage.teacher.model.state_dict().items():
        expected = momentum * old[name] + (1 - momentum) * stage.model.state_dict()[name]
        torch.testing.assert_close(value, expected)
    assert [note["same"] for note in notes] == [True, False, False, False]


def test_teacher_and_student_see_a_clip_differently() -> None:
    stage = make({"post_dropout": 0.5})
    stage.begin_epoch(1)
    batch = mixed_batch(stage)
    first, second = (stage.teacher.model.outputs(batch).scores for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_filter_learns_to_overlook_what_dropout_takes(dropout: float) -> None:
    stage = make({"queue_dropout": dropout})
    features = torch.randn(6, 4, 8, generator=torch.Generator().manual_seed(0))
    stage.queue.add(features, features)
    loss = stage._agree(next(stage.queue.drain(6)))
    assert (float(loss) > 1e-4) == (dropout > 0)


def test_no_gradient_is_left_at_an_epochs_end() -> None:
    stage = make({"epochs": 1, "filter_accumulates": True})
    fit(stage)
    assert all(p.grad is None for p in stage.model.filter.parameters())


def test_a_metric_is_a_mean_over_the_clips_of_its_part() -> None:
    """`accepted` is 30 of 50 where the filter accepts all; parts without it do not dilute it."""
    stage = make({"epochs": 1})
    decide(stage, accept=True)
    (row,) = fit(stage)
    assert row["train_accepted"] == pytest.approx(UNLABELLED / (LABELLED + UNLABELLED))


def test_the_queue_holds_each_clip_without_label_once_and_is_emptied() -> None:
    stage = make({"queue_batch_size": 7})
    stage.begin_epoch(1)
    students, sizes = [], []
    for batch in stage.batches(1):
        if stage._part == "agreement":
            teacher, student = stage.queue.of(batch)
            assert teacher.shape == student.shape == (len(batch), 4, 8)
            sizes.append(len(batch))
            students.append(student)
        elif stage._part == "mixed":
            stage.loss(batch)  # no step: the student stays as it is
    assert sizes == [7, 7, 7, 7, 2]
    everyone = next(Loader(stage.mixture.unlabelled, UNLABELLED).epoch())
    with torch.no_grad():
        expected = stage.model.outputs(everyone).features.flatten(1)
    found = torch.cat(students).flatten(1)
    near = torch.cdist(found.double(), expected.double()) < 1e-4
    assert near.any(dim=0).all()
    assert stage.queue._teacher == stage.queue._student == []


@pytest.mark.parametrize("keep", [False, True])
def test_gradients_of_the_agreement_are_summed_where_the_original_is_followed(keep: bool) -> None:
    stage = make({"filter_accumulates": keep})
    stage.filter_optimizer.param_groups[0]["lr"] = 0.0
    generator = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(2, 6, 4, 8, generator=generator)
    stage.queue.add(teacher, student)
    batch = next(stage.queue.drain(6))
    gradients: list[Tensor] = []
    stage.filter_optimizer.register_step_pre_hook(
        lambda optimizer, *_: gradients.append(optimizer.param_groups[0]["params"][0].grad.clone())
    )
    stage._part = "agreement"
    stage.step(batch)
    stage.step(batch)
    torch.testing.assert_close(gradients[1], (2 if keep else 1) * gradients[0])


def test_the_teachers_side_of_the_agreement_is_a_target() -> None:
    """Where it is not detached, to swap the sides' answers changes who has the gradient."""
    gradients = {}
    for detached in (True, False):
        stage = make({"detached": detached, "filter_accumulates": True})
        stage.filter_optimizer.param_groups[0]["lr"] = 0.0
        generator = torch.Generator().manual_seed(0)
        teacher, student = torch.randn(2, 6, 4, 8, generator=generator)
        stage.queue.add(teacher, student)
        loss = stage._agree(next(stage.queue.drain(6)))
        target = stage.model.trust(teacher).softmax(dim=1)
        answer = stage.model.trust(student).log_softmax(dim=1)
        torch.testing.assert_close(loss, (target * (target.log() - answer)).sum(dim=1).mean())
        gradients[detached] = stage.model.filter[0].weight.grad.clone()
        fixed = (target.detach() * (target.detach().log() - answer)).sum(dim=1).mean()
        whole = (target * (target.log() - answer)).sum(dim=1).mean()
        (expected,) = torch.autograd.grad(
            fixed if detached else whole, stage.model.filter[0].weight
        )
        torch.testing.assert_close(gradients[detached], expected)
    assert not torch.allclose(gradients[True], gradients[False])


@pytest.mark.parametrize("twice", [False, True])
def test_the_main_optimiser_moves_the_filter_only_where_the_original_is_followed(
    twice: bool,
) -> None:
    stage = make({"filter_twice": twice})
    stage.filter_optimizer.param_groups[0]["lr"] = 0.0
    ours = {id(p) for p in stage.model.filter.parameters()}
    main = [p for g in stage.optimizers[0].param_groups for p in g["params"]]
    assert len(main) == len({id(p) for p in main})
    assert ours <= {id(p) for p in main} if twice else not ours & {id(p) for p in main}
    before = weights(stage.model.filter)
    stage.begin_epoch(1)
    stage.step(mixed_batch(stage))
    assert bool(tiny_data.differs(before, weights(stage.model.filter))) == twice
    assert all(p.grad is None for p in stage.model.filter.parameters())


def test_rates_are_those_of_the_groups() -> None:
    stage = make()
    rates = {g["lr"] for g in stage.optimizers[0].param_groups}
    decays = [g["weight_decay"] for g in stage.optimizers[0].param_groups]
    assert rates == {1e-4}
    assert decays == [0, 1e-4, 1e-4]  # audio, vision, other
    assert stage.filter_optimizer.param_groups[0]["lr"] == 0.05


# ------------------------------------------------------------------------------------------- runs


@pytest.mark.parametrize("released", [False, True])
def test_a_stopped_run_continues_with_the_same_bits(released: bool) -> None:
    def stage() -> MCTeacherStage:
        changes: dict[str, Any] = {"epochs": 3, "post_dropout": 0.2, "queue_dropout": 0.2}
        changes |= {"tolerance_steps": 1, "tolerance_floor": 0.01}  # so that batches count
        if released:
            config = registry.get(NAME).config("tiny")
            changes |= {
                name: value
                for name, value in config.released().model_dump().items()
                if value != config.model_dump()[name]
            }
        return make(changes)

    torch.manual_seed(7)
    kept, whole = baseline_data.Kept(), stage()
    history = fit(whole, checkpoint=kept)
    torch.manual_seed(123)
    resumed = stage()
    again = fit(resumed, checkpoint=baseline_data.Kept(kept.states[:1]))
    assert tiny_data.without_seconds(again) == tiny_data.without_seconds(history)
    tiny_data.assert_same_state(resumed.state_dict(), whole.state_dict())


def test_training_improves_on_the_start() -> None:
    changes = {"epochs": 8, "patience": None}
    for group in ("audio", "vision", "other"):
        changes[f"rates.{group}.lr"] = 0.01
    rows = fit(make(changes))
    assert rows[-1]["train_supervised"] < 0.8 * rows[0]["train_supervised"]
    assert min(row["valid_loss"] for row in rows) < 0.95 * rows[0]["valid_loss"]
    assert any(row["train_accepted"] > 0 for row in rows)


def test_prediction_is_the_students_fused_score() -> None:
    model = baseline_data.build(NAME).eval()
    batch = baseline_data.batch_of(model, 5, shortest=0)
    out = model(batch)
    assert out.shape == (5, 1)
    assert torch.equal(out[:, 0], model.outputs(batch).scores[:, -1])
    assert out.isfinite().all()
