"""Gradient times input: against finite differences, clip by clip, and without side effects."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from builders import WIDTHS, random_clips, small_model, to_batch
from tricord.inference.attribution import gradient_times_input
from tricord.models.unimodal import Unimodal
from tricord.types import Frames

STEP = 1e-6
OUTPUTS = torch.tensor([2, 0, 1])


def part(name: str = "audio") -> Unimodal:
    return small_model().eval().parts[name]


def frames(*lengths: int, name: str = "audio") -> Frames:
    return to_batch(random_clips([[n] * len(WIDTHS) for n in lengths])).frames[name]


def logits(model: Unimodal, x: Frames, values: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(Frames(values, x.lengths)).logits
    return found


@pytest.mark.parametrize("name", ["text", "audio"])  # without and with batch normalisation
def test_it_is_the_norm_of_input_times_the_slope_of_the_clips_own_logit(name: str) -> None:
    model, x = part(name), frames(3, 1, 2, name=name)
    clip = torch.repeat_interleave(torch.arange(3), x.lengths)
    expected = torch.zeros(len(x.values), dtype=torch.float64)
    for f, c in enumerate(clip.tolist()):
        slopes = []
        for feature in range(x.values.shape[1]):
            up, down = x.values.clone(), x.values.clone()
            up[f, feature] += STEP
            down[f, feature] -= STEP
            rise = (logits(model, x, up) - logits(model, x, down))[c, OUTPUTS[c]]
            slopes.append(float(rise / (2 * STEP)))
        expected[f] = (torch.tensor(slopes) * x.values[f]).norm()
    found = gradient_times_input(model, x, OUTPUTS)
    assert found.min() > 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


def test_other_clips_of_the_batch_do_not_matter() -> None:
    model, x = part(), frames(3, 1, 2)
    alone = Frames(x.values[3:4], x.lengths[1:2])
    found = gradient_times_input(model, x, OUTPUTS)
    torch.testing.assert_close(gradient_times_input(model, alone, OUTPUTS[1:2]), found[3:4])


def test_a_clip_without_frames_has_none() -> None:
    model = part()
    assert len(gradient_times_input(model, frames(0, 2, 0), OUTPUTS)) == 2
    assert len(gradient_times_input(model, frames(0), OUTPUTS[:1])) == 0


def test_a_frame_of_zeros_carries_nothing() -> None:
    x = frames(3)
    x.values[1] = 0.0
    found = gradient_times_input(part(), x, OUTPUTS[:1])
    assert found[1] == 0
    assert found[0] > 0


def test_the_model_is_left_as_it_was() -> None:
    model, x = part().train(), frames(3, 1, 2)
    before = x.values.clone()
    with torch.no_grad():  # as within prediction
        gradient_times_input(model, x, OUTPUTS)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(x.values, before)
    assert not x.values.requires_grad
