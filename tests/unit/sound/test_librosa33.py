"""CH-SIMS's released audio features: equal to librosa's, in their order, at their times."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tricord.sound import get
from tricord.sound.librosa33 import log_f0
from waveforms import noise, sines

RATE = 22_050
MEL_BANDS = 128


@pytest.mark.parametrize("samples", [2_048, 22_050])
@pytest.mark.filterwarnings("ignore:n_fft=")
def test_it_is_what_librosa_makes_of_the_released_calls(samples: int) -> None:
    y = sines(310, samples / RATE, RATE) + noise(samples, 0.01)
    expected = np.concatenate(
        [
            librosa.feature.zero_crossing_rate(y=y, hop_length=512),
            librosa.feature.mfcc(y=y, sr=RATE, hop_length=512, htk=True),
            librosa.feature.chroma_cqt(y=y, sr=RATE, hop_length=512),
        ]
    ).T.astype(np.float32)
    track = get("librosa-33")(y)
    np.testing.assert_array_equal(track.values, expected)
    np.testing.assert_allclose(track.times, librosa.times_like(expected.T, sr=RATE))
    logged = get("librosa-33-logf0")(y)
    np.testing.assert_array_equal(logged.values[:, 1:], expected[:, 1:])


def test_the_columns_are_what_their_names_say() -> None:
    track = get("librosa-33")(sines(440, 1, RATE, overtones=1))
    middle = dict(zip(track.columns, track.values[20], strict=True))
    assert len(middle) == 33
    assert middle["zero_crossing_rate"] == pytest.approx(2 * 440 / RATE, rel=0.05)
    chroma = {name: value for name, value in middle.items() if name.startswith("chroma")}
    assert max(chroma, key=lambda name: chroma[name]) == "chroma_a"


def test_a_click_is_in_the_frame_of_its_time() -> None:
    y = noise(RATE, 1e-3)
    y[512 * 20] = 0.9
    track = get("librosa-33")(y)
    loudest = int(track.values[:, track.columns.index("mfcc_00")].argmax())
    assert track.times[loudest] == pytest.approx(512 * 20 / RATE)


@settings(max_examples=4, deadline=None)
@given(gain=st.floats(0.25, 4), seed=st.integers(0, 99))
def test_a_louder_copy_differs_in_the_first_mfcc_alone(gain: float, seed: int) -> None:
    y = sines(200, 0.3, RATE) + noise(round(0.3 * RATE), 0.02, seed)
    louder = (gain * y).astype(np.float32)
    expected = np.zeros(33)
    expected[1] = 20 * math.log10(gain) * math.sqrt(MEL_BANDS)
    change = get("librosa-33")(louder).values - get("librosa-33")(y).values
    np.testing.assert_allclose(change, np.tile(expected, (len(change), 1)), atol=2e-3)
    np.testing.assert_allclose(log_f0(louder), log_f0(y), atol=1e-4)


@pytest.mark.parametrize("hertz", [70, 150, 400, 590])
def test_log_f0_of_a_voice(hertz: float) -> None:
    values = get("librosa-33-logf0")(sines(hertz, 0.5, RATE)).values
    np.testing.assert_allclose(values[:, 0], math.log(hertz), atol=0.005)


def test_log_f0_is_zero_where_nothing_is_voiced() -> None:
    silence, voice = np.zeros(RATE // 2, dtype=np.float32), sines(150, 0.5, RATE)
    y = np.concatenate([silence, voice, noise(RATE // 2)])
    track = get("librosa-33-logf0")(y)
    times, log_f0 = track.times, track.values[:, 0]
    assert not log_f0[times < 0.45].any()
    assert log_f0[(times > 0.55) & (times < 0.95)] == pytest.approx(math.log(150), abs=0.005)
    assert not log_f0[times > 1.05].any()
