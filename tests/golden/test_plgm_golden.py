"""Recorded pseudo labels: random logits, exact ties, saturated softmaxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tricord.plgm import refine_labels


@pytest.mark.parametrize(("dtype", "tolerance"), [("f32", 2e-5), ("f64", 1e-10)])
def test_recorded_soft_labels_match(shared: Path, dtype: str, tolerance: float) -> None:
    recorded = np.load(shared / "golden" / "cmc" / "plgm.npz")
    base = recorded["base_class"]
    alpha, soft = recorded[f"alpha_{dtype}"], recorded[f"soft_{dtype}"]
    # 0/0 in the recording: alpha is 0 there and the label stays as it was (fidelity 3)
    saturated = np.isnan(alpha)
    assert saturated.any()
    np.testing.assert_array_equal(np.isnan(soft).any(axis=1), saturated)
    expected = np.where(saturated[:, None], np.eye(soft.shape[1])[base], soft)

    logits = recorded[f"logits_{dtype}"]
    found = refine_labels(torch.as_tensor(logits), torch.as_tensor(base)).numpy()

    assert found.dtype == logits.dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(found[saturated], expected[saturated])
    # Eq. 24 and 25 one by one, where the candidate is another class than the base
    candidate = recorded[f"reversed_onehot_{dtype}"].argmax(axis=1)
    moved = (candidate != base) & ~saturated
    assert moved.sum() > 50
    rows = np.arange(len(base))
    np.testing.assert_allclose(
        found[rows, candidate][moved], np.clip(alpha, 0, None)[moved], rtol=0, atol=tolerance
    )
