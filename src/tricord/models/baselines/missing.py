"""Missing frames: which they are is drawn once for a split, and comes with every batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.random import Generator, RandomState

from tricord.data.schema import Ragged
from tricord.types import Frames


def kept_name(modality: str) -> str:
    """The sequence of flags that goes with a modality."""
    return f"{modality}.kept"


def draws(seed: int, split: str | None) -> Generator | RandomState:
    """Random numbers of a split; without one, those of the original, alike in all splits."""
    if split is None:
        return RandomState(seed)
    return np.random.default_rng([seed, *split.encode()])


def draw_kept(
    sequence: Ragged, rate: float, random: Generator | RandomState, *, ends: bool
) -> Ragged:
    """(F,) bool flags of the frames that are kept: 1[U(0, 1) > rate].

    Drawn for padding too, as in the original. ends: the first and the last frame are always kept.
    """
    longest = max(sequence.padded_length, int(sequence.lengths.max(initial=0)))
    drawn = random.random((len(sequence), longest))
    kept = drawn[np.arange(longest) < sequence.lengths[:, None]] > rate
    if ends:
        some = sequence.lengths > 0
        kept[sequence.offsets[:-1][some]] = True
        kept[sequence.offsets[1:][some] - 1] = True
    return Ragged(kept, sequence.offsets, sequence.padded_length)


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
