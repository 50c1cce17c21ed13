"""One seed of a baseline: its stages one after the other, and the trained result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from tricord.baseline_config import BaselineConfig
from tricord.features.text import TEXT
from tricord.models import registry
from tricord.models.baselines.base import Baseline, BaselineStage
from tricord.models.released import load
from tricord.training.checkpoint import generators, load_tree, restore_generators, save_tree
from tricord.training.folder import CHECKPOINT_FILE, STAGES_FILE, WEIGHTS_FILE
from tricord.training.session import Session
from tricord.training.trained import History, TrainedModel, empty_language


def train_baseline(session: Session[BaselineConfig]) -> TrainedModel:
    """All stages of the model that the session names."""
    config, folder = session.config, session.folder
    with session.random():
        model = build(session.name, config, session.widths).to(session.device)
        session.loaders.modalities = tuple(model.widths)
        session.loaders.inputs = model.inputs
        session.loaders.table("train", tokens=config.text.finetune)  # complains early
        if config.text.finetune and TEXT in model.widths:
            session.finetune_language(model)
        done: dict[str, Any] = {"history": {}}
        if folder is not None and (folder / STAGES_FILE).is_file():
            done = load_tree(folder / STAGES_FILE)
            load(model, done["model"])
        history, on_disk = _run_stages(session, model, done)
        trained = TrainedModel(
            model=model.cpu().eval(), history=history, **session.facts(model.widths)
        )
    session.close(trained, weights=not on_disk)
    if folder is not None:
        (folder / STAGES_FILE).unlink(missing_ok=True)
    return trained


def _run_stages(
    session: Session[BaselineConfig], model: Baseline, done: Mapping[str, Any]
) -> tuple[History, bool]:
    """(history of each stage, whether the folder holds the last one's best state)."""
    history = dict(done["history"])
    folder = session.folder
    on_disk = False
    for stage in model.stages(session.loaders, None if folder is None else folder / WEIGHTS_FILE):
        if stage.name in done["history"]:
            restore_generators(done["generators"])  # what building this stage drew is undone
            continue
        history[stage.name] = session.fit(stage)
        on_disk = isinstance(stage, BaselineStage) and stage.best.on_disk
        if folder is not None:
            state = {"history": history, "model": model.state_dict(), "generators": generators()}
            save_tree(folder / STAGES_FILE, state)
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    return history, on_disk


def build(name: str, config: BaselineConfig, widths: Mapping[str, int]) -> Baseline:
    """The model of this name with fresh weights."""
    model = registry.get(name).build(config, widths)
    assert isinstance(model, Baseline)
    return model


def load_baseline(folder: Path, config: BaselineConfig, known: Mapping[str, Any]) -> TrainedModel:
    """What `TrainedModel.complete` wrote; known: the fields that model.json gives."""
    model = build(known["name"], config, known["widths"])
    if TEXT in model.widths:
        model.language = nn.ModuleDict(empty_language(config))
    load(model, load_tree(folder / WEIGHTS_FILE))
    return TrainedModel(config=config, model=model.eval(), **known)
