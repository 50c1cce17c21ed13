"""Modality dropout in stage 2: what is dropped is absent in every part of the loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import tiny_data
from builders import NO_DROPOUT
from tricord.data.batching import Loader, TensorTable
from tricord.errors import ConfigError
from tricord.models.cmc import CMC
from tricord.training import finetune
from tricord.training.finetune import FinetuneStage
from tricord.types import Batch


def stage(rate: float, **settings: Any) -> FinetuneStage:
    config = tiny_data.config({**NO_DROPOUT, "model.modality_dropout": rate, **settings})
    torch.manual_seed(3)
    model = CMC.from_config(config, tiny_data.WIDTHS)
    train, valid = (TensorTable(tiny_data.table(n, 20), config.labels) for n in ("train", "valid"))
    return FinetuneStage(model, Loader(train, 20), Loader(valid, 20), config)


def first_batch(made: FinetuneStage) -> Batch:
    return next(iter(made.batches(1)))


def test_without_it_nothing_is_drawn() -> None:
    made = stage(0.0)
    before = torch.random.get_rng_state()
    made.loss(first_batch(made))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_with_it_every_batch_differs() -> None:
    made = stage(0.5)
    batch = first_batch(made)
    assert made.loss(batch)["loss"] != made.loss(batch)["loss"]


@pytest.mark.parametrize("train", ["all", "router_only"])
def test_what_is_dropped_is_as_if_the_clips_did_not_have_it(
    train: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_text(present: Tensor, rate: float) -> Tensor:
        assert rate == 0.5
        return present & torch.tensor([False, True, True])

    made = stage(0.5, **{"finetune.train": train})
    batch = first_batch(made)
    monkeypatch.setattr(finetune, "drop_modalities", without_text)
    losses = made.loss(batch)
    assert losses["text"] == 0
    assert losses["audio"] > 0
    torch.autograd.backward(losses["loss"])
    assert made.model.router is not None
    assert made.model.router.linear.weight.grad is not None
    if train == "all":
        text, audio = (
            [p.grad for p in made.model.parts[name].parameters()] for name in ("text", "audio")
        )
        assert not any(g.any() for g in text if g is not None)
        assert any(g.any() for g in audio if g is not None)


def test_nothing_is_dropped_on_valid() -> None:
    found = [stage(rate).end_epoch(1).metrics for rate in (0.0, 0.9)]
    assert found[0] == found[1]


def test_one_is_no_rate() -> None:
    with pytest.raises(ConfigError, match=r"model\.modality_dropout"):
        stage(1.0)
