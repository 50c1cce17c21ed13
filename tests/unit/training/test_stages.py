"""Both stages of CMC: targets, selection, what trains, unknown and absent things."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tiny_data
from tricord.config import RunConfig
from tricord.data.batching import Loader, TensorTable
from tricord.data.schema import FeatureTable, Ragged
from tricord.labels import LabelScheme, nominal, sentiment
from tricord.models.cmc import CMC
from tricord.training.checkpoint import load_tree, save_tree
from tricord.training.finetune import FinetuneStage
from tricord.training.folder import FolderCheckpoint
from tricord.training.loop import Observer, Progress, Stage, fit
from tricord.training.pretrain import PretrainStage
from tricord.training.stages import (
    Best,
    Targets,
    clone_state,
    evaluation_mode,
    positive_from,
)
from tricord.types import Batch, Polarity

NAN = math.nan
NAMES = ("text", "audio", "vision")
ALL_SCORES = [[0.4, -0.2, 0.0, 0.8], [NAN, 0.2, NAN, -1.0], [-0.6, NAN, 0.4, 0.0]]


def tensors(table: FeatureTable, config: RunConfig) -> TensorTable:
    return TensorTable(table, config.labels)


def pretrain(
    settings: Mapping[str, Any] | None = None,
    kind: type[PretrainStage] = PretrainStage,
    *,
    train: FeatureTable | None = None,
    valid: FeatureTable | None = None,
) -> PretrainStage:
    config = tiny_data.config(settings)
    torch.manual_seed(3)
    model = CMC.from_config(config, tiny_data.WIDTHS)
    tables = train or tiny_data.table("train", 20), valid or tiny_data.table("valid", 9)
    size = config.pretrain.batch_size
    return kind(
        model,
        Loader(tensors(tables[0], config), size, seed=4),
        Loader(tensors(tables[1], config), size),
        config,
    )


def finetune(
    settings: Mapping[str, Any] | None = None,
    kind: type[FinetuneStage] = FinetuneStage,
    *,
    train: FeatureTable | None = None,
    labels: Tensor | None = None,
) -> FinetuneStage:
    config = tiny_data.config(settings)
    torch.manual_seed(3)
    model = CMC.from_config(config, tiny_data.WIDTHS)
    return kind(
        model,
        Loader(tensors(train or tiny_data.table("train", 20), config), 8, seed=4),
        Loader(tensors(tiny_data.table("valid", 9), config), 8),
        config,
        labels=labels,
    )


class Keep(Observer):
    """What the states were at the end of each epoch."""

    def __init__(self) -> None:
        self.online: list[dict[str, Tensor]] = []
        self.ema: list[dict[str, dict[str, Tensor]]] = []
        self.labels: list[Tensor] = []

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        assert isinstance(stage, PretrainStage | FinetuneStage)
        self.online.append(clone_state(stage.model))
        self.labels.append(stage.targets.bank.soft.clone())
        if isinstance(stage, PretrainStage):
            self.ema.append({n: clone_state(e.model) for n, e in stage.ema.items()})


# ------------------------------------------------------------------------------------ small parts


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (sentiment(Polarity.NON_POSITIVE, 1.0), 2),
        (sentiment(Polarity.NON_NEGATIVE, 3.0), 1),
        (
            LabelScheme(
                classes=("neg", "pos"), cuts=(">0",), low=-1, high=1, polarity="non_positive"
            ),
            1,
        ),
    ],
)
def test_where_positive_begins(scheme: LabelScheme, expected: int) -> None:
    assert positive_from(scheme) == expected


def test_best_keeps_the_first_of_equals_and_nothing_that_is_nan() -> None:
    best = Best()
    values = [NAN, 3.0, 3.0, 2.0, NAN, 2.5]
    assert [best.improves(v, e) for e, v in enumerate(values, 1)] == [
        *(False, True, False, True, False, False)
    ]
    assert (best.value, best.epoch) == (2.0, 4)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("value", [math.inf, 0.25])
def test_best_survives_a_checkpoint(value: float, on_disk: bool, tmp_path: Path) -> None:
    def file(name: str) -> Path | None:
        return tmp_path / name if on_disk else None

    best = Best(value, 3, file=file("before"))
    best.keep({"ema": {"w": torch.arange(3.0)}})
    save_tree(tmp_path / "checkpoint", best.state_dict())
    best.keep({"ema": {"w": torch.zeros(3)}})  # training went on, and was stopped
    other = Best(file=file("after"))
    other.load_state_dict(load_tree(tmp_path / "checkpoint"))
    assert (other.value, other.epoch, other.on_disk) == (value, 3, on_disk)
    tiny_data.assert_same_state(other.states, {"ema": {"w": torch.arange(3.0)}})


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_was_kept_does_not_change_with_the_model(on_disk: bool, tmp_path: Path) -> None:
    best = Best(file=tmp_path / "best" if on_disk else None)
    assert not best.on_disk
    model = torch.nn.Linear(2, 2).requires_grad_(False)
    kept = []
    for value in (1.0, 2.0):
        model.weight.fill_(value)
        best.keep(model.state_dict())
        kept.append(best.states)
        model.weight.zero_()
    assert [float(states["weight"].mean()) for states in kept] == [1.0, 2.0]
    model.load_state_dict(best.states)
    assert float(model.weight.mean()) == 2.0
    assert best.on_disk == on_disk
    assert [path.name for path in tmp_path.iterdir()] == ["best"] * on_disk


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_a_best_state_in_a_file_is_not_held_in_memory(tmp_path: Path) -> None:
    """It is mapped: pages of the file, which nothing has read yet."""
    best = Best(file=tmp_path / "best")
    best.keep({"w": torch.ones(1 << 20)})
    address = best.states["w"].data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(x, 16) for x in line.split()[0].split("-"))
        if first <= address < last:
            assert line.endswith(str(best.file))
            return
    raise AssertionError("address not found")


def test_evaluation_mode_puts_back_what_was() -> None:
    a, b = torch.nn.Dropout(), torch.nn.Dropout().eval()
    with evaluation_mode(a, b):
        assert not a.training
        assert not b.training
    assert a.training
    assert not b.training
    with pytest.raises(ZeroDivisionError), evaluation_mode(a, b):
        1 / 0  # noqa: B018
    assert a.training
    assert not b.training


def scored(scores: Sequence[Sequence[float]]) -> FeatureTable:
    return replace(tiny_data.table("train", len(scores)), scores=np.array(scores))


def goals(settings: Mapping[str, Any], table: FeatureTable) -> tuple[Tensor, Tensor, Tensor]:
    config = tiny_data.config(settings)
    tensor = tensors(table, config)
    return Targets(tensor, config).of(tensor.fetch(np.arange(len(table))))


@pytest.mark.parametrize("labels", ["pseudo", "multimodal"])
def test_targets_start_from_the_multimodal_label(labels: str) -> None:
    goal, classes, valid = goals({"pretrain.labels": labels}, scored(ALL_SCORES))
    assert classes.tolist() == [[2, 2, 2], [-1, -1, -1], [0, 0, 0]]
    assert torch.equal(goal, classes)
    assert valid.tolist() == [[True] * 3, [False] * 3, [True] * 3]


def test_targets_start_from_the_unimodal_labels_with_ground_truth() -> None:
    _, classes, valid = goals({"pretrain.labels": "ground_truth"}, scored(ALL_SCORES))
    assert classes.tolist() == [[0, 1, 2], [2, -1, 0], [-1, 2, 1]]
    assert torch.equal(valid, classes >= 0)


def test_regression_targets_are_scores_and_their_classes() -> None:
    settings = {"labels.head": "regression", "pretrain.labels": "ground_truth"}
    goal, classes, valid = goals(settings, scored(ALL_SCORES))
    expected = torch.tensor([[-0.2, 0.0, 0.8], [0.2, 0.0, -1.0], [0.0, 0.4, 0.0]])
    torch.testing.assert_close(goal, expected)
    assert classes.tolist() == [[0, 1, 2], [2, -1, 0], [-1, 2, 1]]
    assert torch.equal(valid, classes >= 0)


def test_absent_modalities_are_not_trained_towards() -> None:
    table = without(scored([[0.4] * 4, [0.4] * 4]), "audio", [1])
    assert goals({}, table)[2].tolist() == [[True] * 3, [True, False, True]]


def without(table: FeatureTable, modality: str, rows: Sequence[int]) -> FeatureTable:
    """The table with a modality absent (length 0) in some rows."""
    sequence = table.sequences[modality]
    lengths = sequence.lengths.copy()
    lengths[list(rows)] = 0
    padded = sequence.padded()
    cut = Ragged.from_padded(padded, lengths)
    return replace(table, sequences={**table.sequences, modality: cut})


# ------------------------------------------------------------------------------- stage 1: selection


class ScriptedPretrain(PretrainStage):
    """Validation says what the script says; training is real."""

    script: Mapping[str, Sequence[float]] = {}

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        values = {k: torch.tensor(v[epoch - 1]) for k, v in self.script.items()}
        return {**values, "supcon": torch.zeros(())}


def scripted(script: Mapping[str, Sequence[float]], **settings: Any) -> ScriptedPretrain:
    class This(ScriptedPretrain):
        pass

    This.script = script
    epochs = len(next(iter(script.values())))
    dotted = {k.replace("__", "."): v for k, v in settings.items()}
    stage = pretrain({**tiny_data.MOVING, "pretrain.epochs": epochs, **dotted}, This)
    assert isinstance(stage, ScriptedPretrain)
    return stage


SCRIPT = {
    "text": [5.0, 3.0, 4.0, 4.0, 4.0, 4.0],
    "audio": [5.0, 5.0, 5.0, 5.0, 3.0, 5.0],
    "vision": [1.0, 2.0, 2.0, 1.0, 2.0, 2.0],
}


def test_each_modality_keeps_its_own_best_epoch() -> None:
    stage, keep = scripted(SCRIPT), Keep()
    fit(stage, observer=keep)
    result = stage.result()
    assert result.epochs == {"text": 2, "audio": 5, "vision": 1}
    for name, epoch in result.epochs.items():
        tiny_data.assert_same_state(result.unimodal[name], keep.ema[epoch - 1][name])
        online = {
            key.removeprefix(f"unimodal.{name}."): value
            for key, value in keep.online[epoch - 1].items()
            if key.startswith(f"unimodal.{name}.")
        }
        tiny_data.assert_same_state(result.online[name], online)
        assert tiny_data.differs(result.unimodal[name], keep.ema[-1][name])


def test_the_labels_of_the_last_epoch_that_improved_are_kept() -> None:
    stage, keep = scripted(SCRIPT), Keep()
    fit(stage, observer=keep)
    assert torch.equal(stage.result().labels, keep.labels[4])  # audio improved in epoch 5
    assert not torch.equal(keep.labels[4], keep.labels[5])
    hard = stage.result().labels.argmax(-1)
    moved = (hard != stage.targets.start).sum(dim=0).tolist()
    assert stage.result().moved == dict(zip(NAMES, moved, strict=True))


class StopAfter(Keep):
    """Ctrl-C at the end of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        super().epoch_done(stage, progress)
        if progress.epoch == self.epoch:
            raise KeyboardInterrupt


