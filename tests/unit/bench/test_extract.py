"""Measuring clips: drawn clips, one core, and what is not installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_extractors import all_three, opener, recipe_of
from tricord.bench import extract
from tricord.bench.drawing import FPS, HEIGHT, WIDTH, draw_clip
from tricord.bench.process import Found, Tick
from tricord.bench.tables import table_of
from tricord.clips import measure
from tricord.clips.recipe import Recipe
from tricord.errors import ConfigError
from tricord.media.audio import read_audio
from tricord.media.info import probe
from tricord.media.video import frames


def measure_here(work: Callable[..., Found], *arguments: object, threads: int, tick: Tick) -> Found:
    assert threads == 1
    return {**work(*arguments, tick), "peak_rss_mib": 1.0}


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, with extractors that need no library; facemesh is not installed."""
    extractors = all_three()

    def build(name: str) -> Recipe:
        if name == "facemesh":
            raise ConfigError("needs mediapipe")
        return recipe_of(extractors)

    monkeypatch.setattr(extract, "measure_apart", measure_here)
    monkeypatch.setattr(extract, "one_core", lambda: None)
    monkeypatch.setattr(extract, "build", build)
    monkeypatch.setattr(measure, "open_extractor", opener(extractors))


@pytest.mark.usefixtures("_here")
def test_each_recipe_has_its_speed() -> None:
    said: list[str] = []
    found = extract.measure_extract(quick=True, watch=lambda what, done, total: said.append(what))
    assert list(found["recipes"]) == ["light", "sound"]
    assert found["left_out"] == {"facemesh": "needs mediapipe"}
    for recipe in found["recipes"].values():
        assert recipe["media_seconds"] == pytest.approx(4, abs=0.2)
        assert recipe["real_time_factor"] == recipe["media_seconds"] / recipe["seconds"]
        assert recipe["cpu_seconds"] > 0
        assert recipe["clips_per_s"] == 2 / recipe["seconds"]
        assert list(recipe["parts"]) == ["opening", "text", "audio", "vision"]
        assert sum(recipe["parts"].values()) == pytest.approx(recipe["seconds"])
    assert said[0] == "drawing the clips"
    table = table_of(found)
    assert [row[0] for row in table.rows] == ["light", "sound"]
    assert any("SIMULATED" in note for note in table.notes)
    assert any("needs mediapipe" in note for note in table.notes)


@pytest.mark.usefixtures("_here")
def test_where_nothing_can_be_measured_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "RECIPES", {"facemesh": {}})
    with pytest.raises(ConfigError, match="no recipe can be measured: needs mediapipe"):
        extract.measure_extract(quick=True, watch=lambda *_: None)


def test_drawn_clips_are_what_they_are_said_to_be(tmp_path: Path) -> None:
    path = draw_clip(tmp_path / "a.mp4", 1.0, 0)
    info = probe(path)
    assert info.duration == pytest.approx(1.0, abs=0.1)
    assert info.video is not None
    assert (info.video.width, info.video.height, info.video.rate) == (WIDTH, HEIGHT, FPS)
    assert np.abs(read_audio(path, 16_000).samples).max() > 0.1


def test_their_faces_are_found(tmp_path: Path) -> None:
    cv2: Any = pytest.importorskip("cv2")
    path = draw_clip(tmp_path / "a.mp4", 1.0, 0)
    finder = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_alt2.xml")
    for frame in frames(path, 5):
        grey = cv2.resize(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), (427, 240))
        assert len(finder.detectMultiScale(grey, 1.15, 4)) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no process")
def test_one_core_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[set[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cores: bound.append(cores))
    extract.one_core()
    assert [len(cores) for cores in bound] == [1]
