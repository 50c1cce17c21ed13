"""The momentum schedule and the EMA model (Eq. 29-30) by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tricord.nn.ema import ModelEMA, averaging, momentum_at


@pytest.mark.parametrize("initial", [0.0, 0.8, 0.99, 1.0])
@pytest.mark.parametrize("decay", [0.0, 0.5, 2.5, 5.0])
def test_recursive_is_the_recursion_as_printed(initial: float, decay: float) -> None:
    momentum = initial
    for epoch in range(1, 60):
        momentum = 1 - (1 - momentum) / epoch**decay
        found = momentum_at(initial, decay, epoch, "recursive")
        assert found == pytest.approx(momentum, rel=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.5, 2.5])
def test_closed_is_the_closed_form(decay: float) -> None:
    for epoch in (1, 2, 7, 100):
        expected = 1 - (1 - 0.8) / epoch**decay
        assert momentum_at(0.8, decay, epoch) == pytest.approx(expected, rel=1e-14)


def test_the_two_differ_as_stated() -> None:
    assert momentum_at(0.8, 0.5, 5, "closed") == pytest.approx(0.91, abs=5e-3)  # fidelity 4
    assert momentum_at(0.8, 0.5, 5, "recursive") == pytest.approx(0.98, abs=5e-3)


@pytest.mark.parametrize("schedule", ["closed", "recursive"])
def test_long_runs_stay_between_initial_and_one(schedule: str) -> None:
    values = [momentum_at(0.6, 5.0, e, schedule) for e in (1, 2, 10, 1000)]  # type: ignore[arg-type]
    assert values[0] == pytest.approx(0.6)
    assert values == sorted(values)
    assert values[-1] <= 1.0


@pytest.mark.parametrize("epoch", [0, -1])
def test_epochs_count_from_one(epoch: int) -> None:
    with pytest.raises(ValueError, match=f"epoch: {epoch} found, 1 or more expected"):
        momentum_at(0.5, 0.5, epoch)


def model(weight: float, mean: float) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(1)
    nn.init.constant_(norm.weight, weight)
    assert norm.running_mean is not None
    norm.running_mean.fill_(mean)
    return norm


@pytest.mark.parametrize(("buffers", "mean"), [(True, 7.0), (False, 3.0)])
def test_update_by_hand(buffers: bool, mean: float) -> None:
    ema = ModelEMA(model(1.0, 3.0), buffers=buffers)
    online = model(2.0, 7.0)
    online.num_batches_tracked += 5  # type: ignore[operator]
    ema.update(online, 0.75)
    assert ema.model.weight.tolist() == [1.25]
    assert ema.model.running_mean is not None
    assert ema.model.running_mean.tolist() == [mean]
    assert ema.model.num_batches_tracked == (5 if buffers else 0)
    assert online.weight.tolist() == [2.0]


def test_momentum_one_stands_still_and_zero_follows() -> None:
    ema = ModelEMA(model(1.0, 0.0))
    ema.update(model(2.0, 0.0), 1.0)
    assert ema.model.weight.tolist() == [1.0]
    ema.update(model(2.0, 0.0), 0.0)
    assert ema.model.weight.tolist() == [2.0]


def test_the_copy_is_apart_frozen_and_in_evaluation_mode() -> None:
    online = model(1.0, 0.0).train()
    ema = ModelEMA(online)
    with torch.no_grad():
        online.weight.fill_(9.0)
    assert ema.model.weight.tolist() == [1.0]
    assert not ema.model.training
    assert not any(p.requires_grad for p in ema.model.parameters())
    assert online.training


def test_averaging_is_the_mean_until_the_horizon() -> None:
    numbers = [3.0, 5.0, 10.0, 6.0]
    mean = 0.0
    for update, value in enumerate(numbers, start=1):
        momentum = averaging(update, horizon=100)
        mean = momentum * mean + (1 - momentum) * value
    assert mean == pytest.approx(6.0)
    assert averaging(10**6, horizon=20) == pytest.approx(math.exp(-1 / 20))