def test_what_was_best_before_a_stop_is_best_after_it(tmp_path: Path) -> None:
    """No modality improves once training goes on."""
    checkpoint = FolderCheckpoint(tmp_path, minutes=0)
    keep = StopAfter(5)
    with pytest.raises(KeyboardInterrupt):
        fit(scripted(SCRIPT), checkpoint=checkpoint, observer=keep)
    resumed = scripted(SCRIPT)
    fit(resumed, checkpoint=checkpoint)
    result = resumed.result()
    assert result.epochs == {"text": 2, "audio": 5, "vision": 1}
    assert torch.equal(result.labels, keep.labels[4])
    for name, epoch in result.epochs.items():
        tiny_data.assert_same_state(result.unimodal[name], keep.ema[epoch - 1][name])


def test_stage_2_goes_back_to_what_was_best_before_a_stop(tmp_path: Path) -> None:
    checkpoint, keep = FolderCheckpoint(tmp_path, minutes=0), StopAfter(3)
    settings = {"finetune.epochs": 4}
    with pytest.raises(KeyboardInterrupt):
        fit(finetune(settings, ScriptedFinetune), checkpoint=checkpoint, observer=keep)
    resumed = finetune(settings, ScriptedFinetune)
    fit(resumed, checkpoint=checkpoint)
    tiny_data.assert_same_state(clone_state(resumed.model), keep.online[1])


