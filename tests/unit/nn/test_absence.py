"""Modality dropout: its rates, the modality that stays, and that nothing is drawn without it."""

from __future__ import annotations

import pytest
import torch

from tricord.nn.absence import drop_modalities

DRAWS = 40_000


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("there", [(1, 1, 1), (1, 0, 1), (0, 1, 0)])
def test_each_is_dropped_as_often_as_it_says(rate: float, there: tuple[int, ...]) -> None:
    """P(dropped) = rate - rate^n / n for each of the n present, by hand."""
    present = torch.tensor(there).bool().expand(DRAWS, -1)
    kept = drop_modalities(present, rate)
    n = sum(there)
    expected = torch.tensor(there) * (1 - rate + rate**n / n)
    noise = 5 * (0.25 / DRAWS) ** 0.5
    torch.testing.assert_close(kept.double().mean(dim=0), expected.double(), atol=noise, rtol=0)
    assert bool(kept.any(dim=1).all())
    all_of_them = kept.sum(dim=1) == n  # independent of each other
    chance = (1 - rate) ** n if n > 1 else 1
    assert abs(all_of_them.double().mean() - chance) < noise


def test_a_clip_with_nothing_stays_so() -> None:
    assert not drop_modalities(torch.zeros(50, 3, dtype=torch.bool), 0.5).any()


def test_without_it_nothing_is_drawn() -> None:
    present = torch.tensor([[True, False], [True, True]])
    before = torch.random.get_rng_state()
    assert drop_modalities(present, 0) is present
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_out_of_range_is_an_error(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        drop_modalities(torch.ones(2, 2, dtype=torch.bool), rate)
