"""Dropout with cheap random bits: right rate, right scale, independent decisions."""

from __future__ import annotations

import pytest
import torch

from tricord.nn.dropout import Dropout

MANY = 400_000
RATES = [0.1, 0.3, 0.4, 0.5, 0.9]


def kept(p: float, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return Dropout(p)(torch.ones(MANY))


@pytest.mark.parametrize("p", RATES)
def test_rate_scale_and_mean(p: float) -> None:
    y = kept(p)
    sigma = (p * (1 - p) / MANY) ** 0.5
    assert abs(float((y == 0).float().mean()) - p) < 5 * sigma + 2**-17
    torch.testing.assert_close(y[y > 0], torch.full_like(y[y > 0], 1 / (1 - p)), rtol=2e-4, atol=0)
    assert abs(float(y.mean()) - 1) < 5 * sigma / (1 - p) + 1e-4


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize("distance", [1, 2, 3, 4])
def test_neighbours_are_decided_independently(p: float, distance: int) -> None:
    """Four decisions share one 64-bit number; they must not share anything else."""
    centred = kept(p)[: MANY // 4 * 4] - 1
    product = centred[:-distance] * centred[distance:]
    correlation = float(product.mean() / centred.square().mean())
    assert abs(correlation) < 5 / MANY**0.5


def test_evaluation_mode_and_rate_zero_are_the_identity() -> None:
    x = torch.randn(3, 5)
    assert torch.equal(Dropout(0.7).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


@pytest.mark.parametrize("shape", [(), (1,), (3, 7), (2, 3, 5), (0, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_shape_and_dtype(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    y = Dropout(0.5)(torch.ones(shape, dtype=dtype))
    assert y.shape == shape
    assert y.dtype == dtype
    assert set(y.flatten().tolist()) <= {0.0, 2.0}


def test_the_gradient_flows_where_values_were_kept() -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    y = Dropout(0.4)(x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.detach())


def test_the_seed_decides() -> None:
    assert torch.equal(kept(0.4, seed=1), kept(0.4, seed=1))
    assert not torch.equal(kept(0.4, seed=1), kept(0.4, seed=2))