def test_select_last_takes_the_last_epoch_and_does_not_stop() -> None:
    stage, keep = scripted(SCRIPT, pretrain__select="last", pretrain__patience=1), Keep()
    history = fit(stage, observer=keep)
    result = stage.result()
    assert len(history) == 6
    assert set(result.epochs.values()) == {6}
    for name in NAMES:
        tiny_data.assert_same_state(result.unimodal[name], keep.ema[-1][name])
    assert torch.equal(result.labels, keep.labels[-1])


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 6)])
def test_patience_waits_while_any_modality_improves(patience: int, epochs: int) -> None:
    history = fit(scripted(SCRIPT, pretrain__patience=patience))
    assert len(history) == epochs


@pytest.mark.parametrize(("targets", "epoch"), [("fixed", 2), ("moving", 1)])
def test_the_released_criterion_is_rounded_to_four_decimals(targets: str, epoch: int) -> None:
    script = {name: [1.00002, 1.00001] for name in NAMES}
    stage = scripted(script, pretrain__valid_targets=targets)
    fit(stage)
    assert set(stage.result().epochs.values()) == {epoch}


def test_the_best_epoch_is_restored_where_training_gets_worse() -> None:
    """No script: at a high rate the models soon do worse on valid than at their best."""
    stage, keep = pretrain({**tiny_data.MOVING, "pretrain.lr": 0.1, "pretrain.epochs": 8}), Keep()
    history = fit(stage, observer=keep)
    result = stage.result()
    for name in NAMES:
        values = [row[f"valid_{name}"] for row in history]
        best = int(np.argmin(values))
        assert result.epochs[name] == best + 1
        tiny_data.assert_same_state(result.unimodal[name], keep.ema[best][name])
    assert any(epoch < len(history) for epoch in result.epochs.values())


