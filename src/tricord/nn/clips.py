"""One vector for each clip of packed frames."""

from __future__ import annotations

import torch
from torch import Tensor

from tricord.types import Frames


def first_frames(x: Frames) -> Tensor:
    """(B, width): each clip's first frame, 0 where a clip has none."""
    if not len(x.values):
        return x.values.new_zeros(len(x), *x.values.shape[1:])
    starts = (x.lengths.cumsum(0) - x.lengths).clamp(max=len(x.values) - 1)
    empty = (x.lengths == 0).to(x.values.device)
    return x.values[starts.to(x.values.device)].masked_fill(empty[:, None], 0.0)


def mean_frames(x: Frames) -> Tensor:
    """(B, width): the mean of each clip's frames, 0 where a clip has none."""
    owner = torch.repeat_interleave(torch.arange(len(x)), x.lengths).to(x.values.device)
    sums = x.values.new_zeros(len(x), x.values.shape[1]).index_add(0, owner, x.values)
    return sums / x.lengths.clamp(min=1).to(x.values)[:, None]
