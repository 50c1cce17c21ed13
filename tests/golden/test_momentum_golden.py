"""The recorded momentum schedule: the closed form of Eq. 30."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tricord.nn.ema import momentum_at


def test_recorded_schedule_matches(shared: Path) -> None:
    recorded = np.load(shared / "golden" / "cmc" / "momentum.npz")
    found = [
        [[momentum_at(m, g, int(e)) for e in recorded["epoch"]] for g in recorded["gamma"]]
        for m in recorded["init"]
    ]
    np.testing.assert_allclose(found, recorded["momentum"], rtol=0, atol=1e-15)
