from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drawn_clips import voice, write_clip
from tricord.clips import estimate as module
from tricord.clips.clip import Clip, ClipFeatures
from tricord.clips.estimate import Estimate, check_room, estimate, lengths, typical
from tricord.errors import DataError
from tricord.track import Track


def features(seconds: float, rows: int) -> ClipFeatures:
    """12 bytes a row: a float32 and its time."""
    track = Track(np.zeros((rows, 1), np.float32), np.arange(rows, dtype=np.float64), ("x",))
    return ClipFeatures("a", {"audio": track}, None, seconds)


def test_lengths_are_those_of_the_clips(tmp_path: Path) -> None:
    sound = write_clip(tmp_path / "a.wav", (), voice(2.0))
    (tmp_path / "broken.mp4").write_bytes(b"noise")
    clips = [
        Clip("a", sound),
        Clip("b", sound, start=0.5, end=1.25),
        Clip("c", sound, start=1.5, end=9.0),
        Clip("d", sound, start=5.0),
        Clip("e", tmp_path / "broken.mp4"),
        Clip("f", tmp_path / "none.mp4"),
    ]
    assert lengths(clips) == pytest.approx([2.0, 0.75, 0.5, 0, 0, 0])
    assert lengths([]) == []


def test_clips_of_middle_length_are_done_first() -> None:
    assert typical([9.0, 0.0, 3.0, 4.0, 1.0, 0.0, 2.0], 2) == [6, 2]
    assert typical([9.0, 3.0, 4.0, 1.0, 2.0], 3) == [4, 1, 2]
    assert typical([0.0, 5.0], 2) == [1]
    assert typical([], 2) == []


def test_time_and_disk_go_with_the_length() -> None:
    done = [(features(10.0, 100), 1.0), (features(30.0, 300), 3.0)]  # 0.1 s and 120 bytes a second
    found = estimate(done, media_seconds=1000.0, left=960.0, workers=2)
    assert found == Estimate(seconds=48.0, bytes=pytest.approx(240_000), media_seconds=1000.0)


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 10**9 + module.SPARE
    monkeypatch.setattr(
        module.shutil, "disk_usage", lambda place: type("Usage", (), {"free": free})
    )
    places = [tmp_path / "cache" / "clips", tmp_path / "out"]  # on one disk, not there yet
    check_room(1e9, places)
    with pytest.raises(DataError, match="about 1001 MB needed, and the disk has 1067 MB left"):
        check_room(1.001e9, places)
