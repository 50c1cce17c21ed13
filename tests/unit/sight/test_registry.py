"""Vision extractors by name."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest

from tiny_vit import make_folder
from tricord.errors import ConfigError
from tricord.sight import get, names


@pytest.mark.parametrize("name", ["Light", "transformers:", ""])
def test_an_unknown_name_lists_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no vision extractor.*light, facemesh, transformers:"):
        get(name)


def test_names() -> None:
    assert names() == ("light", "facemesh", "transformers:NAME")


def test_what_is_asked_for_is_in_the_description() -> None:
    described = get("light", rate=10, face="central").describe()
    assert (described["name"], described["rate"]) == ("light", 10)
    assert described["settings"]["face"] == "central"
    assert get("light").describe()["rate"] == 5
    assert get("light").describe()["settings"]["face"] == "largest"


@pytest.mark.parametrize("name", ["light", "facemesh", "transformers:nothing"])
@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, 241])
def test_a_rate_that_no_video_has_is_refused(name: str, rate: float) -> None:
    with pytest.raises(ConfigError, match=r"rate .* found, expected pictures a second up to 240"):
        get(name, rate=rate)


@pytest.mark.parametrize("name", ["light", "facemesh", "transformers:nothing"])
def test_another_face_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"face 'left' found.*largest, central, tracked"):
        get(name, face="left")


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'light' needs opencv.*tricord\[clips\]"):
        get("light")
    with pytest.raises(ConfigError, match=r"'facemesh' needs mediapipe.*tricord\[facemesh\]"):
        get("facemesh")


def test_an_image_encoder_by_its_folder(tmp_path: Path) -> None:
    extractor = get(f"transformers:{make_folder(tmp_path / 'vit')}", rate=2, face="tracked")
    assert extractor.rate == 2
    assert extractor.describe()["settings"]["face"] == "tracked"
