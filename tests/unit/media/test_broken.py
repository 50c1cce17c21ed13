from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drawn_clips import CODECS, RATE, number_of, numbered, voice, write_clip
from tricord.errors import DataError
from tricord.media.audio import Audio, read_audio
from tricord.media.info import probe
from tricord.media.video import frames

# Containers whose head says how long they are; mp4's is at the end without `faststart`.
SAID_IN_FRONT = [".mkv", ".webm", ".avi", ".wav", ".flac", ".mp3"]


def cut(path: Path, keep: int, place: Path) -> Path:
    place = place / path.name
    place.write_bytes(path.read_bytes()[:keep])
    return place


def read(path: Path, video: bool) -> tuple[Audio | None, list[int], bool]:
    """Sound, numbers of the pictures and whether something is said to be missing."""
    info = probe(path)
    sound = read_audio(path, RATE) if info.audio else None
    pictures = frames(path, 25) if info.video else None
    shown = [number_of(frame.image) for frame in pictures or ()]
    missing = [part.truncated for part in (sound, pictures) if part is not None]
    return sound, shown, any(missing) or (video and pictures is None)


@pytest.mark.parametrize("suffix", SAID_IN_FRONT)
def test_a_file_without_its_tail_gives_what_is_there_and_says_so(
    clips: dict[str, Path], tmp_path: Path, suffix: str
) -> None:
    path = cut(clips[suffix], clips[suffix].stat().st_size * 3 // 4, tmp_path)
    sound, shown, missing = read(path, CODECS[suffix][0] is not None)
    assert missing
    if sound is not None:
        assert 0.1 < sound.end < 0.95
        whole = read_audio(clips[suffix], RATE).samples
        sure = len(sound.samples) * 3 // 4
        assert np.abs(sound.samples[:sure] - whole[:sure]).max() < 0.05
    if CODECS[suffix][0] is not None:
        assert shown
        assert shown == list(range(len(shown)))
        assert len(shown) < 25


def test_an_index_in_front_saves_what_is_there(long_clip: Path, tmp_path: Path) -> None:
    path = cut(long_clip, long_clip.stat().st_size * 6 // 10, tmp_path)
    pictures = frames(path, 10)
    shown = [number_of(frame.image) for frame in pictures]
    sound = read_audio(path, RATE)
    assert (pictures.truncated, sound.truncated) == (True, True)
    assert 20 < len(shown) < 80
    assert shown[:-1] == list(range(len(shown) - 1)), "of the last one a part may be lost"
    assert 2 < sound.end < 8


def test_what_was_not_asked_for_is_not_missed(long_clip: Path, tmp_path: Path) -> None:
    path = cut(long_clip, long_clip.stat().st_size * 6 // 10, tmp_path)
    sound, pictures = read_audio(path, RATE, end=1.0), frames(path, 5, end=1.0)
    assert (len(sound.samples), len(list(pictures))) == (RATE, 5)
    assert (pictures.truncated, sound.truncated) == (False, False)


def test_an_index_at_the_end_is_lost_with_it(clips: dict[str, Path], tmp_path: Path) -> None:
    path = cut(clips[".mp4"], clips[".mp4"].stat().st_size // 2, tmp_path)
    with pytest.raises(DataError, match=r"clip\.mp4: .* cut off before its table of contents"):
        probe(path)


def test_damage_in_the_middle_is_counted_and_the_rest_read(long_clip: Path, tmp_path: Path) -> None:
    damaged = bytearray(long_clip.read_bytes())
    middle = len(damaged) // 2
    noise = np.random.default_rng(0).integers(0, 256, 2_000, dtype=np.uint8)
    damaged[middle : middle + 2_000] = noise.tobytes()
    path = tmp_path / "damaged.mp4"
    path.write_bytes(damaged)
    pictures, sound = frames(path, 10), read_audio(path, RATE)
    shown = [(frame.time, number_of(frame.image)) for frame in pictures]
    assert len(shown) == 100
    assert [n for t, n in shown if t < 3 or t > 8] == [*range(30), *range(81, 100)]
    assert sound.end == pytest.approx(10.0, abs=0.1)
    assert pictures.broken + sound.broken > 0
    assert (pictures.truncated, sound.truncated) == (False, False)


@pytest.mark.parametrize("suffix", [s for s in CODECS if s != ".webm"])
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(share=0.921875, flips=[])  # of a .mov, one track loses its codec
@given(share=st.floats(0.0, 1.0), flips=st.lists(st.floats(0.0, 0.99), max_size=3))
def test_no_damage_is_more_than_a_clear_error(
    clips: dict[str, Path], tmp_path: Path, suffix: str, share: float, flips: list[float]
) -> None:
    content = bytearray(clips[suffix].read_bytes())
    content = content[: int(share * len(content))]
    for flip in flips:
        if content:
            content[int(flip * len(content))] ^= 0xFF
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    try:
        sound, shown, _ = read(path, CODECS[suffix][0] is not None)
    except DataError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
        return
    assert sound is None or np.isfinite(sound.samples).all()
    assert all(0 <= number < 256 for number in shown)


@pytest.mark.parametrize("suffix", [".flac", ".mkv", ".wav"])
def test_a_lost_tail_is_said_wherever_it_begins(tmp_path: Path, suffix: str) -> None:
    images = [numbered(i) for i in range(25)] if CODECS[suffix][0] else ()
    path = write_clip(tmp_path / f"clip{suffix}", images, voice(1.0))
    content = path.read_bytes()
    for share in (0.6, 0.7, 0.8, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        assert read(path, bool(images))[2], share
