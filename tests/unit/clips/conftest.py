"""A measurer with extractors that need no library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drawn_clips import FPS, face, voice, write_clip
from fake_extractors import all_three, opener, recipe_of
from tricord.clips import measure
from tricord.clips.measure import Measurer


@pytest.fixture
def extractors(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """By modality, and what is opened from now on."""
    found = all_three()
    monkeypatch.setattr(measure, "open_extractor", opener(found))
    return found


@pytest.fixture
def measurer(extractors: dict[str, Any]) -> Measurer:
    return Measurer(recipe_of(extractors))


@pytest.fixture(scope="session")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a face and a voice."""
    path = tmp_path_factory.mktemp("clips") / "talking.mp4"
    return write_clip(path, [face()] * (2 * FPS), voice(2.0))
