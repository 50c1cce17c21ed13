"""One pass over a sequence against the plain way."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tricord.data.check import scan as module
from tricord.data.check.scan import Scan, scan
from tricord.data.schema import Ragged

CELLS = (0.0, 1.0, -2.5, np.nan, np.inf, -np.inf)


def ragged(clips: list[np.ndarray], width: int, dtype: type = np.float32) -> Ragged:
    offsets = np.cumsum([0, *map(len, clips)])
    values = np.concatenate([np.zeros((0, width)), *clips]).astype(dtype)
    return Ragged(values, offsets, 9)


def zeros_at_front(clip: np.ndarray) -> int:
    filled = [bool((frame != 0).any()) for frame in clip]
    return filled.index(True) if any(filled) else len(clip)


def expect(found: Scan, clips: list[np.ndarray], width: int) -> None:
    every = np.concatenate([np.zeros((0, width)), *clips])
    for kind, test in (("NaN", np.isnan), ("+inf", np.isposinf), ("-inf", np.isneginf)):
        np.testing.assert_array_equal(found.unusable[kind], test(every).sum(axis=0))
    finite = np.isfinite(every)
    for column in range(width):
        cells = every[finite[:, column], column]
        assert found.low[column] == (cells.min() if len(cells) else np.inf)
        assert found.high[column] == (cells.max() if len(cells) else -np.inf)
    for row, clip in enumerate(clips):
        means = np.where(np.isfinite(clip), clip, 0).sum(axis=0) / max(1, len(clip))
        np.testing.assert_allclose(found.means[row], means, atol=1e-5)
        assert found.leading[row] == zeros_at_front(clip)
        assert found.trailing[row] == zeros_at_front(clip[::-1])
        assert found.unusable_clips[row] == (not np.isfinite(clip).all())
        assert found.absent[row] == (len(clip) == 0)
        for other in range(row):
            same = clip.tobytes() == clips[other].tobytes()
            assert (found.hashes[row] == found.hashes[other]) == same


@settings(deadline=None, max_examples=60, derandomize=True)
@given(data=st.data())
def test_it_counts_as_the_plain_way_does(data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 3))
    lengths = data.draw(st.lists(st.integers(0, 4), max_size=7))
    cells = st.lists(st.sampled_from(CELLS), min_size=width, max_size=width)
    clips = [
        np.array([data.draw(cells) for _ in range(n)], dtype=np.float32).reshape(n, width)
        for n in lengths
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", data.draw(st.sampled_from([1, 16, 2**21])))
        expect(scan(ragged(clips, width)), clips, width)


def test_half_precision_is_looked_at_as_single() -> None:
    clips = [np.array([[1.5, -np.inf]]), np.array([[0.25, 2.0], [0, 0]])]
    expect(scan(ragged(clips, 2, np.float16)), clips, 2)


def test_features_of_no_width_have_lengths_only() -> None:
    found = scan(Ragged(np.zeros((5, 0), dtype=np.float32), np.array([0, 2, 5]), 9))
    assert found.width == 0
    assert found.lengths.tolist() == [2, 3]


def test_a_large_sequence_takes_little_memory_beside_itself() -> None:
    rows, frames, width = 500, 250, 64
    values = np.ones((rows * frames, width), dtype=np.float32)  # 32 MB
    values[::1000, 3] = -np.inf
    whole = Ragged(values, np.arange(rows + 1) * frames, frames)
    tracemalloc.start()
    try:
        scan(whole)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < values.nbytes / 3
