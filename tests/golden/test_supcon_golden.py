"""Recorded SupCon: the stable form against float64, the released against its own precision.

The recording subtracts a self term of exp(1 / temperature) from a sum that holds it, so its
float32 entries carry cancellation noise, and its overflowing case is NaN (fidelity 6).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tricord.nn.losses import supcon

ORDINARY = ["00", "01", "02", "03", "04", "06", "08"]
WITHOUT_POSITIVE, ONE_LABEL, OVERFLOW = "05", "07", "09"
DTYPES = pytest.mark.parametrize("dtype", ["f32", "f64"])


class Case:
    def __init__(self, shared: Path, number: str) -> None:
        data = np.load(shared / "golden" / "cmc" / "supcon.npz")
        self.entries = {k[3:]: data[k] for k in data.files if k.startswith(f"{number}_")}

    def __getitem__(self, name: str) -> Any:
        return self.entries[name]

    def run(self, dtype: str, **options: Any) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """(loss, per anchor, gradient of the loss or None)."""
        features = torch.as_tensor(self[f"features_{dtype}"]).requires_grad_()
        settings = {"temperature": float(self["temperature"]), **options}
        labels = torch.as_tensor(self["labels"])
        each = supcon(features, labels, reduction="none", **settings)
        loss = supcon(features, labels, **settings)
        assert loss.dtype == each.dtype == features.dtype
        if not loss.requires_grad:
            return loss, each, None
        loss.backward()
        assert features.grad is not None
        return loss.detach(), each.detach(), features.grad.numpy()


def assert_gradient(found: Any, recorded: Any, dtype: str) -> None:
    allowed = 1e-10 if dtype == "f64" else 1e-4 * np.abs(recorded).max()
    np.testing.assert_allclose(found, recorded, rtol=0, atol=allowed)


def test_every_recorded_case_is_tried(shared: Path) -> None:
    data = np.load(shared / "golden" / "cmc" / "supcon.npz")
    cases = {key[:2] for key in data.files}
    assert cases == {*ORDINARY, WITHOUT_POSITIVE, ONE_LABEL, OVERFLOW}


@DTYPES
@pytest.mark.parametrize("number", ORDINARY)
def test_stable_form_matches_the_float64_recording(shared: Path, number: str, dtype: str) -> None:
    case = Case(shared, number)
    loss, each, gradient = case.run(dtype)
    allowed = 1e-10 if dtype == "f64" else 2e-6
    np.testing.assert_allclose(loss, case["loss_f64"], rtol=0, atol=allowed)
    np.testing.assert_allclose(each, case["peranchor_f64"], rtol=0, atol=allowed)
    assert_gradient(gradient, case["grad_f64"], dtype)


@DTYPES
@pytest.mark.parametrize("number", [*ORDINARY, ONE_LABEL])
def test_released_arithmetic_matches_its_own_dtype_exactly(
    shared: Path, number: str, dtype: str
) -> None:
    case = Case(shared, number)
    loss, each, gradient = case.run(dtype, arithmetic="released")
    np.testing.assert_array_equal(loss, case[f"loss_{dtype}"])
    np.testing.assert_array_equal(each, case[f"peranchor_{dtype}"])
    assert_gradient(gradient, case[f"grad_{dtype}"], dtype)


@DTYPES
@pytest.mark.parametrize("arithmetic", ["stable", "released"])
def test_without_a_positive_the_loss_is_a_constant_zero(
    shared: Path, dtype: str, arithmetic: str
) -> None:
    case = Case(shared, WITHOUT_POSITIVE)
    assert not case[f"has_grad_{dtype}"]
    loss, each, gradient = case.run(dtype, arithmetic=arithmetic)
    assert loss.shape == ()
    assert loss == 0
    assert not each.any()
    assert not gradient.any()


@DTYPES
def test_of_one_label_the_gradient_is_zero(shared: Path, dtype: str) -> None:
    case = Case(shared, ONE_LABEL)
    loss, each, gradient = case.run(dtype)
    allowed = 1e-10 if dtype == "f64" else 2e-6
    np.testing.assert_allclose(loss, case["loss_f64"], rtol=0, atol=allowed)
    np.testing.assert_allclose(each, case["peranchor_f64"], rtol=0, atol=allowed)
    np.testing.assert_allclose(gradient, 0, rtol=0, atol=1e-8)


@DTYPES
def test_where_the_recording_overflows_the_stable_form_does_not(shared: Path, dtype: str) -> None:
    case = Case(shared, OVERFLOW)
    assert np.isnan(case[f"loss_{dtype}"])
    loss, each, gradient = case.run(dtype)
    assert round(float(loss), 4) == 71.5690
    assert np.isfinite(each.numpy()).all()
    assert np.isfinite(gradient).all()
    released, _, _ = case.run(dtype, arithmetic="released")
    assert released.isnan()
