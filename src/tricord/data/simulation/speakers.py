"""Speakers: what the clips of one video have in common, and how test's differ from the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SPEAKER_SHARE = 0.25
TEXT_SPEAKER_SD = 0.2


@dataclass(frozen=True)
class Shift:
    """Test's speakers are N(mean, spread^2) where the others are N(0, 1); by default the same."""

    mean: float = 0.0
    spread: float = 1.0

    def of(self, offsets: Floats, shifted: Bools | None) -> Floats:
        """(N, ...) standard normal offsets, those of the (N,) shifted clips moved."""
        if shifted is None:
            return offsets
        rows = shifted.reshape(-1, *[1] * (offsets.ndim - 1))
        return np.where(rows, self.mean + self.spread * offsets, offsets)

    @property
    def noise(self) -> float:
        """Variance of speaker and clip together, in units of that without a shift."""
        return 1 + SPEAKER_SHARE * (self.spread**2 - 1)


SAME = Shift()


def speaker_and_clip_noise(
    videos: Ints,
    width: int,
    rng: np.random.Generator,
    shifted: Bools | None = None,
    shift: Shift = SAME,
) -> Floats:
    """(N, width) standard normal, SPEAKER_SHARE of the variance common within a video.

    The speakers of the (N,) shifted clips are moved.
    """
    speaker = rng.standard_normal((int(videos.max()) + 1, width))[videos]
    clip = rng.standard_normal((len(videos), width))
    speaker = shift.of(speaker, shifted)
    return np.asarray(np.sqrt(SPEAKER_SHARE) * speaker + np.sqrt(1 - SPEAKER_SHARE) * clip)
