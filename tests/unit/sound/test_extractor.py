"""What holds for every audio extractor."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tricord.errors import DataError
from tricord.sound import Extractor
from tricord.sound.extractor import numbered
from tricord.track import Track
from waveforms import noise, sines


def test_one_column_a_name_and_one_time_a_frame(extractor: Extractor) -> None:
    track = extractor(noise(extractor.rate // 2))
    assert track.columns == extractor.columns
    assert len(set(track.columns)) == track.width
    steps = np.diff(track.times) * extractor.rate
    np.testing.assert_allclose(steps, extractor.hop)
    assert track.times[0] < 0.03
    assert 0.5 - track.times[-1] < 0.06


def test_the_same_waveform_gives_the_same_numbers(extractor: Extractor) -> None:
    waveform = sines(150, 0.3, extractor.rate) + noise(round(0.3 * extractor.rate), 0.01)
    waveform.flags.writeable = False
    np.testing.assert_array_equal(extractor(waveform).values, extractor(waveform).values)


def test_silence_gives_finite_numbers(extractor: Extractor) -> None:
    track = extractor(np.zeros(extractor.rate // 4, dtype=np.float32))
    assert len(track) > 5  # the track itself refuses what is not finite


def test_a_clip_of_less_than_one_window_has_no_frames(extractor: Extractor) -> None:
    waveform = noise(extractor.shortest)
    assert len(extractor(waveform)) > 0
    for short in (waveform[:-1], waveform[:1], waveform[:0]):
        track = extractor(short)
        assert track.values.shape == (0, track.width)


def test_what_it_is_can_be_written_as_json(extractor: Extractor) -> None:
    described = extractor.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["tools"]


@pytest.mark.parametrize(
    ("waveform", "found"),
    [
        (np.zeros(9, dtype=np.float64), "float64 of shape (9,)"),
        (np.zeros((2, 9), dtype=np.float32), "float32 of shape (2, 9)"),
        (np.array([0, np.nan, np.inf, 1e7], dtype=np.float32), "3 samples are not finite"),
    ],
)
def test_what_is_no_waveform_is_refused(waveform: np.ndarray, found: str) -> None:
    tiny = Extractor("tiny", 1, 10, 1, 0, 1, ("x",), lambda w: w[:, None])
    with pytest.raises(DataError, match=re.escape(found)):
        tiny(waveform)


def test_a_track_refuses_what_does_not_fit() -> None:
    values, times = np.zeros((2, 1), dtype=np.float32), np.array([0.0, 1.0])
    assert len(Track(values, times, ("x",))) == 2
    with pytest.raises(ValueError, match="float64"):
        Track(values.astype(np.float64), times, ("x",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 columns"):
        Track(values, times, ("x", "y"))
    with pytest.raises(ValueError, match="do not increase"):
        Track(values, times[::-1].copy(), ("x",))
    with pytest.raises(ValueError, match="'y'"):
        Track(np.array([[0, np.nan]], dtype=np.float32), times[:1], ("x", "y"))


def test_numbered_names_sort_as_they_count() -> None:
    assert numbered("x", 11)[::10] == ("x_00", "x_10")
    assert numbered("x", 2, start=1) == ("x_1", "x_2")