def test_the_criterion_is_the_ema_models_error_on_the_multimodal_label() -> None:
    stage = pretrain({**tiny_data.MOVING, "pretrain.epochs": 2})
    history = fit(stage)
    table = stage.valid.table
    batch = table.fetch(np.arange(len(table)))
    with torch.no_grad():
        for k, name in enumerate(NAMES):
            ema = stage.ema[name].model.eval()
            logits = ema(batch.frames[name]).logits
            expected = torch.nn.functional.cross_entropy(logits, batch.label)
            assert history[-1][f"valid_{name}"] == pytest.approx(float(expected), rel=1e-5), k


def test_moving_targets_are_moved_by_the_online_model_on_valid() -> None:
    moving = pretrain({**tiny_data.MOVING, "pretrain.valid_targets": "moving"})
    fixed = pretrain({**tiny_data.MOVING, "pretrain.valid_targets": "fixed"})
    start = fixed.valid_targets.bank.soft.clone()
    fit(moving)
    fit(fixed)
    assert torch.equal(fixed.valid_targets.bank.soft, start)
    assert not torch.equal(moving.valid_targets.bank.soft, start)


def test_the_step_trains_on_the_labels_before_they_move() -> None:
    stage = pretrain(tiny_data.MOVING)
    batch = next(iter(stage.batches(1)))
    stage.begin_epoch(1)
    state, random = clone_state(stage.model), torch.get_rng_state()
    before = stage.targets.bank.soft.clone()
    losses = stage.step(batch)
    after = stage.targets.bank.soft.clone()
    assert not torch.equal(after[batch.index], before[batch.index])
    others = torch.ones(len(before), dtype=torch.bool)
    others[batch.index] = False
    assert torch.equal(after[others], before[others])
    stage.targets.bank.soft = before  # with the labels as they were, the same loss again
    stage.model.load_state_dict(state)
    torch.set_rng_state(random)
    assert torch.equal(stage.loss(batch)["loss"], losses["loss"])


# ------------------------------------------------------------------------------- stage 2: selection


class ScriptedFinetune(FinetuneStage):
    consensus: Sequence[float] = (4.0, 2.0, 3.0, 3.0)
    total: Sequence[float] = (9.0, 9.0, 5.0, 7.0)

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        return {
            "loss": torch.tensor(self.total[epoch - 1]),
            "consensus": torch.tensor(self.consensus[epoch - 1]),
        }


@pytest.mark.parametrize(
    ("settings", "kept", "epochs"),
    [
        ({}, 2, 4),
        ({"finetune.criterion": "loss"}, 3, 4),
        ({"finetune.patience": 1}, 2, 3),
        ({"finetune.criterion": "loss", "finetune.patience": 1}, 1, 2),
        ({"finetune.select": "last", "finetune.patience": 1}, 4, 4),
        ({"finetune.select": "last", "finetune.epochs": 3}, 3, 3),
    ],
    ids=str,
)
def test_stage_2_restores_what_was_selected(
    settings: Mapping[str, Any], kept: int, epochs: int
) -> None:
    stage, keep = finetune({"finetune.epochs": 4, **settings}, ScriptedFinetune), Keep()
    assert len(fit(stage, observer=keep)) == epochs
    tiny_data.assert_same_state(clone_state(stage.model), keep.online[kept - 1])
    assert stage.best.epoch == kept
    if kept < epochs:
        assert tiny_data.differs(clone_state(stage.model), keep.online[-1])


