"""Optimisers of both stages (fidelity 9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tricord.baseline_config import Rate
from tricord.config import RunConfig, TextConfig
from tricord.models.cmc import CMC
from tricord.types import Modality

_FUSED = frozenset({"cpu", "cuda", "mps", "xpu"})  # devices that torch has one for


def fused(parameters: Iterable[Tensor]) -> bool:
    """Whether torch has an optimiser in one pass over the memory for where they all are."""
    return all(p.device.type in _FUSED for p in parameters)


def _adam(groups: Iterable[dict[str, Any]], lr: float) -> torch.optim.Adam:
    """Fused where it can be: a language model's update took ten times as long without.

    Dense for embeddings too: weight decay, as part of the gradient, moves every row in every step.
    """
    kept = [{**g, "params": list(g["params"])} for g in groups]
    return torch.optim.Adam(kept, lr=lr, fused=fused(p for g in kept for p in g["params"]))


def _language(model: nn.Module, config: TextConfig) -> list[torch.optim.Adam]:
    """One for each parameter; weight decay on all but biases and LayerNorm."""
    optimizers = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            free = name.endswith("bias") or "LayerNorm" in name
            group = {"params": [parameter], "weight_decay": 0.0 if free else config.weight_decay}
            optimizers.append(_adam([group], config.lr))
    return optimizers


def pretrain_optimizers(model: CMC, config: RunConfig) -> list[torch.optim.Adam]:
    """Stage 1: one rate for all modalities, or another for those that are not text.

    The first is that of all outside the language model.
    """
    other = config.pretrain.lr_audio_vision or config.pretrain.lr
    groups = [
        {
            "params": module.parameters(),
            "lr": config.pretrain.lr if name == Modality.TEXT else other,
        }
        for name, module in model.unimodal.items()
    ]
    own = _adam(groups, config.pretrain.lr)
    return [own, *_language(model.language, config.text)]


def finetune_optimizers(model: CMC, config: RunConfig) -> list[torch.optim.Adam]:
    """Stage 2: one rate outside the language model; only MCR where the rest is frozen.

    The first is that of all outside the language model.
    """
    if config.finetune.train == "router_only":
        return [_adam([{"params": p.parameters()} for p in model.readers], config.finetune.lr)]
    language = {id(p) for p in model.language.parameters()}
    rest = [p for p in model.parameters() if id(p) not in language]
    own = _adam([{"params": rest}], config.finetune.lr)
    return [own, *_language(model.language, config.text)]


def group_optimizers(
    groups: Mapping[str, Iterable[nn.Parameter]],
    rates: Mapping[str, Rate],
    language: nn.Module,
    text: TextConfig,
) -> list[torch.optim.Adam]:
    """A rate for each named group of parameters; groups without one take that of "other".

    The first is that of all outside the language model.
    """
    own = [
        {"params": parameters, **(rates.get(name) or rates["other"]).model_dump()}
        for name, parameters in groups.items()
    ]
    return [_adam(own, rates["other"].lr), *_language(language, text)]


def step_in_backward(optimizers: Sequence[torch.optim.Optimizer]) -> list[RemovableHandle]:
    """Let each step as soon as backward has its one parameter's gradient, and drop that.

    The updates are the same, and a large model's gradients never exist together.
    """

    def hook(optimizer: torch.optim.Optimizer) -> Any:
        def step(_: Tensor) -> None:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step

    return [
        optimizer.param_groups[0]["params"][0].register_post_accumulate_grad_hook(hook(optimizer))
        for optimizer in optimizers
    ]
