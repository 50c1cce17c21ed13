from __future__ import annotations

import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from drawn_clips import CODECS, number_of, numbered, voice, write_clip
from tricord.errors import ConfigError, DataError
from tricord.media import track as track_module
from tricord.media.info import probe
from tricord.media.source import Source
from tricord.media.track import Track
from tricord.media.video import frames

VIDEO = [suffix for suffix, (video, _) in CODECS.items() if video]


def numbers(path: Path, rate: float, **part: float) -> list[tuple[float, int]]:
    return [(round(f.time, 6), number_of(f.image)) for f in frames(path, rate, **part)]


@pytest.mark.parametrize("suffix", VIDEO)
def test_every_container_gives_every_picture_at_its_time(
    clips: dict[str, Path], suffix: str
) -> None:
    found = frames(clips[suffix], 25)
    shown = [(round(f.time, 6), round(f.shown, 6), number_of(f.image)) for f in found]
    assert shown == [(i / 25, i / 25, i) for i in range(25)]
    assert not found.truncated
    assert found.broken == 0


def test_an_image_is_rgb_bytes(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), dtype=np.uint8)
    red[..., 0] = 255
    image = next(frames(write_clip(tmp_path / "red.mp4", [red]), 1)).image
    assert (image.dtype, image.shape) == (np.uint8, (48, 64, 3))
    assert image.mean(axis=(0, 1)) == pytest.approx([255, 0, 0], abs=6)
    assert image.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("rate", [1, 5, 7.5, 10, 29.97, 30, 50])
def test_a_tick_shows_the_newest_picture_before_it(
    tmp_path: Path, suffix: str, rate: float
) -> None:
    path = write_clip(tmp_path / f"a{suffix}", [numbered(i) for i in range(30)], fps=30)
    ticks = [Fraction(n) / Fraction(rate) for n in range(60)]
    expected = [(round(float(t), 6), int(t * 30)) for t in ticks if t < 1]
    assert numbers(path, rate) == expected


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_variable_rate_is_by_time_and_not_by_number(tmp_path: Path, suffix: str) -> None:
    times = [0.0, 0.1, 0.5, 0.7]
    path = write_clip(tmp_path / f"a{suffix}", [numbered(i) for i in range(4)], times=times)
    expected = [0, 1, 1, 1, 1, 2, 2, 3]
    assert numbers(path, 10) == [(n / 10, number) for n, number in enumerate(expected)]
    assert [f.shown for f in frames(path, 5)] == pytest.approx([0.0, 0.1, 0.1, 0.5])


def test_ticks_on_one_picture_share_its_image(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [numbered(1), numbered(2)], fps=2)
    one, two, three, _ = (frame.image for frame in frames(path, 4))
    assert one is two
    assert two is not three


def test_ticks_before_the_first_picture_are_left_out(tmp_path: Path) -> None:
    times = [0.25, 0.5]
    images = [numbered(1), numbered(2)]
    path = write_clip(tmp_path / "a.mkv", images, voice(1.0), times=times)
    assert numbers(path, 10) == [(0.3, 1), (0.4, 1), (0.5, 2)]
    video = probe(path).video
    assert video is not None
    assert video.start == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("turn", "rotation", "white"),
    [
        ((0, False), 0, (0, 0)),
        ((90, False), 270, (1, 0)),
        ((180, False), 180, (1, 1)),
        ((270, False), 90, (0, 1)),
        ((0, True), 0, (0, 1)),
    ],
)
def test_pictures_are_upright(
    tmp_path: Path, turn: tuple[int, bool], rotation: int, white: tuple[int, int]
) -> None:
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    image[:24, :32] = 255  # top left
    path = write_clip(tmp_path / "a.mp4", [image], turn=turn)
    found = next(frames(path, 1)).image
    high, wide = (64, 48) if turn[0] in {90, 270} else (48, 64)
    assert found.shape == (high, wide, 3)
    quarters = found.reshape(2, high // 2, 2, wide // 2, 3).mean(axis=(1, 3, 4)) > 127
    assert np.argwhere(quarters).tolist() == [list(white)]
    info = probe(path).video
    assert info is not None
    assert (info.width, info.height, info.rotation) == (wide, high, rotation)


def test_pixels_are_square(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [numbered(5)], pixel=Fraction(3, 2))
    found = next(frames(path, 1)).image
    assert (found.shape, number_of(found)) == ((48, 96, 3), 5)
    video = probe(path).video
    assert video is not None
    assert video.width == 96


@pytest.mark.parametrize("start", [0.0, 0.95, 3.0, 7.77])
def test_a_part_begins_at_its_start(long_clip: Path, start: float) -> None:
    ticks = [start + n / 4 for n in range(6)]
    expected = [(round(t, 6), int(t * 10 + 1e-6)) for t in ticks]
    assert numbers(long_clip, 4, start=start, end=start + 1.5) == expected


def decoded(path: Path, start: float) -> int:
    track = Track(path, "video", start)
    time = -1.0
    for count, (at, _) in enumerate(track.frames(), start=1):
        time = float(at)
        if time >= start:
            return count
    return 0


def test_a_start_is_sought_and_not_decoded_up_to(
    long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decoded(long_clip, 8.0) <= 11
    monkeypatch.setattr(Track, "_seek", lambda self: False)
    assert decoded(long_clip, 8.0) == 81


def test_a_seek_that_lands_too_late_is_taken_back(
    long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(self: Track) -> bool:
        if self.source is late[0]:
            return False
        late[0] = self.source
        self.source.container.seek(int(9 / self.unit), stream=self.stream)
        return True

    late: list[Source | None] = [None]
    monkeypatch.setattr(Track, "_seek", too_late)
    assert numbers(long_clip, 1, start=4.0, end=6.0) == [(4.0, 40), (5.0, 50)]


def test_beyond_the_end_is_nothing(long_clip: Path) -> None:
    assert numbers(long_clip, 5, start=60.0) == []


def test_few_images_are_held_at_a_time(long_clip: Path) -> None:
    images: list[weakref.ref[np.ndarray]] = []
    alive: list[int] = []
    for frame in frames(long_clip, 10):
        images.append(weakref.ref(frame.image))
        alive.append(sum(image() is not None for image in images))
    assert len(images) == 100
    assert max(alive) <= 2


def test_a_file_without_pictures_says_so(clips: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=r"clip\.wav: has no video track"):
        frames(clips[".wav"], 5)


@pytest.mark.parametrize("rate", [0, -5, float("inf")])
def test_a_rate_is_more_than_none(clips: dict[str, Path], rate: float) -> None:
    with pytest.raises(ConfigError, match="rate"):
        frames(clips[".mp4"], rate)


def test_a_long_jump_is_a_broken_time_stamp(
    long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_module, "MAX_JUMP", -1)
    with pytest.raises(DataError, match=r"long\.mp4: broken time stamps: video jumps"):
        list(frames(long_clip, 5))
