"""The fitted exponent."""

from __future__ import annotations

import numpy as np
import pytest

from tricord.bench.growth import AXES, Point, fit_exponent


@pytest.mark.parametrize("power", [-0.5, 1.0, 2.0])
def test_a_power_law_is_found(power: float) -> None:
    values = (2, 4, 8, 64)
    exponent, r2 = fit_exponent(values, [3.0 * v**power for v in values])
    assert exponent == pytest.approx(power)
    assert r2 == pytest.approx(1.0)


def test_scatter_lowers_the_share_explained() -> None:
    # logarithms (0, 1, 2) and (0, 2, 1): slope 1/2, rests -1/2, 1, -1/2 of a spread of 2
    exponent, r2 = fit_exponent(np.exp([0, 1, 2]), np.exp([0, 2, 1]))
    assert exponent == pytest.approx(0.5)
    assert r2 == pytest.approx(1 - 1.5 / 2)


def test_what_does_not_grow_has_exponent_0() -> None:
    assert fit_exponent([1, 2, 4], [5.0, 5.0, 5.0]) == (pytest.approx(0.0), 1.0)


def test_each_axis_is_a_quantity_and_passes_through_many_values() -> None:
    assert set(AXES) == set(vars(Point()))
    assert all(len(set(values)) >= 4 for values in AXES.values())
