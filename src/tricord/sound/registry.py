"""Every audio extractor by its name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

from tricord.errors import ConfigError
from tricord.sound import egemaps, librosa33, logmel
from tricord.sound.extractor import Extractor, LicenceWarning

_PREFIX = "transformers:"
_MAKE: Mapping[str, Callable[[], Extractor]] = {
    "librosa-33": librosa33.released,
    "librosa-33-logf0": librosa33.with_log_f0,
    "logmel-80": logmel.extractor,
    "egemaps-25": egemaps.extractor,
}


def names() -> tuple[str, ...]:
    """Names that `get` knows; NAME stands for a model's name or folder."""
    return (*_MAKE, f"{_PREFIX}NAME")


def get(name: str, *, download: bool = False) -> Extractor:
    """The extractor of this name.

    download: allow fetching a model of `transformers:NAME` that is not on this machine.
    Warns with `LicenceWarning` where its `notice` restricts what it may be used for. Raises
    ConfigError for an unknown name, a library that is not installed, or a model that cannot be
    loaded.
    """
    if name.startswith(_PREFIX) and name != _PREFIX:
        from tricord.sound import speech  # loads torch

        return speech.extractor(name.removeprefix(_PREFIX), download=download)
    if name not in _MAKE:
        raise ConfigError(f"no audio extractor {name!r}: there are {', '.join(names())}")
    extractor = _MAKE[name]()
    if extractor.notice:
        warnings.warn(extractor.notice, LicenceWarning, stacklevel=2)
    return extractor
