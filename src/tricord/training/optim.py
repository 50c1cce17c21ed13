"""Parameter groups of both stages (fidelity 9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from tricord.config import RunConfig
from tricord.models.cmc import CMC
from tricord.types import Modality


def _language_groups(model: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """A finetuned language model: weight decay on all but biases and LayerNorm."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    free = {n for n, _ in named if n.endswith("bias") or "LayerNorm" in n}
    return [
        {
            "params": [p for n, p in named if n not in free],
            "lr": lr,
            "weight_decay": weight_decay,
        },
        {"params": [p for n, p in named if n in free], "lr": lr},
    ]


def _adam(groups: Iterable[dict[str, Any]], lr: float) -> torch.optim.Adam:
    """Fused: one pass over the memory; a language model's update took ten times as long without.

    Dense for embeddings too: weight decay, as part of the gradient, moves every row in every step.
    """
    kept = [{**g, "params": list(g["params"])} for g in groups]
    return torch.optim.Adam([g for g in kept if g["params"]], lr=lr, fused=True)


def pretrain_optimizer(model: CMC, config: RunConfig) -> torch.optim.Adam:
    """Stage 1: one rate for all modalities, or another for those that are not text."""
    other = config.pretrain.lr_audio_vision or config.pretrain.lr
    groups: list[dict[str, Any]] = [
        {
            "params": module.parameters(),
            "lr": config.pretrain.lr if name == Modality.TEXT else other,
        }
        for name, module in model.unimodal.items()
    ]
    groups += _language_groups(model.language, config.text.lr, config.text.weight_decay)
    return _adam(groups, config.pretrain.lr)


def finetune_optimizer(model: CMC, config: RunConfig) -> torch.optim.Adam:
    """Stage 2: one rate outside the language model; only MCR where the rest is frozen."""
    if config.finetune.train == "router_only":
        assert model.router is not None
        return _adam([{"params": model.router.parameters()}], config.finetune.lr)
    language = {id(p) for p in model.language.parameters()}
    rest = [p for p in model.parameters() if id(p) not in language]
    groups: list[dict[str, Any]] = [{"params": rest}]
    groups += _language_groups(model.language, config.text.lr, config.text.weight_decay)
    return _adam(groups, config.finetune.lr)
