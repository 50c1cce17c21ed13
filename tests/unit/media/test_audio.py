from __future__ import annotations

import tracemalloc
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from drawn_clips import CODECS, RATE, numbered, voice, write_clip
from tricord.errors import ConfigError, DataError
from tricord.media.audio import Audio, audio_blocks, read_audio


def likeness(found: np.ndarray, expected: np.ndarray) -> float:
    """Correlation of the parts that both have."""
    length = min(len(found), len(expected))
    return float(np.corrcoef(found[:length], expected[:length])[0, 1])


def plain_wav(path: Path, seconds: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(bytes(2 * RATE * seconds))
    return path


@pytest.mark.parametrize("suffix", CODECS)
def test_every_container_gives_the_voice_in_its_place(clips: dict[str, Path], suffix: str) -> None:
    found = read_audio(clips[suffix], RATE)
    assert found.samples.dtype == np.float32
    assert found.start == 0.0
    assert not found.truncated
    assert found.broken == 0
    assert 1.0 <= found.end < 1.07, "encoders pad up to a packet"
    assert likeness(found.samples, voice(1.0)) > 0.99
    assert np.abs(found.samples).max() == pytest.approx(np.abs(voice(1.0)).max(), rel=0.15)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_another_rate_keeps_time_and_height(clips: dict[str, Path], rate: int) -> None:
    found = read_audio(clips[".wav"], rate)
    assert len(found.samples) == rate
    assert likeness(found.samples, voice(1.0, rate=rate)) > 0.999


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = voice(0.5, 150.0), voice(0.5, 220.0)
    path = write_clip(tmp_path / "two.flac", sound=np.stack([left, right]))
    assert read_audio(path, RATE).samples == pytest.approx((left + right) / 2, abs=1e-4)


@pytest.mark.parametrize(
    ("codec", "tolerance"),
    [
        ("pcm_u8", 2e-2),
        ("pcm_s16le", 1e-4),
        ("pcm_s32le", 1e-6),
        ("pcm_f32le", 0),
        ("pcm_f64le", 0),
    ],
)
def test_full_scale_is_one_in_every_sample_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, tolerance: float
) -> None:
    monkeypatch.setitem(CODECS, ".wav", (None, codec))
    steps = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 0.25], dtype=np.float32).repeat(100)
    found = read_audio(write_clip(tmp_path / "a.wav", sound=steps), RATE).samples
    assert found == pytest.approx(steps, abs=tolerance)


def test_samples_beyond_full_scale_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CODECS, ".wav", (None, "pcm_f32le"))
    loud = np.full(800, 1.5, dtype=np.float32)
    assert read_audio(write_clip(tmp_path / "a.wav", sound=loud), RATE).samples.max() == 1.0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_that_begins_after_the_pictures_says_so(tmp_path: Path, suffix: str) -> None:
    images = [numbered(number) for number in range(25)]
    path = write_clip(tmp_path / f"late{suffix}", images, voice(0.5), sound_start=0.3)
    found = read_audio(path, RATE)
    silent = np.zeros(round((0.3 - found.start) * RATE), dtype=np.float32)  # encoder's delay
    assert 0.2 < found.start <= 0.3
    assert likeness(found.samples, np.concatenate([silent, voice(0.5)])) > 0.99


def test_a_pause_between_time_stamps_is_silence(tmp_path: Path) -> None:
    path, rate = tmp_path / "pause.mkv", RATE
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for begin in (0.0, 1.5):
            frame = av.AudioFrame.from_ndarray(voice(0.5)[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, round(begin * rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    expected = np.concatenate([voice(0.5), np.zeros(rate, np.float32), voice(0.5)])
    assert read_audio(path, rate).samples == pytest.approx(expected, abs=1e-3)
    assert read_audio(path, rate, start=0.6, end=1.4).samples == pytest.approx(np.zeros(12_800))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".mp4", ".mkv"])
def test_a_part_is_that_part_of_the_whole(tmp_path: Path, suffix: str) -> None:
    rising = np.sin(np.cumsum(np.linspace(0.02, 0.3, 4 * RATE))).astype(np.float32) * 0.5
    path = write_clip(tmp_path / f"rising{suffix}", sound=rising)
    part = read_audio(path, RATE, start=2.25, end=3.5)
    whole = read_audio(path, RATE)
    assert part.start == pytest.approx(2.25, abs=1.5e-3)  # Matroska's clock ticks in milliseconds
    assert len(part.samples) == 20_000
    assert likeness(part.samples, whole.samples[round(part.start * RATE) :]) > 0.99


def test_parts_make_the_whole(clips: dict[str, Path]) -> None:
    cuts = [0.0, 0.1, 1 / 3, 0.77, None]
    parts = [
        read_audio(clips[".wav"], RATE, start=cuts[i] or 0.0, end=cuts[i + 1]) for i in range(4)
    ]
    whole = read_audio(clips[".wav"], RATE).samples
    assert np.array_equal(np.concatenate([part.samples for part in parts]), whole)


@pytest.mark.parametrize("seconds", [0.05, 0.3, 2.0])
def test_blocks_are_the_whole_cut(clips: dict[str, Path], seconds: float) -> None:
    blocks = list(audio_blocks(clips[".mp4"], 22_050, seconds))
    whole = read_audio(clips[".mp4"], 22_050)
    assert np.array_equal(np.concatenate([block.samples for block in blocks]), whole.samples)
    assert {len(block.samples) for block in blocks[:-1]} <= {round(seconds * 22_050)}
    for before, after in pairwise(blocks):
        assert after.start == pytest.approx(before.end)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = plain_wav(tmp_path / "long.wav", 60)
    tracemalloc.start()
    count = sum(len(block.samples) for block in audio_blocks(path, RATE, 2.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60 * RATE
    assert peak < RATE * 4 * 10, "ten seconds at most, of 60"


def test_sound_that_has_no_sample_is_empty(tmp_path: Path) -> None:
    path = plain_wav(tmp_path / "none.wav", 0)
    found = read_audio(path, RATE)
    assert (len(found.samples), found.truncated) == (0, False)
    assert list(audio_blocks(path, RATE, 1.0)) == []


def test_beyond_the_end_is_nothing(clips: dict[str, Path]) -> None:
    assert len(read_audio(clips[".mp4"], RATE, start=60.0).samples) == 0


def test_a_file_without_sound_says_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "mute.mp4", [numbered(1)])
    with pytest.raises(DataError, match=r"mute\.mp4: has no audio track"):
        audio_blocks(path, RATE, 1.0)


@pytest.mark.parametrize(
    "wrong", [{"rate": 0}, {"start": -1.0}, {"start": 2.0, "end": 1.0}, {"start": float("nan")}]
)
def test_an_empty_range_is_refused(clips: dict[str, Path], wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="found"):
        read_audio(clips[".wav"], **{"rate": RATE, **wrong})


def test_a_block_needs_a_length(clips: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="seconds"):
        audio_blocks(clips[".wav"], RATE, 0.0)


def test_the_end_follows_from_samples() -> None:
    assert Audio(np.zeros(8_000, dtype=np.float32), 16_000, start=0.25).end == 0.75
