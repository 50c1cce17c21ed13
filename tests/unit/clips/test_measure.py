from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn_clips import FPS, numbered, voice, write_clip
from fake_extractors import opener, recipe_of, sight, sound
from tricord.clips import measure
from tricord.clips.clip import Clip
from tricord.clips.measure import Measurer
from tricord.errors import DataError, ModelError


def test_a_clip_is_measured_in_all_modalities(measurer: Measurer, talking: Path) -> None:
    found = measurer(Clip("a$_$1", talking, "so it is"))
    assert list(found.tracks) == ["text", "audio", "vision"]
    assert found.tracks["text"].values.tolist() == [[2], [2], [2]]
    assert len(found.tracks["audio"]) in (20, 21)  # the encoder pads
    assert found.tracks["vision"].times == pytest.approx(np.arange(10) / 5)
    assert (found.frames, found.faces) == (10, 10)
    assert found.duration == pytest.approx(2.0, abs=0.1)
    assert (found.id, found.text, found.notices) == ("a$_$1", "so it is", ())


def test_times_of_a_part_count_from_the_beginning_of_the_file(
    measurer: Measurer, talking: Path
) -> None:
    found = measurer(Clip("a", talking, start=0.5, end=1.5))
    assert found.tracks["audio"].times == pytest.approx(0.55 + np.arange(10) / 10)
    assert found.tracks["vision"].times == pytest.approx(0.5 + np.arange(5) / 5)
    assert found.duration == pytest.approx(1.0)


def test_a_late_sound_is_late(measurer: Measurer, tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "late.mkv", [numbered(255)] * (2 * FPS), voice(1.0), sound_start=0.6
    )
    assert measurer(Clip("a", path)).tracks["audio"].times[0] == pytest.approx(0.65, abs=0.03)


def test_what_a_clip_lacks_is_a_track_without_rows(measurer: Measurer, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "voice.wav", (), voice(1.0))
    found = measurer(Clip("a", path, " "))
    assert [len(found.tracks[name]) for name in ("text", "audio", "vision")] == [0, 10, 0]
    assert found.tracks["vision"].columns == ("face", "brightness")
    assert found.tracks["text"].columns == ("length",)
    assert found.notices == ("text: no words", "vision: no video track")
    assert (found.frames, found.faces) == (0, 0)


def test_pictures_without_a_face_are_counted(measurer: Measurer, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "dark.mp4", [numbered(0)] * FPS)
    found = measurer(Clip("a", path, "words"))
    assert (found.frames, found.faces, len(found.tracks["vision"])) == (5, 0, 0)
    assert found.notices == ("audio: no audio track", "vision: no face")


def test_a_sound_shorter_than_a_window_is_said(measurer: Measurer, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "short.wav", (), voice(0.05))
    assert measurer(Clip("a", path, "words")).notices[0] == "audio: shorter than a window"


def test_a_text_that_is_cut_is_said(measurer: Measurer, talking: Path) -> None:
    found = measurer(Clip("a", talking, "a b c d e f g"))
    assert len(found.tracks["text"]) == 5
    assert found.notices == ("text: longer than the encoder takes (2 tokens cut)",)
    assert not measurer(Clip("a", talking, "a b c d e")).notices


def test_a_broken_tail_is_measured_as_far_as_it_goes(measurer: Measurer, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", [numbered(255)] * (4 * FPS), voice(4.0))
    path = tmp_path / "broken.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found = measurer(Clip("a", path))
    assert 0 < len(found.tracks["audio"]) < 40
    assert any("breaks off" in notice for notice in found.notices)


def test_a_file_with_nothing_to_measure_is_an_error(measurer: Measurer, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "dark.mp4", [numbered(0)] * FPS)
    with pytest.raises(DataError, match=r"nothing in it can be measured .*no words.*no face"):
        measurer(Clip("a", path))


def test_a_file_that_is_no_clip_is_an_error_though_its_words_are_known(
    measurer: Measurer, tmp_path: Path
) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(range(256)) * 8)
    with pytest.raises(DataError, match=r"noise\.mp4"):
        measurer(Clip("a", path, "words"))
    with pytest.raises(DataError, match="no such file"):
        measurer(Clip("a", tmp_path / "none.mp4", "words"))


def test_a_clip_that_begins_after_the_end_is_an_error(measurer: Measurer, talking: Path) -> None:
    with pytest.raises(DataError, match=r"2\.\d\d s long, but clip 'a' begins at 9\.00 s"):
        measurer(Clip("a", talking, "words", start=9.0))


@pytest.mark.parametrize(
    ("start", "end"), [(1.5, 0.5), (1.0, 1.0), (-1.0, None), (float("nan"), 1)]
)
def test_a_clip_that_ends_before_it_begins_is_its_own_error(
    measurer: Measurer, talking: Path, start: float, end: float | None
) -> None:
    with pytest.raises(DataError, match=r"clip 'a' is from .* s, expected 0 <= start < end"):
        measurer(Clip("a", talking, "words", start=start, end=end))


def test_a_clip_that_is_too_long_is_refused_and_a_part_of_it_is_not(
    measurer: Measurer, talking: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "LONGEST", 1.5)
    with pytest.raises(DataError, match=r"clip 'a' is 2 s long, expected at most 2 s: cut it"):
        measurer(Clip("a", talking, "words"))
    assert measurer(Clip("a", talking, "words", start=1.0)).duration < 1.5
    assert measurer(Clip("a", talking, "words", end=1.5)).duration == 1.5


def test_other_extractors_than_the_recipes_are_refused(
    extractors: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(extractors)
    monkeypatch.setattr(measure, "open_extractor", opener(extractors | {"vision": sight(2.0)}))
    with pytest.raises(ModelError, match=r"vision: rate 5\.0 here, 2\.0 there"):
        Measurer(recipe)


def test_another_version_of_a_tool_is_said(
    extractors: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(extractors)
    monkeypatch.setattr(measure, "open_extractor", opener(extractors | {"audio": sound("2")}))
    assert Measurer(recipe).notices == (
        "audio: tools.numpy 1 here, 2 there (recipe, installed); numbers may differ",
    )
