"""`logmel-80`: how loud each of 80 bands is, on a logarithmic scale; needs no extra library."""

from __future__ import annotations

import math
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.sound.extractor import Extractor, Waveform, numbered

RATE, WINDOW, HOP, FFT, BANDS = 16_000, 400, 160, 512, 80
LOWEST_HZ, HIGHEST_HZ = 0.0, 8_000.0
# far below the rounding noise of 16-bit samples, which is at about 1e-8
FLOOR = 1e-10
BLOCK = 8_192  # frames at once, so that a long clip takes bounded memory


def extractor() -> Extractor:
    """25 ms periodic Hann windows every 10 ms, all inside the clip, without padding at its ends.

    Power spectrum of 512 points -> 80 triangles of height 1, evenly spaced in mel (HTK) from 0 to
    8,000 Hz -> natural logarithm, of 1e-10 where there is less.
    """
    return Extractor(
        name="logmel-80",
        version=1,
        rate=RATE,
        hop=HOP,
        first=WINDOW / 2,
        shortest=WINDOW,
        columns=numbered("logmel", BANDS),
        measure=measure,
        settings={
            "window": WINDOW,
            "fft": FFT,
            "bands_hz": [LOWEST_HZ, HIGHEST_HZ],
            "mel": "htk",
            "floor": FLOOR,
        },
        tools={"numpy": version("numpy"), "scipy": version("scipy")},
    )


def measure(waveform: Waveform) -> NDArray[np.float32]:
    """(n,) -> (1 + (n - 400) // 160, 80)."""
    from scipy.fft import rfft
    from scipy.signal import get_window

    shape = get_window("hann", WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP]
    values = np.empty((len(frames), BANDS), dtype=np.float32)
    for start in range(0, len(frames), BLOCK):
        spectrum: NDArray[Any] = rfft(frames[start : start + BLOCK] * shape, FFT)
        power = spectrum.real**2 + spectrum.imag**2
        values[start : start + BLOCK] = np.log(np.maximum(power @ mel_bands(), FLOOR))
    return values


@cache
def mel_bands() -> NDArray[np.float64]:
    """(257, 80) weights: each column a triangle between its neighbours' peaks (HTK book, 5.4)."""
    low_mel, high_mel = (2595 * math.log10(1 + hz / 700) for hz in (LOWEST_HZ, HIGHEST_HZ))
    corners = 700 * (10 ** (np.linspace(low_mel, high_mel, BANDS + 2) / 2595) - 1)
    hertz = np.fft.rfftfreq(FFT, 1 / RATE)[:, None]
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    bands: NDArray[np.float64] = np.maximum(
        0, np.minimum((hertz - low) / (peak - low), (high - hertz) / (high - peak))
    )
    bands.flags.writeable = False
    return bands
