"""tricord: multimodal emotion recognition with calibrated consensus (CMC).

The public names; each is imported when it is first used, so that ``import tricord`` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tricord._version import __version__

if TYPE_CHECKING:
    from tricord import data, evaluation, models, nn, plgm, presets
    from tricord.api import Run, load_model, train
    from tricord.config import RunConfig
    from tricord.data.load import load
    from tricord.errors import TricordError
    from tricord.labels import LabelScheme

_NAMES = {
    "LabelScheme": "tricord.labels",
    "Run": "tricord.api",
    "RunConfig": "tricord.config",
    "TricordError": "tricord.errors",
    "load": "tricord.data.load",
    "load_model": "tricord.api",
    "train": "tricord.api",
}
_MODULES = ("data", "evaluation", "models", "nn", "plgm", "presets")

__all__ = [
    "LabelScheme",
    "Run",
    "RunConfig",
    "TricordError",
    "__version__",
    "data",
    "evaluation",
    "load",
    "load_model",
    "models",
    "nn",
    "plgm",
    "presets",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"tricord.{name}")
    raise AttributeError(f"module 'tricord' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
