"""Waveforms for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sines(hertz: float, seconds: float, rate: int, overtones: int = 8) -> NDArray[np.float32]:
    """A tone with overtones, at a tenth of full scale."""
    time = np.arange(round(seconds * rate)) / rate
    waves = [np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, overtones + 1)]
    return (0.1 * np.sum(waves, axis=0)).astype(np.float32)


def noise(samples: int, scale: float = 0.1, seed: int = 0) -> NDArray[np.float32]:
    return (scale * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)
