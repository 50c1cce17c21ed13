"""`Stage` and `fit`: three toy methods through the seam, resume, observers, patience."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tiny_data
from tricord.data.batching import Loader, TensorTable
from tricord.errors import TricordError
from tricord.labels import sentiment
from tricord.nn.ema import ModelEMA
from tricord.training.folder import FolderCheckpoint
from tricord.training.loop import EpochReport, Observer, Progress, Stage, Stateful, fit
from tricord.types import Batch, Polarity

SCHEME = sentiment(Polarity.NON_POSITIVE, 1.0)
WIDTH = 6
EPOCHS = 4


def tensor_table(rows: int, name: str = "train") -> TensorTable:
    one_frame = tiny_data.table(name, rows, widths={"x": WIDTH}, longest=1)
    return TensorTable(one_frame, SCHEME)


def inputs(batch: Batch) -> Tensor:
    return batch.frames["x"].values  # one frame a clip


class RowTable:
    """One number per clip and class, which a stage changes by `batch.index`."""

    def __init__(self, rows: int) -> None:
        self.soft = torch.full((rows, 3), 1 / 3, dtype=torch.float64)

    def state_dict(self) -> dict[str, Tensor]:
        return {"soft": self.soft.clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.soft = state["soft"].clone()


class Toy(Stage):
    name = "toy"
    epochs = EPOCHS

    def end_epoch(self, epoch: int) -> EpochReport:
        return EpochReport({"epoch_squared": float(epoch**2)}, improved=True)


class LabelTable(Toy):
    """Gradient accumulation, with a soft label per clip that moves towards the outputs."""

    def __init__(self, rows: int = 96, batch_size: int = 16, accumulate: int = 4) -> None:
        torch.manual_seed(1)
        self.model = nn.Linear(WIDTH, 3).double()
        self.loader = Loader(tensor_table(rows), batch_size, seed=5)
        self.accumulate = accumulate
        self.optimizers = [torch.optim.Adam(self.model.parameters(), lr=0.05)]
        self.labels = RowTable(rows)
        self.gradients: list[Tensor] = []
        self.optimizers[0].register_step_pre_hook(self._keep_gradient)

    def _keep_gradient(self, *_: Any) -> None:
        assert self.model.weight.grad is not None
        self.gradients.append(self.model.weight.grad.clone())

    def members(self) -> Mapping[str, Stateful]:
        return {"model": self.model, "labels": self.labels}

    def batches(self, epoch: int) -> Iterable[Batch]:
        return self.loader.epoch(epoch)

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        self._logits = self.model(inputs(batch).double())
        hard = F.cross_entropy(self._logits, batch.label)
        soft = F.cross_entropy(self._logits, self.labels.soft[batch.index])
        return {"loss": hard + soft, "soft": soft}

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        losses = super().step(batch)
        old = self.labels.soft[batch.index]
        self.labels.soft[batch.index] = 0.5 * old + 0.5 * self._logits.detach().softmax(-1)
        return losses


class Teacher(Toy):
    """Two optimisers, a rate that falls with each step, an EMA teacher, unlabelled clips."""

    def __init__(self) -> None:
        torch.manual_seed(2)
        self.body, self.head = nn.Linear(WIDTH, 4), nn.Linear(4, 3)
        self.teacher = ModelEMA(self.body)
        self.loader = Loader(tensor_table(20), 8, seed=5)
        self.unlabelled = Loader(tensor_table(30, "unlabelled"), 5, seed=6)
        self.optimizers = [
            torch.optim.SGD(self.body.parameters(), lr=0.1, momentum=0.9),
            torch.optim.Adam(self.head.parameters(), lr=0.01),
        ]
        self.schedulers = [
            torch.optim.lr_scheduler.LambdaLR(o, lambda n: 0.9**n) for o in self.optimizers
        ]

    def members(self) -> Mapping[str, Stateful]:
        return {"body": self.body, "head": self.head, "teacher": self.teacher.model}

    def batches(self, epoch: int) -> Iterable[Batch]:
        return self.loader.epoch(epoch)

    def begin_epoch(self, epoch: int) -> None:
        self._more: Iterator[Batch] = iter(self.unlabelled.epoch(epoch))

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        self._other = inputs(next(self._more))
        return super().step(batch)

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        task = F.cross_entropy(self.head(self.body(inputs(batch))), batch.label)
        noisy = self.body(self._other + 0.1 * torch.randn_like(self._other))
        agree = (noisy - self.teacher.model(self._other)).square().mean()
        return {"loss": task + agree, "task": task}

    def after_update(self) -> None:
        self.teacher.update(self.body, 0.9)


class Companions(Toy):
    """Each clip is mixed with one drawn at random from the training table."""

    def __init__(self) -> None:
        torch.manual_seed(3)
        self.model = nn.Linear(WIDTH, 3)
        self.loader = Loader(tensor_table(21), 8, seed=5)
        self.optimizers = [torch.optim.Adam(self.model.parameters(), lr=0.05)]
        self.drawn: list[list[int]] = []

    def members(self) -> Mapping[str, Stateful]:
        return {"model": self.model}

    def batches(self, epoch: int) -> Iterable[Batch]:
        return self.loader.epoch(epoch)

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        rows = torch.randint(len(self.loader.table), (len(batch),))
        self.drawn.append(rows.tolist())
        other = self.loader.table.fetch(rows)
        assert torch.equal(other.index, rows)
        logits = self.model((inputs(batch) + inputs(other)) / 2)
        loss = F.cross_entropy(logits, batch.label) + F.cross_entropy(logits, other.label)
        return {"loss": loss}


TOYS = [LabelTable, Teacher, Companions]


class StopAt(Observer):
    """Ctrl-C after an epoch, or after the first batch of the next one."""

    def __init__(self, epoch: int, *, within: bool) -> None:
        self.epoch, self.within = epoch, within

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        if not self.within and progress.epoch == self.epoch:
            raise KeyboardInterrupt

    def step_done(self, stage: Stage, epoch: int, clips: int) -> None:
        if self.within and epoch == self.epoch + 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("epoch", "within"),
    [*((e, False) for e in range(1, EPOCHS + 1)), *((e, True) for e in range(EPOCHS))],
    ids=[
        *(f"after {e}" for e in range(1, EPOCHS + 1)),
        *(f"within {e + 1}" for e in range(EPOCHS)),
    ],
)
@pytest.mark.parametrize("toy", TOYS)
def test_resumed_training_gives_the_same_bits(
    toy: Callable[[], Toy], epoch: int, within: bool, tmp_path: Path
) -> None:
    whole = toy()
    history = fit(whole)

    checkpoint = FolderCheckpoint(tmp_path, minutes=0)
    with pytest.raises(KeyboardInterrupt):
        fit(toy(), checkpoint=checkpoint, observer=StopAt(epoch, within=within))
    saved = checkpoint.load()
    assert (0 if saved is None else saved["epoch"]) == epoch
    resumed = toy()
    if epoch:
        torch.manual_seed(123)  # another process, elsewhere in the random numbers
    again = fit(resumed, checkpoint=checkpoint)

    tiny_data.assert_same_state(resumed.state_dict(), whole.state_dict())
    assert tiny_data.without_seconds(again) == tiny_data.without_seconds(history)
    assert [row["epoch"] for row in again] == list(range(1, EPOCHS + 1))


@pytest.mark.parametrize("toy", TOYS)
def test_toys_learn_something(toy: Callable[[], Toy]) -> None:
    stage = toy()
    before = {n: v.clone() for n, v in _model_of(stage).state_dict().items()}
    history = fit(stage)
    assert tiny_data.differs(_model_of(stage).state_dict(), before) == set(before)
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def _model_of(stage: Toy) -> nn.Module:
    model = stage.members().get("model") or stage.members()["head"]
    assert isinstance(model, nn.Module)
    return model


@pytest.mark.parametrize("rows", [128, 96, 101, 50], ids=lambda n: f"{n} rows")
def test_four_batches_of_16_are_one_of_64(rows: int) -> None:
    """The remainder at the epoch's end too, with a last batch that is smaller."""
    one, four = LabelTable(rows, 64, 1), LabelTable(rows, 16, 4)
    fit(one)
    fit(four)
    assert len(one.gradients) == EPOCHS * -(-rows // 64)
    assert len(four.gradients) == len(one.gradients)
    for ours, theirs in zip(four.gradients, one.gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-13)
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(four.model.state_dict()[name], value, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(four.labels.soft, one.labels.soft, rtol=1e-9, atol=1e-13)
    assert not torch.allclose(one.labels.soft, torch.full_like(one.labels.soft, 1 / 3), atol=1e-2)


def test_an_accumulated_gradient_is_the_mean_by_hand() -> None:
    """Dyadic numbers: no rounding, so equal to the last bit."""

    class Dyadic(LabelTable):
        def loss(self, batch: Batch) -> Mapping[str, Tensor]:
            self._logits = self.model(batch.index.double()[:, None].expand(-1, WIDTH))
            return {"loss": self._logits[:, 0].mean()}

    stage = Dyadic(rows=48, batch_size=16, accumulate=4)
    stage.epochs = 1
    fit(stage)
    assert len(stage.gradients) == 1
    expected = torch.zeros(3, WIDTH, dtype=torch.float64)
    expected[0] = torch.arange(48.0, dtype=torch.float64).mean()
    assert torch.equal(stage.gradients[0], expected)


def test_a_teacher_sees_other_clips_and_follows_slowly() -> None:
    stage = Teacher()
    start = stage.body.weight.detach().clone()
    fit(stage)
    steps = EPOCHS * 3
    for optimizer, rate in zip(stage.optimizers, (0.1, 0.01), strict=True):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate * 0.9**steps)
    teacher, body = stage.teacher.model.weight, stage.body.weight.detach()
    assert 0 < (teacher - start).norm() < (body - start).norm()


def test_companions_are_drawn_anew_each_epoch() -> None:
    stage = Companions()
    fit(stage)
    assert [len(rows) for rows in stage.drawn] == [8, 8, 5] * EPOCHS
    assert len({tuple(rows) for rows in stage.drawn}) == len(stage.drawn)


# ------------------------------------------------------------------------- what `fit` itself does


class Scripted(Toy):
    """No model; improves, and has losses, as told."""

    epochs = 10

    def __init__(self, improves: str = "", losses: Mapping[int, float] | None = None) -> None:
        self.script = [letter == "+" for letter in improves]
        self.losses = losses or {}
        self.calls: list[str] = []
        self.loader = Loader(tensor_table(5), 2, seed=1)

    def members(self) -> Mapping[str, Stateful]:
        return {}

    def batches(self, epoch: int) -> Iterable[Batch]:
        return self.loader.epoch(epoch)

    def begin_epoch(self, epoch: int) -> None:
        self.calls.append(f"begin {epoch}")
        self.now = epoch

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        return {"loss": torch.tensor(self.losses.get(self.now, float(len(batch))))}

    def end_epoch(self, epoch: int) -> EpochReport:
        self.calls.append(f"end {epoch}")
        return EpochReport({}, self.script[epoch - 1] if self.script else False)

    def finish(self) -> None:
        self.calls.append("finish")


@pytest.mark.parametrize(
    ("improves", "patience", "epochs"),
    [
        ("+-+--+++++", 2, 5),
        ("+-+-+--+++", 2, 7),
        ("----------", 3, 3),
        ("++++++++++", 1, 10),
        ("+---------", None, 10),
    ],
)
def test_patience_counts_epochs_in_a_row(improves: str, patience: int | None, epochs: int) -> None:
    stage = Scripted(improves)
    stage.patience = patience
    assert len(fit(stage)) == epochs
    assert stage.calls[-2:] == [f"end {epochs}", "finish"]
    assert stage.calls.count("finish") == 1


def test_patience_goes_on_after_a_stop(tmp_path: Path) -> None:
    checkpoint = FolderCheckpoint(tmp_path, minutes=0)
    first, second = Scripted("+----+++++"), Scripted("+----+++++")
    first.patience = second.patience = 3
    with pytest.raises(KeyboardInterrupt):
        fit(first, checkpoint=checkpoint, observer=StopAt(3, within=False))
    history = fit(second, checkpoint=checkpoint)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert second.calls == ["begin 4", "end 4", "finish"]
    third = Scripted("+----+++++")
    third.patience = 3
    assert len(fit(third, checkpoint=checkpoint)) == 4  # at its end already
    assert third.calls == ["finish"]


def test_another_stages_checkpoint_is_left_alone(tmp_path: Path) -> None:
    checkpoint = FolderCheckpoint(tmp_path, minutes=0)
    first, other = Scripted(), Scripted()
    first.epochs, other.epochs, other.name = 3, 2, "next"
    fit(first, checkpoint=checkpoint)
    assert [row["epoch"] for row in fit(other, checkpoint=checkpoint)] == [1, 2]


def test_logged_losses_are_means_over_clips() -> None:
    stage = Scripted()
    stage.epochs = 1
    row = fit(stage)[0]
    assert row["train_loss"] == pytest.approx((2 * 2 + 2 * 2 + 1 * 1) / 5)
    assert set(row) == {"epoch", "train_loss", "frames", "improved", "seconds"}


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_stops_and_says_where(loss: float, tmp_path: Path) -> None:
    checkpoint = FolderCheckpoint(tmp_path, minutes=0)
    with pytest.raises(TricordError, match=r"stage 'toy', epoch 3: the loss is not finite"):
        fit(Scripted(losses={3: loss}), checkpoint=checkpoint)
    saved = checkpoint.load()
    assert saved is not None
    assert saved["epoch"] == 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_criterion_that_is_not_finite_stops_too(value: float) -> None:
    class Bad(Scripted):
        def end_epoch(self, epoch: int) -> EpochReport:
            return EpochReport({"valid_loss": value if epoch == 2 else 1.0}, improved=False)

    with pytest.raises(TricordError, match=r"stage 'toy', epoch 2: .*not finite"):
        fit(Bad())


class Recorder(Observer):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def stage_started(self, stage: Stage, progress: Progress) -> None:
        self.told.append(("started", stage.name, progress.epoch))

    def step_done(self, stage: Stage, epoch: int, clips: int) -> None:
        self.told.append((epoch, clips))

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        self.told.append(("epoch", progress.epoch, progress.stale, len(progress.history)))

    def stage_finished(self, stage: Stage, progress: Progress) -> None:
        self.told.append(("finished", progress.epoch, stage.calls[-1]))  # type: ignore[attr-defined]


def test_an_observer_is_told_all_in_order() -> None:
    stage, recorder = Scripted("+-"), Recorder()
    stage.epochs = 2
    fit(stage, observer=recorder)
    steps = [[(epoch, clips) for clips in (2, 2, 1)] for epoch in (1, 2)]
    assert recorder.told == [
        ("started", "toy", 0),
        *steps[0],
        ("epoch", 1, 0, 1),
        *steps[1],
        ("epoch", 2, 1, 2),
        ("finished", 2, "finish"),
    ]


def test_the_state_is_kept_before_observers_are_told(tmp_path: Path) -> None:
    """So that Ctrl-C while a line is printed loses nothing."""
    checkpoint = FolderCheckpoint(tmp_path, minutes=0)
    with pytest.raises(KeyboardInterrupt):
        fit(Scripted(), checkpoint=checkpoint, observer=StopAt(2, within=False))
    saved = checkpoint.load()
    assert saved is not None
    assert saved["epoch"] == len(saved["history"]) == 2


def test_no_epochs_are_no_training() -> None:
    stage = Scripted()
    stage.epochs = 0
    assert fit(stage) == []
    assert stage.calls == ["finish"]
