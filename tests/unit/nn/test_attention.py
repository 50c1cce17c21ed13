"""The processor's attention against the definition and torch's own."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from builders import repeatable
from tricord.nn.attention import attention
from tricord.nn.dropout import kept


def heads(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(*shape, generator=generator, dtype=torch.float64)
    return x.requires_grad_()


def by_definition(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = torch.einsum("nhwi,nhwj->nhij", q, k) / math.sqrt(q.shape[2])
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], -math.inf)
    return torch.einsum("nhij,nhwj->nhwi", torch.softmax(scores, dim=-1), v)


def test_by_hand() -> None:
    """One head of width 1: the query 0 takes the mean, the query ln 3 weighs key 1 three times."""
    q = torch.tensor([[[[0.0, math.log(3.0)]]]])
    k = torch.tensor([[[[0.0, 1.0]]]])
    v = torch.tensor([[[[2.0, 6.0]]]])
    torch.testing.assert_close(attention(q, k, v, None, 0.0), torch.tensor([[[[4.0, 5.0]]]]))
    seen = torch.tensor([[True, False]])
    torch.testing.assert_close(attention(q, k, v, seen, 0.0), torch.tensor([[[[2.0, 2.0]]]]))


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("scale", [1.0, 30.0])  # with scores that are small, and that are shifted
@repeatable
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 40))
def test_outputs_and_gradients_are_those_of_the_definition(
    masked: bool, scale: float, clips: int, number: int, width: int, length: int
) -> None:
    q, k, v = (heads(clips, number, width, length, seed=i, scale=scale) for i in range(3))
    mask = None
    if masked:
        mask = torch.arange(length) < torch.arange(length, length - clips, -1).clamp(1)[:, None]
    assert_same(attention(q, k, v, mask, 0.0), by_definition(q, k, v, mask), (q, k, v))


def assert_same(found: Tensor, expected: Tensor, inputs: tuple[Tensor, ...]) -> None:
    torch.testing.assert_close(found, expected)
    direction = heads(*found.shape, seed=9).detach()
    gradients = [
        torch.autograd.grad(out, inputs, direction, materialize_grads=True)
        for out in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_scores_of_any_size_overflow_nowhere() -> None:
    q, k, v = (heads(1, 2, 8, 20, seed=i, scale=1e4).detach().float() for i in range(3))
    q.requires_grad_()
    found = attention(q, k, v, None, 0.0)
    found.sum().backward()
    assert found.isfinite().all()
    assert q.grad is not None
    assert q.grad.isfinite().all()


def test_dropout_is_that_of_the_weights() -> None:
    """Attention dropout (Vaswani et al. 2017): some weights are 0, the rest grow."""
    q, k, v = (heads(2, 2, 4, 9, seed=i) for i in range(3))
    torch.manual_seed(0)
    factors = kept(torch.empty(4, 9, 9, dtype=torch.float64), 0.4)  # (clip and head, key, query)
    assert 0 < int((factors == 0).sum()) < factors.numel()
    weights = torch.softmax(torch.einsum("nhwi,nhwj->nhij", q, k) / 2, dim=-1)
    left = weights * factors.transpose(1, 2).view(2, 2, 9, 9)
    torch.manual_seed(0)
    found = attention(q, k, v, None, 0.4)
    assert_same(found, torch.einsum("nhij,nhwj->nhwi", left, v), (q, k, v))
