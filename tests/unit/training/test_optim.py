"""Parameter groups: every parameter once, with the rate and decay of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn

import tiny_data
from tricord.config import RunConfig
from tricord.features.language import TextEncoder
from tricord.models.cmc import CMC
from tricord.training.optim import (
    finetune_optimizers,
    pretrain_optimizers,
    step_in_backward,
)


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


def rates(
    optimizers: Sequence[torch.optim.Optimizer], model: CMC
) -> dict[str, tuple[float, float]]:
    """Parameter name -> (rate, decay); each parameter at most once."""
    names = {id(p): n for n, p in model.named_parameters()}
    found = [
        (names[id(p)], (g["lr"], g["weight_decay"]))
        for optimizer in optimizers
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
    found = rates(pretrain_optimizers(model, config), model)
    wanted = {n for n, _ in model.named_parameters() if n.startswith("unimodal.")}
    assert set(found) == wanted
    for name, (rate, decay) in found.items():
        assert rate == (0.01 if name.startswith("unimodal.text.") else expected)
        assert decay == 0


def test_stage_2_trains_all_with_one_rate() -> None:
    model, config = build({"finetune.lr": 0.02})
    found = rates(finetune_optimizers(model, config), model)
    assert set(found) == {n for n, _ in model.named_parameters()}
    assert set(found.values()) == {(0.02, 0)}


def test_the_variant_trains_the_router_alone() -> None:
    model, config = build({"finetune.train": "router_only"})
    found = rates(finetune_optimizers(model, config), model)
    assert set(found) == {"router.linear.weight", "router.linear.bias"}


@pytest.mark.parametrize("make", [pretrain_optimizers, finetune_optimizers])
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_updates_are_those_of_adam_by_hand(dtype: torch.dtype) -> None:
    """With weight decay as part of the gradient, for rows too that no token touched."""
    model, config = build({"text.lr": 0.01, "text.weight_decay": 0.1}, language=True)
    model = model.to(dtype)
    optimizers = finetune_optimizers(model, config)
    language = model.language["text"].model
    assert isinstance(language, Language)
    weight = language.dense.weight
    p, m, v = (x.detach().clone() for x in (weight, torch.zeros_like(weight), weight * 0))
    gradient = torch.zeros_like(p)
    for t in range(1, 6):
        gradient[0] = torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=dtype) * t
        weight.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
        g = gradient + 0.1 * p
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        p = p - 0.01 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    torch.testing.assert_close(weight.detach(), p)
    assert bool((weight.detach()[1:] != 0).all())


def test_steps_within_backward_are_the_same_and_leave_no_gradient() -> None:
    """Also for a parameter that is used twice, whose gradient is a sum."""
    results = []
    for within in (False, True):
        torch.manual_seed(0)
        model, config = build({"text.lr": 0.01, "text.weight_decay": 0.1}, language=True)
        language = model.language["text"].model
        assert isinstance(language, Language)
        optimizers = finetune_optimizers(model, config)[1:]
        handles = step_in_backward(optimizers) if within else []
        for i in range(4):
            x = torch.full((3, 4), i + 1.0)
            out = language.LayerNorm(language.dense(torch.tanh(language.dense(x))))
            out.square().mul(torch.arange(4)).sum().backward()
            assert (language.dense.weight.grad is None) is within
            for optimizer in () if within else optimizers:
                optimizer.step()
                optimizer.zero_grad()
        results.append([p.detach().clone() for p in language.parameters()])
        for handle in handles:
            handle.remove()
        language.dense(torch.ones(1, 4)).sum().backward()
        assert language.dense.weight.grad is not None
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
