"""Sequences of one frame a clip."""

from __future__ import annotations

import numpy as np
import pytest

from tricord.data.pooling import one_frame
from tricord.data.schema import Ragged
from tricord.nn.clips import first_frames, mean_frames


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_each_sequence_is_pooled_and_absent_ones_stay_absent(dtype: type) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 4, 600)  # more than a block, ends included
    lengths[[0, -1]] = 0
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    sequence = Ragged(rng.standard_normal((lengths.sum(), 3)).astype(dtype), offsets, 4)
    means, firsts = one_frame(sequence, mean_frames), one_frame(sequence, first_frames)
    assert means.values.dtype == np.float32
    assert np.array_equal(means.lengths, lengths > 0)
    parts = [
        part for part in np.split(sequence.values.astype(np.float32), offsets[1:-1]) if len(part)
    ]
    np.testing.assert_allclose(means.values, [p.mean(axis=0) for p in parts], atol=1e-6)
    assert np.array_equal(firsts.values, [p[0] for p in parts])


def test_no_clips_at_all() -> None:
    empty = Ragged(np.zeros((0, 2), dtype=np.float32), np.zeros(1, dtype=np.int64), 5)
    found = one_frame(empty, mean_frames)
    assert len(found) == 0
    assert found.values.shape == (0, 2)
