"""One vector a clip: first and mean frames of packed sequences."""

from __future__ import annotations

import torch

from tricord.nn.clips import first_frames, mean_frames
from tricord.types import Frames

X = Frames(torch.tensor([[1.0, 10], [3, 20], [5, 60], [7, 7]]), torch.tensor([2, 0, 1, 1, 0]))


def test_first_and_mean_by_hand() -> None:
    assert first_frames(X).tolist() == [[1, 10], [0, 0], [5, 60], [7, 7], [0, 0]]
    assert mean_frames(X).tolist() == [[2, 15], [0, 0], [5, 60], [7, 7], [0, 0]]


def test_clips_without_any_frame() -> None:
    none = Frames(torch.zeros(0, 2), torch.tensor([0, 0]))
    assert first_frames(none).tolist() == mean_frames(none).tolist() == [[0, 0], [0, 0]]


def test_gradients_go_to_the_frames_that_count() -> None:
    values = X.values.clone().requires_grad_()
    frames = Frames(values, X.lengths)
    first_frames(frames).sum().backward()
    mean_frames(frames).sum().backward()
    assert values.grad is not None
    assert values.grad[:, 0].tolist() == [1.5, 0.5, 2, 2]
