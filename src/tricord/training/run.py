"""One seed of any model: trained, or loaded from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tricord.baseline_config import BaselineConfig
from tricord.clips.recipe import KEY, Recipe
from tricord.config import CommonConfig, RunConfig
from tricord.data.schema import Dataset
from tricord.device import CPU, forked
from tricord.errors import ConfigError, ModelError
from tricord.features.text import Tick
from tricord.models import registry
from tricord.training.baseline import load_baseline, train_baseline
from tricord.training.checkpoint import read_json
from tricord.training.cmc import TrainedCMC, load_cmc, train_cmc
from tricord.training.folder import CHECKPOINT_MINUTES, HISTORY_FILE, MODEL_FILE
from tricord.training.loop import Observer
from tricord.training.session import Session
from tricord.training.trained import TrainedModel, read_calibration


def train_one(
    data: Dataset,
    config: CommonConfig,
    *,
    name: str,
    seed: int,
    folder: Path | None = None,
    pretrained: TrainedModel | None = None,
    observer: Observer | None = None,
    tick: Tick | None = None,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    device: torch.device = CPU,
) -> TrainedModel:
    """All stages of a model with one seed, on train and valid alone.

    folder: where the results of finished stages, the best state and, every
    ``checkpoint_minutes``, all that is needed to continue are kept; what is found there is
    continued from. pretrained: take stage 1 of CMC from this model. device: what it computes on;
    the result is on the processor. The global random generators are left as they were.
    """
    watched: dict[str, Any] = {"folder": folder, "observer": observer, "tick": tick}
    watched |= {"checkpoint_minutes": checkpoint_minutes, "device": device}
    if isinstance(config, RunConfig):
        if pretrained is not None and not isinstance(pretrained, TrainedCMC):
            raise ConfigError(f"stage 1 can only be taken from CMC, not from {pretrained.name!r}")
        return train_cmc(Session(data, config, name=name, seed=seed, **watched), pretrained)
    if pretrained is not None:
        raise ConfigError(f"model {name!r} has no stage 1 that could be taken from another")
    assert isinstance(config, BaselineConfig)
    return train_baseline(Session(data, config, name=name, seed=seed, **watched))


def load_trained(folder: Path) -> TrainedModel:
    """What training wrote; raises ModelError where the folder is no complete model."""
    if not (folder / MODEL_FILE).is_file():
        raise ModelError(f"{folder}: no {MODEL_FILE} found, a trained model's folder expected")
    about = read_json(folder / MODEL_FILE)
    try:
        config = type(registry.get(about["name"]).config("tiny")).of(about["config"])
        known = {key: about[key] for key in ("name", "seed", "widths", "versions")}
        known |= {key: about["data"][key] for key in ("fingerprint", "simulated")}
        known["recipe"] = None if KEY not in about else Recipe.model_validate(about[KEY])
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{folder / MODEL_FILE}: no description of a model ({reason})") from None
    known["history"] = read_json(folder / HISTORY_FILE)
    known["calibration"] = read_calibration(folder)
    try:
        with forked():  # fresh weights are drawn and overwritten
            if isinstance(config, RunConfig):
                return load_cmc(folder, config, known)
            assert isinstance(config, BaselineConfig)
            return load_baseline(folder, config, known)
    except ModelError as error:
        message = str(error)
        raise ModelError(message if str(folder) in message else f"{folder}: {message}") from None
