"""`egemaps-25`: openSMILE's eGeMAPSv02 low-level descriptors, the audio of CH-SIMS v2."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.sound.extractor import Extractor, Waveform, need

RATE, HOP, WINDOW, LONG_WINDOW = 16_000, 160, 320, 960
NAME = "egemaps-25"
NOTICE = (
    "egemaps-25 runs openSMILE, whose licence allows research and private use but no commercial "
    "one; publications are to cite it (audEERING)"
)
COLUMNS = (
    "Loudness_sma3", "alphaRatio_sma3", "hammarbergIndex_sma3", "slope0-500_sma3",
    "slope500-1500_sma3", "spectralFlux_sma3", "mfcc1_sma3", "mfcc2_sma3", "mfcc3_sma3",
    "mfcc4_sma3", "F0semitoneFrom27.5Hz_sma3nz", "jitterLocal_sma3nz", "shimmerLocaldB_sma3nz",
    "HNRdBACF_sma3nz", "logRelF0-H1-H2_sma3nz", "logRelF0-H1-A3_sma3nz", "F1frequency_sma3nz",
    "F1bandwidth_sma3nz", "F1amplitudeLogRelF0_sma3nz", "F2frequency_sma3nz",
    "F2bandwidth_sma3nz", "F2amplitudeLogRelF0_sma3nz", "F3frequency_sma3nz",
    "F3bandwidth_sma3nz", "F3amplitudeLogRelF0_sma3nz",
)  # fmt: skip


def extractor() -> Extractor:
    """25 numbers every 10 ms (Eyben et al. 2016).

    The times are the centres of the 20 ms windows of the spectral columns. F0, jitter, shimmer and
    HNR come from windows of 60 ms that start with those: what they tell of is 20 ms later.
    """
    return Extractor(
        name=NAME,
        version=1,
        rate=RATE,
        hop=HOP,
        first=WINDOW / 2,
        shortest=LONG_WINDOW,
        columns=COLUMNS,
        measure=measure,
        settings={"feature_set": "eGeMAPSv02", "level": "LowLevelDescriptors"},
        tools=need(NAME, "opensmile", extra="egemaps"),
        notice=NOTICE,
    )


def measure(waveform: Waveform) -> NDArray[np.float32]:
    """(n,) -> (L, 25)."""
    values: NDArray[np.float32] = _smile()(waveform, RATE)[0].T
    return values


@cache
def _smile() -> Any:
    import opensmile

    smile = opensmile.Smile(
        opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors
    )
    assert tuple(smile.feature_names) == COLUMNS
    return smile
