"""Every frame has one place, and little is padded."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from builders import repeatable
from tricord.nn.chunks import plan

CPU = torch.device("cpu")


@repeatable
@given(st.lists(st.integers(0, 90), min_size=1, max_size=9))
def test_each_clip_is_in_one_chunk_with_its_frames_in_order(sizes: list[int]) -> None:
    lengths = torch.tensor(sizes)
    chunks = plan(lengths, CPU)
    frames = torch.arange(int(lengths.sum())).double()[:, None].requires_grad_()
    if not chunks.chunks:
        assert not any(sizes)
        return
    assert sorted(chunks.rows.tolist()) == [i for i, n in enumerate(sizes) if n]
    starts = (lengths.cumsum(0) - lengths).tolist()
    total = torch.zeros((), dtype=torch.float64)
    for chunk, part in chunks.split(frames):
        mask = torch.ones(chunk.shape, dtype=torch.bool) if chunk.mask is None else chunk.mask
        for row, clip, real in zip(chunk.rows.tolist(), part, mask, strict=True):
            expected = list(range(starts[row], starts[row] + sizes[row]))
            assert clip[real, 0].tolist() == expected
            assert real.tolist() == [i < sizes[row] for i in range(len(real))]
        total = total + (part * part.detach() * mask[..., None]).sum()
    (gradient,) = torch.autograd.grad(total, frames)
    assert torch.equal(gradient, frames.detach())


def test_clips_of_like_length_share_a_chunk_on_a_processor_alone() -> None:
    lengths = torch.tensor([300, 20, 310, 25] * 4)
    chunks = plan(lengths, CPU).chunks
    assert len(chunks) > 1
    assert sum(n * length for n, length in (c.shape for c in chunks)) < 1.2 * int(lengths.sum())
    assert len(plan(lengths, torch.device("meta")).chunks) == 1
