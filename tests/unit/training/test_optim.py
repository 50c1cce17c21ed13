"""Parameter groups: every parameter once, with the rate and decay of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

import tiny_data
from tricord.config import RunConfig
from tricord.features.language import TextEncoder
from tricord.models.cmc import CMC
from tricord.training.optim import finetune_optimizer, pretrain_optimizer


class Language(nn.Module):
    """Names such as a BERT's."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 4)
        self.LayerNorm = nn.LayerNorm(4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def build(settings: Mapping[str, Any] | None = None, language: bool = False) -> tuple[CMC, Any]:
    config: RunConfig = tiny_data.config(settings)
    front = {"text": TextEncoder(Language())} if language else {}
    return CMC.from_config(config, tiny_data.WIDTHS, front), config


def rates(optimizer: torch.optim.Optimizer, model: CMC) -> dict[str, tuple[float, float]]:
    """Parameter name -> (rate, decay); each parameter at most once."""
    names = {id(p): n for n, p in model.named_parameters()}
    found = [
        (names[id(p)], (g["lr"], g["weight_decay"]))
        for g in optimizer.param_groups
        for p in g["params"]
    ]
    assert len({n for n, _ in found}) == len(found)
    return dict(found)


@pytest.mark.parametrize(("other", "expected"), [(None, 0.01), (0.002, 0.002)])
def test_stage_1_has_one_rate_or_another_for_audio_and_vision(
    other: float | None, expected: float
) -> None:
    model, config = build({"pretrain.lr": 0.01, "pretrain.lr_audio_vision": other})
    found = rates(pretrain_optimizer(model, config), model)
    wanted = {n for n, _ in model.named_parameters() if n.startswith("unimodal.")}
    assert set(found) == wanted
    for name, (rate, decay) in found.items():
        assert rate == (0.01 if name.startswith("unimodal.text.") else expected)
        assert decay == 0


def test_stage_2_trains_all_with_one_rate() -> None:
    model, config = build({"finetune.lr": 0.02})
    found = rates(finetune_optimizer(model, config), model)
    assert set(found) == {n for n, _ in model.named_parameters()}
    assert set(found.values()) == {(0.02, 0)}


def test_the_variant_trains_the_router_alone() -> None:
    model, config = build({"finetune.train": "router_only"})
    found = rates(finetune_optimizer(model, config), model)
    assert set(found) == {"router.linear.weight", "router.linear.bias"}


@pytest.mark.parametrize("make", [pretrain_optimizer, finetune_optimizer])
def test_a_language_model_has_its_own_rate_and_decay(make: Any) -> None:
    model, config = build({"text.lr": 3e-5, "text.weight_decay": 0.07}, language=True)
    found = {
        n.removeprefix("language.text.model."): v
        for n, v in rates(make(model, config), model).items()
        if n.startswith("language.")
    }
    assert found == {
        "dense.weight": (3e-5, 0.07),
        "dense.bias": (3e-5, 0),
        "LayerNorm.weight": (3e-5, 0),
        "LayerNorm.bias": (3e-5, 0),
    }
