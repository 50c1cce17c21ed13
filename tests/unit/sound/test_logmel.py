"""Log mel bands: librosa's filters as the oracle, times, floor, and loudness."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tricord.sound import get, logmel
from waveforms import noise, sines

RATE = 16_000


def test_the_bands_are_librosas() -> None:
    expected = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=80, htk=True, norm=None)
    np.testing.assert_allclose(logmel.mel_bands(), expected.T, atol=1e-6)


def test_it_is_the_logarithm_of_the_energy_in_a_hann_window() -> None:
    y = noise(1_000)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frame = np.concatenate([y[160:560] * window, np.zeros(112)])
    power = np.abs(np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(512)) / 512) @ frame)
    expected = np.log(power**2 @ logmel.mel_bands())
    track = get("logmel-80")(y)
    assert len(track) == 4
    np.testing.assert_allclose(track.values[1], expected, rtol=1e-5)
    assert track.times[1] == pytest.approx(0.0225)


def test_a_tone_is_in_the_band_around_it() -> None:
    values = get("logmel-80")(sines(1_000, 0.2, RATE, overtones=1)).values
    peaks = np.fft.rfftfreq(512, 1 / RATE)[logmel.mel_bands().argmax(axis=0)]
    assert abs(peaks[values[5].argmax()] - 1_000) < 40


def test_a_click_is_in_the_frame_of_its_time() -> None:
    y = noise(RATE, 1e-3)
    y[8_040] = 0.9
    track = get("logmel-80")(y)
    loudest = track.times[track.values.mean(axis=1).argmax()]
    assert loudest == pytest.approx(8_040 / RATE)


def test_silence_is_the_floor() -> None:
    values = get("logmel-80")(np.zeros(800, dtype=np.float32)).values
    np.testing.assert_allclose(values, math.log(1e-10), rtol=1e-6)


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = get("logmel-80")(noise(3_000)).values
    monkeypatch.setattr(logmel, "BLOCK", 3)
    np.testing.assert_allclose(get("logmel-80")(noise(3_000)).values, whole, rtol=1e-6)


@settings(max_examples=10, deadline=None)
@given(gain=st.floats(0.01, 100), seed=st.integers(0, 99))
def test_a_louder_copy_is_higher_by_twice_the_logarithm(gain: float, seed: int) -> None:
    y = noise(2_000, 0.01, seed)
    change = get("logmel-80")((gain * y).astype(np.float32)).values - get("logmel-80")(y).values
    np.testing.assert_allclose(change, 2 * math.log(gain), atol=1e-3)
