"""openSMILE's descriptors; without openSMILE, that its absence is said."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from tricord.errors import ConfigError
from tricord.sound import LicenceWarning, get
from tricord.sound.egemaps import COLUMNS
from waveforms import noise, sines

RATE = 16_000
installed = importlib.util.find_spec("opensmile") is not None
needs_opensmile = pytest.mark.skipif(not installed, reason="needs openSMILE: tricord[egemaps]")


@pytest.mark.skipif(installed, reason="openSMILE is here")
def test_the_extra_is_named_where_opensmile_is_not() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'tricord\[egemaps\]'"):
        get("egemaps-25")


@needs_opensmile
def test_a_voice_is_where_it_is_and_has_its_pitch() -> None:
    with pytest.warns(LicenceWarning, match="no commercial"):
        extractor = get("egemaps-25")
    voice = noise(3 * RATE, 1e-4)
    voice[RATE : 2 * RATE] += sines(200, 1, RATE, overtones=19)
    track = extractor(voice)
    assert track.columns == COLUMNS
    assert len(COLUMNS) == 25
    loudness, f0 = track.values[:, 0], track.values[:, 10]
    loud = track.times[loudness > loudness.max() / 2]
    assert (loud[0], loud[-1]) == pytest.approx((1, 2), abs=0.015)
    assert f0[150] == pytest.approx(12 * np.log2(200 / 27.5), abs=0.1)
    louder = extractor(2 * voice).values
    assert (louder[110:190, 0] > 1.1 * loudness[110:190]).all()
    np.testing.assert_allclose(louder[110:190, 10], f0[110:190], rtol=1e-3)
