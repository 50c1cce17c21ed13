"""Missing frames: flags that come with every batch, drawn by `tricord.data.corrupt.draw_kept`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.random import Generator, RandomState

from tricord.types import Frames


def kept_name(modality: str) -> str:
    """The sequence of flags that goes with a modality."""
    return f"{modality}.kept"


def draws(seed: int, split: str | None) -> Generator | RandomState:
    """Random numbers of a split; without one, those of the original, alike in all splits."""
    if split is None:
        return RandomState(seed)
    return np.random.default_rng([seed, *split.encode()])


def drop(frames: Frames, kept: Frames, instead: int = 0) -> Frames:
    """Frames, or tokens, with ``instead`` where they are not kept."""
    gone = ~kept.values.view(-1, *[1] * (frames.values.dim() - 1))
    return replace(frames, values=frames.values.masked_fill(gone, instead))


def without_ends(frames: Frames) -> Frames:
    """Without the first and the last frame of each clip."""
    ends = frames.lengths.cumsum(0)
    some = frames.lengths > 0
    inner = torch.ones(len(frames.values), dtype=torch.bool)
    inner[(ends - frames.lengths)[some]] = False
    inner[ends[some] - 1] = False
    values = frames.values[inner.to(frames.values.device)]
    return Frames(values, (frames.lengths - 2).clamp(min=0))
