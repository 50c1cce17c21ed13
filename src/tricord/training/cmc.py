"""One seed of CMC: both stages, the trained result, and what its folder holds more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from tricord.config import RunConfig
from tricord.errors import ConfigError, DataError, ModelError
from tricord.models.cmc import CMC
from tricord.models.released import load
from tricord.training.checkpoint import generators, load_tree, restore_generators, save_tree
from tricord.training.crossfit import refined_labels
from tricord.training.finetune import FinetuneStage
from tricord.training.folder import (
    BEST_FILE,
    CHECKPOINT_FILE,
    CROSSFIT_FILE,
    STAGE1_FILE,
    WEIGHTS_FILE,
)
from tricord.training.loaders import Loaders
from tricord.training.pretrain import Pretrained, PretrainStage, stage1_model, start_from
from tricord.training.session import Session
from tricord.training.trained import TrainedModel, empty_language


@dataclass
class TrainedCMC(TrainedModel):
    """CMC with all that is needed to explain it.

    model: CMC after stage 2. stage1: CMC whose unimodal models are those of stage 1, votes
    averaged: the single-modality rows of every table. pretrained: labels and states of stage 1.
    """

    config: RunConfig
    model: CMC
    stage1: CMC
    pretrained: Pretrained

    def save(self, folder: Path) -> None:
        """Weights and JSON; a frozen language model is named, not copied."""
        save_stage1(folder / STAGE1_FILE, self.pretrained, self.history["pretrain"])
        self.complete(folder)

    def about(self) -> dict[str, Any]:
        """What the model is, and what became of the labels."""
        return {
            **super().about(),
            "stage1_epochs": dict(self.pretrained.epochs),
            "labels_moved": dict(self.pretrained.moved),
        }


def train_cmc(session: Session[RunConfig], pretrained: TrainedCMC | None = None) -> TrainedCMC:
    """Both stages; pretrained: take stage 1 from this model."""
    config, loaders, folder = session.config, session.loaders, session.folder
    if pretrained is not None:
        _check_stage1(pretrained, config, session.fingerprint)
    loaders.table("train", tokens=config.text.finetune)  # complains before anything is built
    both = config.text.finetune and config.pretrain.labels == "ground_truth"  # fidelity 8
    with session.random():
        model = CMC.from_config(config, session.widths).to(session.device)
        if both:
            session.finetune_language(model)
        result, history = _stage1(session, model, pretrained, tokens=both)
        if config.text.finetune and not both:  # stage 1 had frozen features
            session.finetune_language(model)
        start_from(model, result)
        train, valid = loaders.of(config.finetune.batch_size, tokens=config.text.finetune)
        stage = FinetuneStage(
            model,
            train,
            valid,
            config,
            labels=result.labels,
            valid_labels=result.valid_labels,
            best_file=None if folder is None else folder / WEIGHTS_FILE,
        )
        histories = {**result.folds, "pretrain": history, "finetune": session.fit(stage)}
        trained = TrainedCMC(
            model=model.cpu().eval(),
            stage1=stage1_model(config, session.widths, result),
            pretrained=result,
            history=histories,
            **session.facts(),
        )
    session.close(trained, weights=not stage.best.on_disk)
    return trained


def _stage1(
    session: Session[RunConfig], model: CMC, pretrained: TrainedCMC | None, *, tokens: bool
) -> tuple[Pretrained, list[dict[str, float]]]:
    """Run stage 1, or take it from another model or from a run that was stopped in stage 2."""
    config, folder = session.config, session.folder
    if pretrained is not None:
        history = list(pretrained.history["pretrain"])
        if folder is not None:
            save_stage1(folder / STAGE1_FILE, pretrained.pretrained, history)
        return pretrained.pretrained, history
    if folder is not None and (folder / STAGE1_FILE).is_file():
        result, rest = load_stage1(folder / STAGE1_FILE)
        restore_generators(rest["generators"])
        return result, rest["history"]
    if config.pretrain.labels == "ground_truth":
        _need_unimodal_labels(session.loaders)
    train, valid = session.loaders.of(config.pretrain.batch_size, tokens=tokens)
    best_file = None if folder is None else folder / BEST_FILE
    refined = None
    if config.pretrain.labels == "pseudo" and config.pretrain.refine == "posterior":
        refined = refined_labels(session)
    stage = PretrainStage(
        model,
        train,
        valid,
        config,
        labels=None if refined is None else refined.labels,
        valid_labels=None if refined is None else refined.valid_labels,
        best_file=best_file,
    )
    history = session.fit(stage)
    result = stage.result()
    if refined is not None:
        result = replace(result, folds=refined.history, transition=refined.transition)
    if folder is not None:
        save_stage1(folder / STAGE1_FILE, result, history)
        for name in (CHECKPOINT_FILE, BEST_FILE, CROSSFIT_FILE):  # what led to it
            (folder / name).unlink(missing_ok=True)
    return result, history


def _check_stage1(other: TrainedCMC, config: RunConfig, fingerprint: str) -> None:
    """Stage 1 depends on the data and on all settings but those of stage 2."""
    if _stage1_settings(other.config) != _stage1_settings(config):
        raise ConfigError(
            "stage 1 can only be taken from a model with the same settings but for stage 2's"
        )
    if other.fingerprint != fingerprint:
        raise ConfigError("stage 1 can only be taken from a model trained on the same data")


_LATE = {"modality_dropout"}  # of the model's settings, what only stage 2 reads


def _stage1_settings(config: RunConfig) -> dict[str, Any]:
    settings = config.model_dump(exclude={"preset": True, "finetune": True, "model": _LATE})
    if config.pretrain.labels != "ground_truth":  # else stage 1 trains the language model too
        for name in ("finetune", "lr", "weight_decay"):
            del settings["text"][name]
    return settings


def _need_unimodal_labels(loaders: Loaders) -> None:
    known = loaders.data["train"].scores[:, 1:]
    for k, modality in enumerate(loaders.data.modalities):
        if not bool((known[:, k] == known[:, k]).any()):
            raise DataError(
                f"{loaders.data.source}: no unimodal labels for {modality} found, "
                "needed for pretrain.labels='ground_truth' (CMC-GT)"
            )


def load_cmc(folder: Path, config: RunConfig, known: Mapping[str, Any]) -> TrainedCMC:
    """What `TrainedCMC.save` wrote; known: the fields that model.json gives."""
    pretrained, _ = load_stage1(folder / STAGE1_FILE)
    widths = known["widths"]
    model = load(
        CMC.from_config(config, widths, empty_language(config)), load_tree(folder / WEIGHTS_FILE)
    )
    stage1 = stage1_model(config, widths, pretrained)
    return TrainedCMC(
        config=config, model=model.eval(), stage1=stage1, pretrained=pretrained, **known
    )


def save_stage1(path: Path, result: Pretrained, history: list[dict[str, float]]) -> None:
    """Stage 1's result, with the generators as they stand, so that stage 2 can be resumed."""
    kept = {f.name: getattr(result, f.name) for f in fields(Pretrained)}
    save_tree(path, {**kept, "history": history, "generators": generators()})


def load_stage1(path: Path) -> tuple[Pretrained, dict[str, Any]]:
    """(result, the rest: history and generators)."""
    tree = load_tree(path)
    try:
        kept = {
            f.name: tree[f.name]
            for f in fields(Pretrained)
            if f.name in tree or f.default_factory is MISSING
        }
    except KeyError as error:
        raise ModelError(f"{path}: {error.args[0]!r} is missing") from None
    return Pretrained(**kept), tree
