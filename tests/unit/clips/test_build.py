from __future__ import annotations

from typing import Any

import pytest

from tricord.clips import build as module
from tricord.clips.build import build, names
from tricord.clips.recipe import Recipe
from tricord.errors import ConfigError
from tricord.media.source import decoders


class Named:
    """An extractor that is described by what it was asked for."""

    def __init__(self, *asked: Any) -> None:
        self.asked = asked

    def describe(self) -> dict[str, Any]:
        return {"columns": ("a",), "asked": self.asked}


@pytest.fixture
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_extractor", Named)


def extractors(recipe: Recipe) -> dict[str, str]:
    return {name: part.extractor for name, part in recipe.parts.items()}


@pytest.mark.usefixtures("_named")
def test_light_is_the_recipe_unless_told() -> None:
    recipe = build()
    assert recipe.name == "light"
    assert extractors(recipe) == {"text": "minilm", "audio": "librosa-33", "vision": "light"}
    assert recipe.parts["vision"].options == {"rate": 5.0, "face": "largest"}
    assert recipe.parts["text"].options == {"max_length": 50}


@pytest.mark.usefixtures("_named")
def test_what_is_stored_is_plain_and_what_the_extractor_says() -> None:
    part = build(download=True).parts["vision"]
    assert part.description == {
        "columns": ["a"],
        "asked": ["vision", "light", {"rate": 5.0, "face": "largest"}, True],
        "tools": decoders(),
    }
    assert Recipe.model_validate_json(build().model_dump_json()) == build()


@pytest.mark.usefixtures("_named")
def test_each_part_can_be_another() -> None:
    recipe = build("facemesh", text="none", audio="logmel-80", rate=10, face="tracked")
    assert extractors(recipe) == {"audio": "logmel-80", "vision": "facemesh"}
    assert recipe.parts["vision"].options == {"rate": 10.0, "face": "tracked"}
    assert recipe.name == "facemesh"


@pytest.mark.usefixtures("_named")
@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("heavy", {}, "no recipe 'heavy': there are light, facemesh, sound"),
        ("sound", {"text": "none", "audio": "none"}, "are left out"),
        ("sound", {"rate": 5.0}, "leaves out"),
        ("light", {"vision": "none", "face": "largest"}, "leaves out"),
    ],
)
def test_what_is_no_recipe_is_said(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(name, **settings)


@pytest.mark.parametrize("name", names())
def test_an_unknown_extractor_is_said(name: str) -> None:
    for kind in ("text", "audio", "vision"):
        others = dict.fromkeys({"text", "audio", "vision"} - {kind}, "none")
        with pytest.raises(ConfigError, match=f"no {kind} extractor 'x'"):
            build(name, **others, **{kind: "x"})


def test_real_extractors_are_described() -> None:
    pytest.importorskip("librosa")
    part = build("sound", text="none").parts["audio"]
    assert len(part.description["columns"]) == 33
    assert {"librosa", "av", "ffmpeg"} <= part.description["tools"].keys()


@pytest.mark.usefixtures("_named")
def test_what_decodes_is_of_the_recipe_but_not_of_its_words() -> None:
    parts = build().parts
    assert {name for name, part in parts.items() if "tools" in part.description} == {
        "audio",
        "vision",
    }
    assert all(decoders().values())
