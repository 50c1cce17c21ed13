from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn_clips import voice, write_clip
from fake_extractors import recipe_of
from tricord.clips import extract as module
from tricord.clips.cache import Cache
from tricord.clips.clip import Clip
from tricord.clips.engine import Serial
from tricord.clips.estimate import Estimate
from tricord.clips.extract import Extraction, Observer, extract
from tricord.clips.failures import Failed
from tricord.errors import DataError


class Backwards(Serial):
    """The tasks in the other order, as processes may finish them."""

    def map(self, make: Any, tasks: Sequence[Any]) -> Generator[Any]:
        answers = super().map(make, tasks[::-1])
        return ((len(tasks) - 1 - number, found) for number, found in answers)


class Said(Observer):
    def __init__(self) -> None:
        self.lines: list[Any] = []

    def started(self, clips: int, media_seconds: float) -> None:
        self.lines.append(("started", clips, round(media_seconds)))

    def estimated(self, estimate: Estimate) -> None:
        self.lines.append("estimated")
        self.estimate = estimate

    def clip_done(self, done: int, clips: int, failed: Failed | None) -> None:
        self.lines.append((done, clips, failed and failed.id))


@pytest.fixture
def clips(talking: Path, tmp_path: Path) -> list[Clip]:
    """A face and a voice, a voice, and noise."""
    sound = write_clip(tmp_path / "voice.wav", (), voice(1.0))
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"noise" * 99)
    return [Clip("c", talking, "yes"), Clip("b", noise, "no"), Clip("a", sound)]


def run(clips: Sequence[Clip], extractors: dict[str, Any], **settings: Any) -> Extraction:
    return extract(clips, recipe_of(extractors), **{"engine": Serial(), **settings})


def test_clips_come_by_id_and_failures_with_their_reason(
    clips: list[Clip], extractors: dict[str, Any]
) -> None:
    found = run(clips, extractors)
    assert [clip.id for clip in found.features] == ["a", "c"]
    assert [failed.id for failed in found.failed] == ["b"]
    assert found.failed[0].path == clips[1].path
    assert found.failed[0].reason.startswith("is not audio or video")
    assert (found.frames, found.faces, found.from_cache) == (10, 10, 0)
    assert found.media_seconds == found.measured_seconds == pytest.approx(3.0, abs=0.1)
    assert found.real_time_factor == pytest.approx(found.media_seconds / found.seconds)


def test_a_clip_that_ends_before_it_begins_is_one_of_the_failures(
    talking: Path, extractors: dict[str, Any]
) -> None:
    clips = [Clip("a", talking, start=1.5, end=0.5), Clip("b", talking)]
    found = run(clips, extractors)
    assert [clip.id for clip in found.features] == ["b"]
    assert found.failed[0].reason == "clip 'a' is from 1.5 to 0.5 s, expected 0 <= start < end"


