"""Small models, batches and settings that many tests share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from hypothesis import settings
from torch import Tensor

from tricord import presets
from tricord.config import RunConfig
from tricord.models import CMC
from tricord.types import Batch, Frames

WIDTHS = {"text": 6, "audio": 3, "vision": 4}
NO_DROPOUT = {"model.dropout": 0, "model.attention_dropout": 0, "model.output_dropout": 0}
# the same examples on every run: a test fails for a change of the code and for nothing else
repeatable = settings(deadline=None, max_examples=40, derandomize=True)


def small_config(options: Mapping[str, Any] | None = None) -> RunConfig:
    return presets.tiny().with_settings({"model.d": 8, "model.feedforward": 12, **(options or {})})


def small_model(
    options: Mapping[str, Any] | None = None, seed: int = 0, dtype: torch.dtype = torch.float64
) -> CMC:
    """Random weights, and batch normalisation that has seen something."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CMC.from_config(small_config(options), WIDTHS)
        for name, value in model.state_dict().items():
            if name.endswith("running_mean"):
                value.normal_()
            elif name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif value.is_floating_point():
                value.add_(torch.randn_like(value), alpha=0.1)
    return model.to(dtype)


def random_clips(
    lengths: Sequence[Sequence[int]], seed: int = 0, dtype: torch.dtype = torch.float64
) -> list[dict[str, Tensor]]:
    """Per clip and modality (length, width) frames; lengths: (B, K)."""
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            name: torch.randn(length, width, generator=generator, dtype=dtype)
            for (name, width), length in zip(WIDTHS.items(), row, strict=True)
        }
        for row in lengths
    ]


def to_batch(clips: Sequence[Mapping[str, Tensor]], padding_counts: bool = False) -> Batch:
    """padding_counts: zeros up to the longest clip are frames as well."""
    values, real = features(clips)
    frames = {
        name: Frames.pack(x, torch.full((len(x),), x.shape[1]), real[name])
        if padding_counts
        else Frames.pack(x, real[name])
        for name, x in values.items()
    }
    size = len(clips)
    return Batch(
        frames=frames,
        present=torch.stack([n > 0 for n in real.values()], dim=1),
        index=torch.arange(size),
        scores=torch.zeros(size, 1 + len(values)),
        labels=torch.zeros(size, 1 + len(values), dtype=torch.long),
    )


def features(
    clips: Sequence[Mapping[str, Tensor]], extra: int = 0, filler: float = 0.0
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Per modality (B, L, width), the longest clip's frames and ``extra`` more; and lengths."""
    values, lengths = {}, {}
    for name, first in clips[0].items():
        longest = max(1, *(len(clip[name]) for clip in clips)) + extra
        x = first.new_full((len(clips), longest, first.shape[1]), filler)
        for row, clip in zip(x, clips, strict=True):
            row[: len(clip[name])] = clip[name]
        values[name] = x
        lengths[name] = torch.tensor([len(clip[name]) for clip in clips])
    return values, lengths
