"""Recipe: all that decides what a clip becomes, kept in the data set and in every model of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tricord.errors import DataError

KEY = "clips"  # where `Dataset.recipe` holds it
TOOLS = "tools"  # where a description holds the versions of its libraries


@dataclass(frozen=True)
class Differences:
    """How another recipe differs, one line each: modality, key, here and there.

    settings: the numbers mean something else. tools: only a library's version differs, the numbers
    may differ a little.
    """

    settings: tuple[str, ...]
    tools: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.settings or self.tools)


class Part(BaseModel):
    """One modality. extractor: its name, as the registry of the modality knows it.

    options: what was asked of the registry beside the name (rate, face, ...).
    description: `describe()` of the extractor: columns, settings, versions of its tools.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    extractor: str
    options: dict[str, Any] = {}
    description: dict[str, Any]


class Recipe(BaseModel):
    """A small versioned object. name: of the recipe it began as. None: modality not measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    name: str
    text: Part | None = None
    audio: Part | None = None
    vision: Part | None = None

    @property
    def parts(self) -> dict[str, Part]:
        """Modality -> part, of those that are measured, text first."""
        found = {"text": self.text, "audio": self.audio, "vision": self.vision}
        return {name: part for name, part in found.items() if part is not None}

    def key(self) -> str:
        """SHA-256 of all that decides the numbers; the name does not."""
        content = {name: part.model_dump(mode="json") for name, part in self.parts.items()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def differences(self, other: Recipe) -> Differences:
        """What would be measured otherwise by the other one; their names do not count."""
        settings: list[str] = []
        tools: list[str] = []
        for name in dict.fromkeys((*self.parts, *other.parts)):
            for key, line in _differing(self.parts.get(name), other.parts.get(name)):
                found = tools if key.startswith(f"{TOOLS}.") else settings
                found.append(f"{name}: {line}")
        return Differences(tuple(settings), tuple(tools))


def from_recipe(recipe: Mapping[str, Any], where: str = "the data") -> Recipe:
    """The recipe that a data set's or a model's `recipe` holds.

    where: for messages. Raises DataError where there is none, or not one that is known here.
    """
    content = recipe.get(KEY)
    if content is None:
        raise DataError(f"{where}: key 'recipe.{KEY}' not found; it was not extracted from clips")
    if isinstance(content, Mapping) and content.get("version", 1) != 1:
        raise DataError(
            f"{where}: key 'recipe.{KEY}.version': {str(content['version'])[:20]} found, "
            "expected 1; was it written by a newer tricord?"
        )
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, ("recipe", KEY, *first["loc"])))[:80]
        raise DataError(f"{where}: key '{key}': {first['msg'].splitlines()[0][:100]}") from None


def _differing(here: Part | None, there: Part | None) -> Iterator[tuple[str, str]]:
    """(key, line) of each thing that differs between two parts of one modality."""
    if here is None or there is None:
        yield "extractor", f"{_name(here)} here, {_name(there)} there"
    elif here.extractor != there.extractor:
        yield "extractor", f"extractor {here.extractor!r} here, {there.extractor!r} there"
    else:  # options do not count: what they decide is in the description
        one, other = dict(_leaves(here.description)), dict(_leaves(there.description))
        for key in dict.fromkeys((*one, *other)):
            if one.get(key) != other.get(key):
                yield key, f"{key} {_shown(one.get(key), other.get(key))}"


def _name(part: Part | None) -> str:
    return "not measured" if part is None else repr(part.extractor)


def _leaves(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of all that is in nested mappings."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _shown(here: Any, there: Any) -> str:
    """Both values; of long lists where they first differ."""
    if isinstance(here, list) and isinstance(there, list):
        pairs = zip(here, there, strict=False)
        place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(here), len(there)))
        one, other = (
            repr(items[place]) if place < len(items) else "none" for items in (here, there)
        )
        return f"of {len(here)} here, {len(there)} there; number {place + 1} is {one} and {other}"
    one, other = ("none" if value is None else str(value)[:80] for value in (here, there))
    return f"{one} here, {other} there"
