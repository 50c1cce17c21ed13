"""`librosa-33`: the audio features of CH-SIMS as they were released, and as its paper words them.

The released code (DataPre) takes the zero-crossing rate as its first column; the papers call that
column log F0. Both are here: `librosa-33` and `librosa-33-logf0`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.sound.extractor import Extractor, Waveform, need, numbered

RATE, HOP, WINDOW = 22_050, 512, 2_048
MFCC, CHROMA = 20, 12
F0_HZ = (65.0, 600.0)  # voices, laughter and shouting included
CORRELATED = 1_024  # samples compared with those one period later: three periods of 65 Hz
VOICED = 0.5  # of a voice's energy repeats after one period
_PITCHES = ("c", "c#", "d", "d#", "e", "f", "f#", "g", "g#", "a", "a#", "b")


def released() -> Extractor:
    """Zero-crossing rate (1), MFCC with ``htk=True`` (20), `chroma_cqt` (12); else the defaults.

    The numbers are librosa's own: windows of 2,048 samples around each multiple of 512, with zeros
    (for the zero-crossing rate, the last sample again) beyond the clip's ends. Silence: 0, the
    floor of the first MFCC, and zeros.
    """
    return _extractor("librosa-33", "zero_crossing_rate", _zero_crossings, {})


def with_log_f0() -> Extractor:
    """The same with the natural logarithm of F0 in Hz as the first column, 0 where unvoiced.

    F0 is YIN's (de Cheveigne and Kawahara 2002) between 65 and 600 Hz. YIN gives one for noise as
    well, so a frame is voiced only where the signal, shifted by the period found, resembles itself:
    2 <x, x'> / (<x, x> + <x', x'>) >= 0.5 over 1,024 samples about the frame's centre (the
    normalised function of McLeod and Wyvill 2005).
    """
    settings = {"f0_hz": list(F0_HZ), "voiced": VOICED, "unvoiced_value": 0.0}
    return _extractor("librosa-33-logf0", "log_f0", log_f0, settings)


def _extractor(
    name: str,
    first_column: str,
    first: Callable[[Waveform], NDArray[Any]],
    settings: dict[str, Any],
) -> Extractor:
    def measure(waveform: Waveform) -> NDArray[Any]:
        return np.concatenate([first(waveform)[:, None], _spectral(waveform)], axis=1)

    return Extractor(
        name=name,
        version=1,
        rate=RATE,
        hop=HOP,
        first=0,
        shortest=WINDOW,
        columns=(
            first_column,
            *numbered("mfcc", MFCC),
            *(f"chroma_{pitch}" for pitch in _PITCHES),
        ),
        measure=measure,
        settings={"window": WINDOW, "htk": True, **settings},
        tools=need(name, "librosa", "numpy", "scipy", extra="clips"),
    )


def _zero_crossings(waveform: Waveform) -> NDArray[Any]:
    import librosa

    rate: NDArray[Any] = librosa.feature.zero_crossing_rate(waveform, hop_length=HOP)[0]
    return rate


def _spectral(waveform: Waveform) -> NDArray[Any]:
    """(L, 32): MFCC and chroma."""
    import librosa

    mfcc = librosa.feature.mfcc(y=waveform, sr=RATE, n_mfcc=MFCC, htk=True, hop_length=HOP)
    with _without_words_about_padding():
        chroma = librosa.feature.chroma_cqt(y=waveform, sr=RATE, hop_length=HOP)
    return np.concatenate([mfcc, chroma]).T


@contextmanager
def _without_words_about_padding() -> Iterator[None]:
    """The constant-Q transform halves the rate for each octave, and says where little is left.

    It fills up with zeros then, as it does at the ends of every clip. The other message is about
    silence, whose tuning it takes as 0.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"n_fft=\d+ is too large for input signal")
        warnings.filterwarnings("ignore", "Trying to estimate tuning from empty frequency set")
        yield


def log_f0(waveform: Waveform) -> NDArray[np.float64]:
    """(n,) -> (L,) natural logarithm of F0 in Hz, 0 where unvoiced."""
    import librosa

    low, high = F0_HZ
    hertz = librosa.yin(
        waveform, fmin=low, fmax=high, sr=RATE, frame_length=WINDOW, hop_length=HOP
    ).clip(low, high)
    voiced = _repeats(waveform, np.rint(RATE / hertz).astype(np.int64)) >= VOICED
    return np.where(voiced, np.log(hertz), 0.0)


def _repeats(waveform: Waveform, periods: NDArray[np.int64]) -> NDArray[np.float64]:
    """(L,) in [-1, 1]: how much the frames resemble themselves one period later; 0 in silence."""
    padded = np.pad(waveform.astype(np.float64), WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, CORRELATED)
    starts = WINDOW // 2 + HOP * np.arange(len(periods)) - (CORRELATED + periods) // 2
    now, later = windows[starts], windows[starts + periods]
    energy = np.einsum("lt,lt->l", now, now) + np.einsum("lt,lt->l", later, later)
    product = 2 * np.einsum("lt,lt->l", now, later)
    likeness: NDArray[np.float64] = np.zeros(len(periods))
    np.divide(product, energy, out=likeness, where=energy > 0)
    return likeness
