"""Named recipes, and opening the extractors that a recipe names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from tricord.clips.recipe import TOOLS, Part, Recipe
from tricord.errors import ConfigError

if TYPE_CHECKING:
    from tricord.sight.extractor import Extractor as Sight
    from tricord.sound.extractor import Extractor as Sound
    from tricord.words.encoder import Extractor as Words

    Opened: TypeAlias = Words | Sound | Sight

NONE = "none"  # a modality that is left out
FACE = "largest"
RECIPES: Mapping[str, Mapping[str, str]] = {
    "light": {"text": "minilm", "audio": "librosa-33", "vision": "light"},
    "facemesh": {"text": "minilm", "audio": "librosa-33", "vision": "facemesh"},
    "sound": {"text": "minilm", "audio": "librosa-33", "vision": NONE},
}


def names() -> tuple[str, ...]:
    """Names that `build` knows."""
    return tuple(RECIPES)


def build(
    name: str = "light",
    *,
    text: str | None = None,
    audio: str | None = None,
    vision: str | None = None,
    rate: float | None = None,
    face: str | None = None,
    download: bool = False,
) -> Recipe:
    """A recipe by its name, with what was asked for in place of its own.

    text, audio, vision: extractors as their registries name them; None: the recipe's own, "none":
    left out. rate: pictures a second. face: which of several (largest, central, tracked).
    download: allow fetching models that are not on this machine.

    Raises ConfigError for an unknown name or setting, where a library is missing, and where
    nothing would be measured.
    """
    if name not in RECIPES:
        raise ConfigError(f"no recipe {name!r}: there are {', '.join(RECIPES)}")
    asked = {"text": text, "audio": audio, "vision": vision}
    chosen = {kind: asked[kind] or own for kind, own in RECIPES[name].items()}
    chosen = {kind: extractor for kind, extractor in chosen.items() if extractor != NONE}
    if not chosen:
        raise ConfigError(f"recipe {name!r}: text, audio and vision are left out, expected one")
    if "vision" not in chosen and (rate is not None or face is not None):
        raise ConfigError("rate and face are of vision, which this recipe leaves out")
    from tricord.sight.registry import RATE
    from tricord.words.registry import MAX_LENGTH

    options: dict[str, dict[str, Any]] = {
        "text": {"max_length": MAX_LENGTH},
        "audio": {},
        "vision": {"rate": RATE if rate is None else float(rate), "face": face or FACE},
    }
    parts = {
        kind: described(
            kind, extractor, options[kind], open_extractor(kind, extractor, options[kind], download)
        )
        # Text last: a wrong name or rate is then said before a language model is loaded.
        for kind, extractor in reversed(chosen.items())
    }
    return Recipe(name=name, **parts)


def described(modality: str, extractor: str, options: Mapping[str, Any], opened: Opened) -> Part:
    """The part of a recipe that an open extractor is; with what decodes files for it."""
    from tricord.media.source import decoders

    description = json.loads(json.dumps(opened.describe()))  # tuples become lists, as when stored
    if modality != "text":
        description[TOOLS] = {**description.get(TOOLS, {}), **decoders()}
    return Part(extractor=extractor, options=dict(options), description=description)


def open_extractor(
    modality: str, name: str, options: Mapping[str, Any], download: bool = False
) -> Opened:
    """An extractor, ready to be used.

    Raises ConfigError where the name or an option is unknown, a library is missing, or a model
    is not on this machine and may not be fetched.
    """
    if modality == "text":
        from tricord.words import registry as words

        return words.get(name, **options, download=download)
    if modality == "audio":
        from tricord.sound import registry as sound

        return sound.get(name, **options, download=download)
    from tricord.sight import registry as sight

    return sight.get(name, **options, download=download)
