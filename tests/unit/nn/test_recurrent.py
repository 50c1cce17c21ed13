"""The LSTM over packed frames."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tricord.nn.recurrent import FrameLSTM
from tricord.types import Frames

LENGTHS = (3, 0, 1, 5)


def clips(lengths: tuple[int, ...] = LENGTHS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 2, generator=generator) for n in lengths]


def pack(parts: list[Tensor]) -> Frames:
    return Frames(torch.cat(parts), torch.tensor([len(p) for p in parts]))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_equals_torch_clip_by_clip(bidirectional: bool) -> None:
    lstm = FrameLSTM(2, 4, layers=2, bidirectional=bidirectional)
    outputs, last = lstm(pack(clips()))
    states = outputs.values.split(outputs.lengths.tolist())
    for row, clip in enumerate(clips()):
        if not len(clip):
            assert not last[:, row].any()
            continue
        expected, (final, _) = lstm.rnn(clip[None])
        torch.testing.assert_close(states[row], expected[0])
        torch.testing.assert_close(last[:, row], final[:, 0])


def test_batch_of_one_and_of_nothing() -> None:
    lstm = FrameLSTM(2, 4)
    outputs, last = lstm(pack(clips((2,))))
    assert outputs.values.shape == (2, 4)
    assert last.shape == (1, 1, 4)
    outputs, last = lstm(pack(clips((0, 0))))
    assert outputs.values.shape == (0, 4)
    assert not last.any()


def test_gradients_are_finite_beside_an_absent_clip() -> None:
    lstm = FrameLSTM(2, 4)
    _, last = lstm(pack(clips()))
    last.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in lstm.parameters())