def test_neither_order_nor_cache_matters(
    clips: list[Clip], extractors: dict[str, Any], tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    plain = run(clips, extractors)
    first = run(clips, extractors, cache=cache)
    kept = run(clips[::-1], extractors, cache=cache, engine=Backwards())
    assert (first.from_cache, kept.from_cache) == (0, 2)
    assert kept.real_time_factor is None
    for other in (first, kept):
        assert other.failed == plain.failed
        for one, two in zip(plain.features, other.features, strict=True):
            assert (one.id, one.text, one.notices) == (two.id, two.text, two.notices)
            for name, track in one.tracks.items():
                np.testing.assert_array_equal(track.values, two.tracks[name].values)


class Never(Serial):
    def map(self, make: Any, tasks: Sequence[Any]) -> Generator[Any]:
        raise AssertionError("a worker was started")


def test_where_all_is_kept_no_worker_is_started(
    clips: list[Clip], extractors: dict[str, Any], tmp_path: Path
) -> None:
    cache, said = Cache(tmp_path / "cache"), Said()
    first = run(clips, extractors, cache=cache)
    again = run(clips, extractors, cache=cache, engine=Never(), observer=said)
    assert [clip.id for clip in again.features] == ["a", "c"]
    assert again.failed == first.failed
    assert (again.from_cache, again.measured_seconds) == (2, 0)
    assert said.lines == [("started", 3, 3), (1, 3, None), (2, 3, "b"), (3, 3, None)]


def test_up_to_the_first_clip_that_is_not_kept_no_worker_is_needed(
    talking: Path, extractors: dict[str, Any], tmp_path: Path
) -> None:
    class Counting(Serial):
        def map(self, make: Any, tasks: Sequence[Any]) -> Generator[Any]:
            given.extend(task.id for task in tasks)
            return super().map(make, tasks)

    given: list[str] = []
    clips, cache = many(talking), Cache(tmp_path / "cache")
    run([*clips[:2], clips[3]], extractors, cache=cache)
    found = run(clips, extractors, cache=cache, engine=Counting())
    assert sorted(given) == ["2", "3", "4"]  # workers look into the cache side by side
    assert (len(found.features), found.from_cache) == (5, 3)


def many(talking: Path, count: int = 5) -> list[Clip]:
    """Parts of one clip."""
    return [Clip(str(i), talking, "yes", start=i / 10) for i in range(count)]


def test_who_watches_is_told(clips: list[Clip], extractors: dict[str, Any]) -> None:
    said = Said()
    run(clips, extractors, observer=said)
    # those that can be opened come first
    assert said.lines == [("started", 3, 3), (1, 3, None), (2, 3, None), (3, 3, "b")]


def test_time_is_estimated_from_two_clips_after_the_first_of_a_worker(
    talking: Path, extractors: dict[str, Any]
) -> None:
    said = Said()
    run(many(talking), extractors, observer=said)
    assert said.lines.index("estimated") == 3
    assert said.estimate.bytes > 0
    assert 0 < said.estimate.seconds < 5


def test_nothing_is_estimated_where_nothing_is_measured(
    talking: Path, extractors: dict[str, Any], tmp_path: Path
) -> None:
    said = Said()
    for observer in (Observer(), said):
        run(many(talking), extractors, cache=Cache(tmp_path / "cache"), observer=observer)
    assert "estimated" not in said.lines


def test_a_full_disk_ends_it(
    talking: Path,
    extractors: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places: list[Path] = []

    def full(needed: float, where: Sequence[Path]) -> None:
        places.extend(where)
        raise DataError("full")

    monkeypatch.setattr(module, "check_room", full)
    with pytest.raises(DataError, match="full"):
        run(
            many(talking),
            extractors,
            cache=Cache(tmp_path / "cache"),
            store=tmp_path / "my.tricord",
        )
    assert places == [tmp_path / "cache", tmp_path]


def test_a_clip_may_take_ten_minutes_and_a_minute_for_each_of_its_seconds(
    talking: Path, extractors: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def processes(workers: int, limit: Any) -> Serial:
        given.append(limit)
        return Serial()

    monkeypatch.setattr(module, "Processes", processes)
    monkeypatch.setattr(module, "lengths", lambda clips: [0.0, 2.0, 1e9])
    clips = [Clip(name, talking, "yes") for name in "abc"]
    run(clips, extractors, engine=None)
    assert [given[0](clip) for clip in clips] == [600, 720, 86_400]


def test_two_clips_of_one_id_are_refused(talking: Path, extractors: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="id 'a' is that of"):
        run([Clip("a", talking, "x"), Clip("a", talking, "y")], extractors)


def test_of_no_clip_nothing_comes(extractors: dict[str, Any]) -> None:
    found = run([], extractors)
    assert (found.features, found.failed, found.frames) == ((), (), 0)


def test_a_clip_that_is_there_again_is_not_measured_again(
    talking: Path, extractors: dict[str, Any], tmp_path: Path
) -> None:
    copy = Path(shutil.copy(talking, tmp_path / "copy.mp4"))
    clips = [Clip("a", talking, "yes"), Clip("b", copy, "yes")]
    assert run(clips, extractors, cache=Cache(tmp_path / "cache")).from_cache == 1


def test_a_worker_loads_no_library_that_it_does_not_need() -> None:
    code = "import sys, tricord.clips.extract as e; assert not {'torch', 'scipy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
