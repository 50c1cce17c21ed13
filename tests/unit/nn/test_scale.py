"""Standardisation by the frames of train."""

from __future__ import annotations

import torch

from tricord.nn import scale
from tricord.nn.scale import Scale
from tricord.types import Frames


def test_frames_get_mean_0_and_spread_1() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(50, 3, generator=generator) * torch.tensor([1.0, 300.0, 0.1]) + 1000.0
    values[:, 0] = 7.0  # never varies
    module = Scale(3)
    assert torch.equal(module(Frames(values, torch.tensor([50]))).values, values)
    module.fit(values)
    found = module(Frames(values, torch.tensor([50]))).values
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(3), rtol=0, atol=1e-3)
    torch.testing.assert_close(
        found.std(dim=0, correction=0), torch.tensor([0.0, 1.0, 1.0]), rtol=0, atol=1e-3
    )
    assert torch.equal(found[:, 0], torch.zeros(50))
    other = module(Frames(torch.tensor([[8.0, 1000.0, 1000.0]]), torch.tensor([1]))).values
    assert float(other[0, 0]) == 1.0


def test_parts_make_a_whole() -> None:
    values = torch.randn(scale._AT_ONCE + 5, 1, generator=torch.Generator().manual_seed(1))
    module = Scale(1)
    module.fit(values)
    torch.testing.assert_close(module.mean, values.mean(dim=0), rtol=0, atol=1e-6)
    torch.testing.assert_close(module.spread, values.std(dim=0, correction=0), rtol=0, atol=1e-5)


def test_half_precision_and_no_frames() -> None:
    module = Scale(2)
    module.fit(torch.full((4, 2), 60000.0, dtype=torch.float16))
    assert torch.equal(module.mean, torch.full((2,), 60000.0))
    module.fit(torch.zeros(0, 2))
    assert torch.equal(module.spread, torch.ones(2))