def test_stage_2_goes_back_where_training_gets_worse() -> None:
    """No script: a rate of 0.3 wrecks the model sooner or later."""
    stage, keep = finetune({"finetune.lr": 0.3, "finetune.epochs": 16}), Keep()
    history = fit(stage, observer=keep)
    values = [row["valid_consensus"] for row in history]
    best = int(np.argmin(values))
    assert best < len(values) - 1
    tiny_data.assert_same_state(clone_state(stage.model), keep.online[best])


def test_the_criterion_of_stage_2_is_the_consensus_on_the_multimodal_label() -> None:
    stage = finetune({"finetune.select": "last", "finetune.epochs": 2})
    history = fit(stage)
    batch = stage.valid.table.fetch(np.arange(len(stage.valid.table)))
    with torch.no_grad():
        consensus = stage.model(batch).consensus
    expected = torch.nn.functional.cross_entropy(consensus, batch.label)
    assert history[-1]["valid_consensus"] == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_is_the_sum_of_its_parts() -> None:
    stage = finetune()
    losses = stage.loss(next(iter(stage.batches(1))))
    assert set(losses) == {"loss", "consensus", *NAMES, "supcon"}
    parts = sum(v for k, v in losses.items() if k != "loss")
    torch.testing.assert_close(losses["loss"], parts)


def test_a_single_task_has_no_unimodal_losses() -> None:
    stage = finetune({"finetune.tasks": "single"})
    losses = stage.loss(next(iter(stage.batches(1))))
    assert set(losses) == {"loss", "consensus", "supcon"}


def test_stage_2_trains_towards_the_labels_it_is_given() -> None:
    """And does not change them."""
    given = torch.nn.functional.one_hot(torch.arange(60).view(20, 3) % 3, 3).float()
    stage = finetune(labels=given)
    batch = next(iter(stage.batches(1)))
    assert torch.equal(stage.targets.of(batch)[0], torch.arange(60).view(20, 3)[batch.index] % 3)
    fit(stage)
    assert torch.equal(stage.targets.bank.soft, given)


# ------------------------------------------------------------------------------- stage 2: MCR alone


ROUTER_ONLY = {
    "finetune.train": "router_only",
    "finetune.fusion": "none",
    "finetune.tasks": "single",
}


def test_only_the_router_trains() -> None:
    stage = finetune({**ROUTER_ONLY, "finetune.lr": 0.05})
    before = clone_state(stage.model)
    fit(stage)
    assert tiny_data.differs(clone_state(stage.model), before) == {
        "router.linear.weight",
        "router.linear.bias",
    }
    assert all(p.requires_grad for p in stage.model.parameters())
    assert not stage.model.training


def test_kept_hidden_states_are_the_encoders_without_dropout() -> None:
    stage = finetune({**ROUTER_ONLY, "model.dropout": 0.5, "model.output_dropout": 0.5})
    table = tensors(tiny_data.table("train", 20), stage.config)
    first = next(iter(stage.batches(2)))
    assert first.frames == {}
    with torch.no_grad():
        stage.model.eval()
        expected = stage.model(table.fetch(first.index)).consensus
        stage.begin_epoch(1)
        losses = stage.loss(first)
    loss = torch.nn.functional.cross_entropy(expected, first.label)
    torch.testing.assert_close(losses["consensus"], loss)


# ------------------------------------------------------------------- unknown, absent, single things


def finite(history: Sequence[Mapping[str, float]]) -> bool:
    return all(math.isfinite(v) for row in history for v in row.values())


STAGES = {"pretrain": pretrain, "finetune": finetune}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("labels", ["pseudo", "ground_truth"])
def test_unknown_labels_are_left_out_without_nan(stage: str, labels: str) -> None:
    table = tiny_data.table("train", 20)
    scores = table.scores.copy()
    scores[::3, 0] = NAN
    scores[1::4, 2] = NAN
    scores[:, 3] = NAN
    built = STAGES[stage](
        {**tiny_data.MOVING, "pretrain.labels": labels}, train=replace(table, scores=scores)
    )
    before = clone_state(built.model)
    history = fit(built)
    assert finite(history)
    assert all(torch.isfinite(v).all() for v in built.model.state_dict().values())
    assert tiny_data.differs(clone_state(built.model), before)


