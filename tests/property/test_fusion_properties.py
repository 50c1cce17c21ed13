"""PFM, MCR and the consensus for any input."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from builders import repeatable
from tricord.nn.fusion import parameter_free_fusion
from tricord.nn.router import ConsensusRouter, consensus, masked_softmax, pool

SEEDS = st.integers(0, 2**32 - 1)
ANY = st.floats(allow_nan=False, allow_infinity=False, width=32)
LARGE = st.floats(-(2.0**60), 2.0**60, width=32)  # whose squares float32 can hold
TEMPERATURES = st.floats(0, 1e6, exclude_min=True)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4))  # B, K, d


def normal(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def unit(seed: int, *shape: int) -> Tensor:
    return torch.nn.functional.normalize(normal(seed, *shape), dim=-1)


@st.composite
def with_present(draw: st.DrawFn) -> tuple[int, tuple[int, int, int], Tensor]:
    """A seed, a shape, and who is present: at least one modality of every clip."""
    shape = draw(SHAPES)
    present = torch.as_tensor(draw(arrays(bool, shape[:2])))
    present[:, 0] |= ~present.any(dim=1)
    return draw(SEEDS), shape, present


@repeatable
@given(SEEDS, SHAPES)
def test_of_unit_rows_at_temperature_zero_is_the_identity(
    seed: int, shape: tuple[int, int, int]
) -> None:
    h = unit(seed, *shape)
    for temperature in (1e-12, 1e-30, 1e-300):
        # rows that point the same way are the same rows, so sharing between them changes nothing
        torch.testing.assert_close(parameter_free_fusion(h, temperature), h)


@repeatable
@given(SHAPES.flatmap(lambda s: arrays(np.float32, s, elements=LARGE)), TEMPERATURES)
def test_fusion_of_any_finite_rows_is_finite(h: np.ndarray, temperature: float) -> None:
    x = torch.as_tensor(h).requires_grad_()
    fused = parameter_free_fusion(x, temperature)
    assert fused.isfinite().all()


@repeatable
@given(
    SHAPES.flatmap(lambda s: arrays(np.float32, s, elements=st.floats(-1, 1, width=32))),
    TEMPERATURES,
    st.data(),
)
def test_gradients_are_finite_down_to_tiny_temperatures(
    h: np.ndarray, temperature: float, data: st.DataObject
) -> None:
    x = torch.as_tensor(h).requires_grad_()
    present = torch.as_tensor(data.draw(arrays(bool, h.shape[:2])))
    rows = torch.nn.functional.normalize(x, dim=-1)
    parameter_free_fusion(rows, temperature, present).sum().backward()
    assert x.grad is not None
    assert not x.grad.isnan().any()


@repeatable
@given(SEEDS, SHAPES, st.floats(0.01, 10))
def test_fused_rows_are_weighted_means(
    seed: int, shape: tuple[int, int, int], temperature: float
) -> None:
    h = unit(seed, *shape)
    fused = parameter_free_fusion(h, temperature)
    low, high = h.amin(dim=1, keepdim=True), h.amax(dim=1, keepdim=True)
    assert ((fused >= low - 1e-12) & (fused <= high + 1e-12)).all()


@repeatable
@given(SEEDS, SHAPES, st.data())
def test_permuting_modalities_permutes_fusion_and_leaves_the_pool(
    seed: int, shape: tuple[int, int, int], data: st.DataObject
) -> None:
    h = unit(seed, *shape)
    order = torch.tensor(data.draw(st.permutations(range(shape[1]))))
    fused = parameter_free_fusion(h, 0.3)
    torch.testing.assert_close(parameter_free_fusion(h[:, order], 0.3), fused[:, order])
    torch.testing.assert_close(pool(fused[:, order]), pool(fused))


@repeatable
@given(SEEDS, SHAPES)
def test_all_present_equals_no_mask(seed: int, shape: tuple[int, int, int]) -> None:
    h, votes = unit(seed, *shape), normal(seed + 1, *shape)
    everyone = torch.ones(shape[:2], dtype=torch.bool)
    torch.testing.assert_close(
        parameter_free_fusion(h, 0.3, everyone), parameter_free_fusion(h, 0.3)
    )
    torch.testing.assert_close(pool(h, everyone), pool(h))
    logits = votes[..., 0]
    torch.testing.assert_close(masked_softmax(logits, everyone), masked_softmax(logits, None))


@repeatable
@given(with_present(), st.floats(0.01, 10))
def test_an_absent_modality_leaves_the_others_as_if_it_did_not_exist(
    case: tuple[int, tuple[int, int, int], Tensor], temperature: float
) -> None:
    seed, (_, k, d), present = case
    row = present[0]
    h, logits, votes = unit(seed, 1, k, d), normal(seed, 1, k), normal(seed, 1, k, 3)
    fused = parameter_free_fusion(h, temperature, row[None])
    without = parameter_free_fusion(h[:, row], temperature)
    torch.testing.assert_close(fused[:, row], without)
    assert not fused[:, ~row].any()
    weights = masked_softmax(logits, row[None])
    torch.testing.assert_close(weights[:, row], torch.softmax(logits[:, row], dim=1))
    torch.testing.assert_close(consensus(votes, weights), consensus(votes[:, row], weights[:, row]))
    scaled = without.sum(dim=1) * (k / int(row.sum()))
    torch.testing.assert_close(pool(fused, row[None]), scaled)


@repeatable
@given(with_present())
def test_weights_of_present_modalities_sum_to_one(
    case: tuple[int, tuple[int, int, int], Tensor],
) -> None:
    seed, (b, k, d), present = case
    torch.manual_seed(seed)
    router = ConsensusRouter(d, k).double()
    weights = router(normal(seed, b, d), present)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(b, dtype=torch.float64))
    assert (weights >= 0).all()
    assert not weights[~present].any()


@repeatable
@given(arrays(np.float32, (2, 3), elements=ANY), arrays(bool, (2, 3)))
def test_weights_of_any_finite_logits_are_finite(z: np.ndarray, present: np.ndarray) -> None:
    weights = masked_softmax(torch.as_tensor(z), torch.as_tensor(present))
    assert weights.isfinite().all()
    total = torch.as_tensor(present).any(dim=1).float()
    torch.testing.assert_close(weights.sum(dim=1), total)
