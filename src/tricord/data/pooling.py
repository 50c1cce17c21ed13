"""Sequences of one frame a clip, for models that need no more of a modality."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tricord.data.schema import Ragged
from tricord.types import Frames

_BLOCK = 256  # clips whose frames are in memory at once


def one_frame(sequence: Ragged, pool: Callable[[Frames], Tensor]) -> Ragged:
    """What ``pool`` makes of each sequence's frames; no frame where there was none.

    sequence: float frames. pool: frames of B clips -> (B, width), such as their means.
    """
    rows = np.arange(len(sequence))
    pooled = np.zeros((len(sequence), sequence.width), dtype=np.float32)
    for some in np.split(rows, range(_BLOCK, len(rows), _BLOCK)):
        values = torch.as_tensor(sequence.values[sequence.positions(some)]).float()
        pooled[some] = pool(Frames(values, torch.as_tensor(sequence.lengths[some]))).numpy()
    present = sequence.lengths > 0
    offsets = np.concatenate([[0], np.cumsum(present)]).astype(np.int64)
    return Ragged(pooled[present], offsets, padded_length=1)