def test_a_clip_without_a_label_teaches_nothing() -> None:
    """The loss of a batch with such clips is the loss of the others alone."""
    settings = {"model.dropout": 0.0, "model.attention_dropout": 0.0, "model.output_dropout": 0.0}
    plain = {**settings, **{f"modalities.{n}.input_norm": False for n in NAMES}}
    table = tiny_data.table("train", 20)
    scores = table.scores.copy()
    scores[5:] = NAN
    for make in (pretrain, finetune):
        some = make(plain, train=replace(table, scores=scores))
        few = make(plain, train=table.take(np.arange(5)))
        losses = [s.loss(s.train.table.fetch(np.arange(n))) for s, n in ((some, 20), (few, 5))]
        for name, value in losses[0].items():
            torch.testing.assert_close(value, losses[1][name], msg=f"{make.__name__} {name}")


@pytest.mark.parametrize("stage", STAGES)
def test_a_batch_without_any_label_is_no_disaster(stage: str) -> None:
    table = tiny_data.table("train", 20)
    scores = table.scores.copy()
    scores[3:] = NAN  # batches of 8: at least one has none
    assert finite(fit(STAGES[stage](tiny_data.MOVING, train=replace(table, scores=scores))))


@pytest.mark.parametrize("stage", STAGES)
def test_absent_modalities_train_without_nan(stage: str) -> None:
    table = without(tiny_data.table("train", 20), "audio", range(0, 20, 2))
    table = without(table, "text", [1, 2])
    table = without(table, "vision", [2])  # clip 2 has no modality at all
    built = STAGES[stage](tiny_data.MOVING, train=table)
    assert finite(fit(built))
    if stage == "pretrain":
        start = torch.nn.functional.one_hot(built.targets.start[0::2, 1], 3).float()
        assert torch.equal(built.targets.bank.soft[0::2, 1], start)  # nobody to move them


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", [1, 9], ids=["one clip", "last batch of one"])
@pytest.mark.parametrize("longest", [1, 4])
def test_batch_of_one(stage: str, rows: int, longest: int) -> None:
    """With sequences of length 1 there is then one valid step for BatchNorm."""
    table = tiny_data.table("train", rows, longest=longest)
    built = STAGES[stage]({"pretrain.labels": "ground_truth"}, train=table)
    before = clone_state(built.model)
    assert finite(fit(built))
    assert all(torch.isfinite(v).all() for v in built.model.state_dict().values())
    assert tiny_data.differs(clone_state(built.model), before)


def test_nominal_labels_have_no_polarity_and_train() -> None:
    moods = nominal(("angry", "calm", "happy", "sad"))
    config = tiny_data.config().with_labels(moods)
    table = tiny_data.table("train", 20)
    scores = np.tile((np.arange(20) % 4)[:, None], (1, 4)).astype(float)
    loader = Loader(tensors(replace(table, scores=scores), config), 8, seed=1)
    torch.manual_seed(1)
    model = CMC.from_config(config, tiny_data.WIDTHS)
    history = fit(PretrainStage(model, loader, loader.in_order(), config))
    assert finite(history)
    assert model.unimodal["text"].classifier.out.out_features == 4


def test_supcon_takes_the_polarity_or_the_classes() -> None:
    """Two clips, negative and neutral: one side of CH-SIMS' polarity, two classes."""
    table = scored([[-0.4] * 4, [0.0] * 4])
    rows = np.arange(2)
    losses = {}
    for labels in ("polarity", "classes"):
        stage = finetune({"supcon.labels": labels}, train=table)
        stage.model.eval()
        losses[labels] = stage.loss(stage.train.table.fetch(rows))["supcon"].item()
    # all rows are positives of each other: -log(1) exactly
    assert losses["polarity"] == pytest.approx(0.0, abs=1e-6)
    assert losses["classes"] > 0.01


def test_accumulation_is_a_setting_of_both_stages() -> None:
    for name, make in STAGES.items():
        stage = make({f"{name}.accumulate": 3, f"{name}.batch_size": 8})
        counted = []
        stage.optimizers[0].register_step_post_hook(lambda *_, c=counted: c.append(1))
        fit(stage)
        assert len(counted) == 3 * 1  # three epochs of three batches
