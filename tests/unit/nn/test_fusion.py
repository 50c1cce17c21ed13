"""PFM (Eq. 10, 31-33) by hand."""

from __future__ import annotations

import math

import pytest
import torch

from tricord.nn.fusion import parameter_free_fusion

H = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]], dtype=torch.float64)  # cosine 0.6


def test_two_modalities_by_hand() -> None:
    temperature = 0.5
    own = 1 / (1 + math.exp((0.6 - 1) / temperature))
    other = 1 - own
    expected = [[own + other * 0.6, other * 0.8], [other + own * 0.6, own * 0.8]]
    found = parameter_free_fusion(H, temperature)
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64))


def test_temperature_to_zero_is_the_identity_and_to_infinity_the_mean() -> None:
    assert torch.equal(parameter_free_fusion(H, 1e-30), H)
    mean = H.mean(dim=1, keepdim=True).expand_as(H)
    torch.testing.assert_close(parameter_free_fusion(H, 1e12), mean)


def test_an_absent_modality_gives_and_gets_nothing() -> None:
    h = torch.cat([H, torch.tensor([[[0.0, 1.0]]], dtype=torch.float64)], dim=1)
    present = torch.tensor([[True, True, False]])
    found = parameter_free_fusion(h, 0.5, present)
    torch.testing.assert_close(found[:, :2], parameter_free_fusion(H, 0.5))
    assert not found[:, 2].any()


def test_without_any_modality_all_is_zero() -> None:
    found = parameter_free_fusion(H, 0.5, torch.zeros(1, 2, dtype=torch.bool))
    assert found.tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"temperature: .* found, a number above 0 expected"):
        parameter_free_fusion(H, temperature)
