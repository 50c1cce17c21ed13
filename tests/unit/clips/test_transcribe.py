"""Transcripts written beside clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn_clips import write_clip
from tricord.clips.transcribe import to_srt, transcribe
from tricord.errors import ConfigError
from tricord.words.recognise import Recogniser
from tricord.words.transcripts import Segment, Transcript, of_segments, read

SECOND = np.zeros(16_000, dtype=np.float32)


def hearing(*segments: Segment) -> Recogniser:
    return Recogniser("made up", 1, lambda samples: list(segments))


def clip(folder: Path, name: str) -> Path:
    return write_clip(folder / name, [], sound=SECOND)


def test_what_is_heard_stands_beside_the_clip_and_is_read_from_there(tmp_path: Path) -> None:
    path = clip(tmp_path, "a.wav")
    (heard,) = transcribe([path], hearing(Segment(0.25, 0.75, "so\ngood"), Segment(0.0, 0.2, "Oh")))
    assert heard.written == tmp_path / "a.srt"
    found = read(tmp_path / "a.srt")
    assert found.text == "Oh so good"
    assert found.segments == (Segment(0.0, 0.2, "Oh"), Segment(0.25, 0.75, "so good"))


def test_a_clip_with_a_transcript_is_left_alone_and_one_without_words_gets_none(
    tmp_path: Path,
) -> None:
    known, silent, broken = clip(tmp_path, "a.wav"), clip(tmp_path, "b.wav"), tmp_path / "c.wav"
    (tmp_path / "a.txt").write_text("mine")
    broken.write_bytes(b"no sound")
    ticks: list[tuple[int, int]] = []
    found = transcribe([known, silent, broken], hearing(), lambda *t: ticks.append(t))
    assert [heard.written for heard in found] == [None] * 3
    assert found[0].why_not == "a.txt is there"
    assert found[1].why_not == "no words were heard"
    assert found[2].why_not.startswith("is not audio or video")
    assert [heard.failed for heard in found] == [False, False, True]
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".txt", ".wav", ".wav", ".wav"]
    assert ticks == [(1, 3), (2, 3), (3, 3)]


def test_what_breaks_on_one_clip_is_its_failure_and_the_others_go_on(tmp_path: Path) -> None:
    def listen(samples: np.ndarray) -> list[Segment]:
        if len(samples) > 20_000:
            raise RuntimeError("a tensor\nof the wrong size")
        return [Segment(0.0, 0.5, "yes")]

    long = write_clip(tmp_path / "a.wav", [], sound=np.zeros(32_000, dtype=np.float32))
    first, second = transcribe([long, clip(tmp_path, "b.wav")], Recogniser("made up", 1, listen))
    assert (first.failed, first.why_not) == (True, "RuntimeError: a tensor")
    assert (second.failed, second.text) == (False, "yes")


def test_a_recogniser_that_cannot_be_used_ends_it(tmp_path: Path) -> None:
    def listen(samples: np.ndarray) -> list[Segment]:
        raise ConfigError("no such model")

    with pytest.raises(ConfigError, match="no such model"):
        transcribe([clip(tmp_path, "a.wav")], Recogniser("made up", 1, listen))


def test_times_count_from_the_beginning_of_the_file() -> None:
    text = to_srt(Transcript("a", (Segment(3599.9996, 3661.5, "a"),)), begin=0.5)
    assert text == "1\n01:00:00,500 --> 01:01:02,000\na\n"


WORD = st.from_regex(r"[a-z]{1,9}", fullmatch=True)


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**5), WORD), max_size=5))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, cues: list[tuple[int, int, str]]
) -> None:
    said = of_segments([Segment(a / 1000, (a + n) / 1000, text) for a, n, text in cues])
    path = tmp_path_factory.mktemp("srt") / "a.srt"
    path.write_text(to_srt(said), encoding="utf-8")
    found = read(path)
    assert sorted(found.segments, key=repr) == sorted(said.segments, key=repr)
