from __future__ import annotations

from typing import Any

import pytest

from tricord.clips.recipe import KEY, Part, Recipe, from_recipe
from tricord.errors import DataError


def part(extractor: str = "logmel", **changes: Any) -> Part:
    description = {
        "version": 1,
        "columns": ["a", "b", "c"],
        "settings": {"hop": 512, "window": {"length": 2048}},
        "tools": {"librosa": "0.11.0"},
    }
    return Part(extractor=extractor, description=description | changes)


def recipe(**parts: Part) -> Recipe:
    return Recipe(name="light", **parts)


def test_a_recipe_does_not_differ_from_itself_by_another_name() -> None:
    one = recipe(audio=part())
    other = one.model_copy(update={"name": "other"})
    assert not one.differences(other)
    assert one.key() == other.key()


def test_what_is_as_it_was_after_json() -> None:
    one = recipe(text=part("minilm"), audio=part())
    assert from_recipe({KEY: one.model_dump(mode="json")}) == one


def test_another_version_of_a_tool_is_less_than_another_setting() -> None:
    found = recipe(audio=part()).differences(recipe(audio=part(tools={"librosa": "0.12.0"})))
    assert found.tools == ("audio: tools.librosa 0.11.0 here, 0.12.0 there",)
    assert found.settings == ()
    assert found


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"version": 2}, "version 1 here, 2 there"),
        (
            {"settings": {"hop": 512, "window": {"length": 1024}}},
            "settings.window.length 2048 here, 1024 there",
        ),
        (
            {"settings": {"hop": 512, "window": {"length": 2048}, "htk": True}},
            "settings.htk none here, True there",
        ),
        (
            {"columns": ["a", "x", "c"]},
            "columns of 3 here, 3 there; number 2 is 'b' and 'x'",
        ),
        ({"columns": ["a", "b"]}, "columns of 3 here, 2 there; number 3 is 'c' and none"),
    ],
)
def test_it_says_what_differs(changes: dict[str, Any], line: str) -> None:
    found = recipe(audio=part()).differences(recipe(audio=part(**changes)))
    assert found.settings == (f"audio: {line}",)
    assert found.tools == ()


def test_other_extractors_and_missing_ones_are_named() -> None:
    one = recipe(text=part("minilm"), audio=part())
    other = recipe(audio=part("librosa-33"), vision=part("light"))
    assert one.differences(other).settings == (
        "text: 'minilm' here, not measured there",
        "audio: extractor 'logmel' here, 'librosa-33' there",
        "vision: not measured here, 'light' there",
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "key 'recipe.clips' not found"),
        ({KEY: {"version": 2, "name": "x"}}, "key 'recipe.clips.version': 2 found"),
        ({KEY: {"version": 1}}, "key 'recipe.clips.name': Field required"),
        ({KEY: "light"}, "key 'recipe.clips'"),
        ({KEY: {"name": "x", "audio": {"extractor": "y"}}}, "recipe.clips.audio.description"),
    ],
)
def test_what_is_no_recipe_is_said(content: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        from_recipe(content, "my-model")
    assert str(caught.value).startswith("my-model: ")
    assert said in str(caught.value)
