"""Named variants of CMC: settings, not copies (section IV-C, Tables V and VII), and our own method.

The paper describes the ablations in a line each; these settings are our reading of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tricord.config import RunConfig
from tricord.errors import ConfigError
from tricord.presets import METHODS

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "cmc": {},
    "cmc-variant": {  # Fig. 3: only MCR trains, no PFM, single task
        "finetune.train": "router_only",
        "finetune.fusion": "none",
        "finetune.tasks": "single",
    },
    "cmc-gt": {"pretrain.labels": "ground_truth"},  # Table VII
    "cmc-wo-plgm": {"pretrain.labels": "multimodal"},
    "cmc-wo-pfm": {"finetune.fusion": "none"},
    "cmc-wo-mcr": {"finetune.router": "mean"},
    "cmc-single-task": {"finetune.tasks": "single"},
    "cmc-single-task-wo-pfm": {"finetune.tasks": "single", "finetune.fusion": "none"},
    "cmc-released": {},  # and every option as in the released implementation
    "tricord": METHODS["tricord"],
}


def configure(config: RunConfig, model: str) -> RunConfig:
    """The settings of a named model; raises ConfigError with the names there are."""
    if model not in VARIANTS:
        raise ConfigError(f"model {model!r} does not exist; there is: {', '.join(VARIANTS)}")
    config = config.with_settings(VARIANTS[model])
    return config.released() if model == "cmc-released" else config
