"""Small runs of a baseline's own stage, without the harness around it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import tiny_data
from tricord.baseline_config import BaselineConfig
from tricord.data.batching import TensorTable
from tricord.data.schema import Dataset
from tricord.features.text import TextSource
from tricord.models import registry
from tricord.models.baselines.base import Baseline
from tricord.training.loaders import Loaders
from tricord.training.loop import Stage
from tricord.types import Batch


def settings(name: str, changes: Mapping[str, Any] | None = None) -> BaselineConfig:
    """A model's settings for the tiny preset."""
    config = registry.get(name).config("tiny").with_settings(changes or {})
    assert isinstance(config, BaselineConfig)
    return config


def build(name: str, changes: Mapping[str, Any] | None = None, seed: int = 0) -> Any:
    """The tiny model with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = registry.get(name).build(settings(name, changes), tiny_data.WIDTHS)
    assert isinstance(model, Baseline)
    return model


def batch_of(model: Baseline, rows: int, shortest: int = 1) -> Batch:
    """Clips of the tiny table as the model reads them; shortest 0: some modalities are absent."""
    table = tiny_data.table(rows=rows, shortest=shortest)
    sequences = model.inputs(table, table.sequences)
    return TensorTable(table, model.config.labels, sequences=sequences).fetch(range(rows))


def loaders(model: Baseline, data: Dataset | None = None, seed: int = 1) -> Loaders:
    """Train and valid of a data set, the tiny one unless told."""
    data = tiny_data.dataset() if data is None else data
    made = Loaders(data, model.config, TextSource(model.config.text), seed, None)
    made.inputs = model.inputs
    return made


def first_stage(model: Baseline, data: Dataset | None = None) -> Any:
    """The first of the model's stages."""
    return next(iter(model.stages(loaders(model, data))))


class Kept:
    """A checkpoint in memory: every epoch's state; continues from the last of those given."""

    def __init__(self, states: Sequence[Mapping[str, Any]] = ()) -> None:
        self.states = list(states)

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep it as it is now."""
        self.states.append(copy.deepcopy(dict(state)))

    def load(self) -> Mapping[str, Any] | None:
        """The last one."""
        return copy.deepcopy(self.states[-1]) if self.states else None


def after(stage: Stage) -> Mapping[str, Tensor]:
    """The model's state as it is now."""
    model: Any = stage.members()["model"]
    return {name: value.clone() for name, value in model.state_dict().items()}
