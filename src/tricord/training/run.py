"""One seed of one model: data to batches, both stages, the trained result."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from tricord.config import RunConfig
from tricord.data.batching import Loader, TensorTable
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.errors import ConfigError, DataError
from tricord.features.language import TextEncoder
from tricord.features.text import TEXT, TextSource, Tick
from tricord.models.cmc import CMC
from tricord.training.checkpoint import (
    load_tree,
    restore_generators,
    save_tree,
)
from tricord.training.finetune import FinetuneStage
from tricord.training.loop import Observer, fit
from tricord.training.pretrain import Pretrained, PretrainStage
from tricord.training.trained import (
    CHECKPOINT_FILE,
    STAGE1_FILE,
    WEIGHTS_FILE,
    Trained,
    load_stage1,
    save_stage1,
    stage1_model,
    start_from,
)

CHECKPOINT_MINUTES = 10.0  # what a run that is killed may lose
BEST_FILE = "stage1-best.safetensors"  # while stage 1 trains a language model


class FolderCheckpoint:
    """The state of the running stage in a run's folder; see `tricord.training.loop.fit`.

    minutes: how long ago the start or the last state written must be for another to be written;
    0 writes one after every epoch. Raises ConfigError for less than 0.
    """

    def __init__(self, folder: Path, minutes: float = CHECKPOINT_MINUTES) -> None:
        if not minutes >= 0:
            raise ConfigError(f"checkpoint_minutes: {minutes} found, 0 or more expected")
        self.path = folder / CHECKPOINT_FILE
        self.seconds = 60 * minutes
        self._last = time.monotonic()

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the last one where that is due; a state can be several times the model."""
        if time.monotonic() - self._last >= self.seconds:
            save_tree(self.path, state)
            self._last = time.monotonic()

    def load(self) -> Mapping[str, Any] | None:
        """The last one, or None."""
        state: Mapping[str, Any] | None = load_tree(self.path) if self.path.is_file() else None
        return state


def subseed(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose, so that they do not share random numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:6], "big")


class Loaders:
    """Batches for the stages, with ready text features or with tokens to finetune on."""

    def __init__(
        self, data: Dataset, config: RunConfig, source: TextSource, seed: int, tick: Tick | None
    ) -> None:
        self.data, self.config, self.source, self.seed = data, config, source, seed
        self.tick = tick
        self._kept: dict[tuple[str, bool], TensorTable] = {}

    def table(self, split: str, *, tokens: bool) -> TensorTable:
        """The split as tensors; kept, since both stages use it."""
        if (split, tokens) not in self._kept:
            table = self.data[split]
            self._kept[split, tokens] = TensorTable(
                table,
                self.config.labels,
                sequences=model_inputs(
                    table, self.data.modalities, self.data.source, self.source, tokens, self.tick
                ),
                full_length=self.config.model.padding == "ignored",
            )
        return self._kept[split, tokens]

    def release_encoder(self) -> TextEncoder:
        """The frozen language model, to be trained; from here on there are tokens alone."""
        for split in ("train", "valid"):
            self.table(split, tokens=True)
            self._kept.pop((split, False), None)
        encoder, self.source.encoder = self.source.encoder, None
        assert encoder is not None
        return encoder

    def of(self, batch_size: int, *, tokens: bool) -> tuple[Loader, Loader]:
        """(train, valid)."""
        seed = subseed(self.seed, "row order")
        train = Loader(self.table("train", tokens=tokens), batch_size, seed)
        return train, Loader(self.table("valid", tokens=tokens), batch_size)


def model_inputs(
    table: FeatureTable,
    modalities: Iterable[str],
    where: str,
    source: TextSource,
    tokens: bool,
    tick: Tick | None = None,
) -> dict[str, Ragged]:
    """What each of these modalities feeds the model: text may be tokens or a model's features."""
    inputs = {name: table.sequences[name] for name in modalities}
    if TEXT in inputs:
        inputs[TEXT] = (
            source.tokens(table, where) if tokens else source.features(table, where, tick)
        )
    return inputs


def check_splits(data: Dataset) -> None:
    """Training needs train and valid, each with clips."""
    for split in ("train", "valid"):
        if split not in data:
            raise DataError(
                f"{data.source}: split '{split}' not found, needed for training; "
                f"the file has {list(data)} (tricord data split makes splits)"
            )


def train_one(
    data: Dataset,
    config: RunConfig,
    *,
    name: str,
    seed: int,
    folder: Path | None = None,
    pretrained: Trained | None = None,
    observer: Observer | None = None,
    tick: Tick | None = None,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
) -> Trained:
    """Both stages with one seed, on train and valid alone.

    folder: where the result of stage 1, the best state of stage 2 and, every
    ``checkpoint_minutes``, all that is needed to continue are kept; what is found there is
    continued from. pretrained: take stage 1 from this model. The global random generators are
    left as they were.
    """
    check_splits(data)
    fingerprint = data.fingerprint()
    if pretrained is not None:
        _check_stage1(pretrained, config, fingerprint)
    data = data.seal("test")
    source = TextSource(config.text)
    loaders = Loaders(data, config, source, seed, tick)
    widths = dict(data.widths)
    if source.encoder is not None:
        if TEXT not in widths:
            raise DataError(
                f"{data.source}: key 'text' or 'text_bert' not found, expected with text.encoder"
            )
        widths[TEXT] = source.encoder.width
    loaders.table("train", tokens=config.text.finetune)  # complains before anything is built
    both = config.text.finetune and config.pretrain.labels == "ground_truth"  # fidelity 8
    with torch.random.fork_rng():
        torch.manual_seed(subseed(seed, "weights and dropout"))
        model = CMC.from_config(config, widths)
        if both:
            _finetune_language(model, loaders)
        checkpoint = None if folder is None else FolderCheckpoint(folder, checkpoint_minutes)
        result, history = _stage1(
            model, loaders, config, folder, checkpoint, observer, pretrained, tokens=both
        )
        if config.text.finetune and not both:  # stage 1 had frozen features
            _finetune_language(model, loaders)
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
        histories = {"pretrain": history}
        histories["finetune"] = fit(stage, checkpoint=checkpoint, observer=observer)
        trained = Trained(
            config=config,
            name=name,
            seed=seed,
            widths=widths,
            model=model.eval(),
            stage1=stage1_model(config, widths, result),
            pretrained=result,
            history=histories,
            fingerprint=fingerprint,
            simulated=data.simulated,
            text=None if config.text.finetune else source,
        )
    if folder is not None:
        trained.complete(folder, weights=not stage.best.on_disk)
        (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    return trained


def _finetune_language(model: CMC, loaders: Loaders) -> None:
    model.language[TEXT] = loaders.release_encoder()
    if loaders.config.text.recompute:
        model.recompute_activations()


def _stage1(
    model: CMC,
    loaders: Loaders,
    config: RunConfig,
    folder: Path | None,
    checkpoint: FolderCheckpoint | None,
    observer: Observer | None,
    pretrained: Trained | None,
    *,
    tokens: bool,
) -> tuple[Pretrained, list[dict[str, float]]]:
    """Run stage 1, or take it from another model or from a run that was stopped in stage 2."""
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
        _need_unimodal_labels(loaders)
    train, valid = loaders.of(config.pretrain.batch_size, tokens=tokens)
    best_file = None if folder is None else folder / BEST_FILE
    stage = PretrainStage(model, train, valid, config, best_file=best_file)
    history = fit(stage, checkpoint=checkpoint, observer=observer)
    result = stage.result()
    if folder is not None:
        save_stage1(folder / STAGE1_FILE, result, history)
        for name in (CHECKPOINT_FILE, BEST_FILE):  # what led to it
            (folder / name).unlink(missing_ok=True)
    return result, history


def _check_stage1(other: Trained, config: RunConfig, fingerprint: str) -> None:
    """Stage 1 depends on the data and on all settings but those of stage 2."""
    if _stage1_settings(other.config) != _stage1_settings(config):
        raise ConfigError(
            "stage 1 can only be taken from a model with the same settings but for stage 2's"
        )
    if other.fingerprint != fingerprint:
        raise ConfigError("stage 1 can only be taken from a model trained on the same data")


def _stage1_settings(config: RunConfig) -> dict[str, Any]:
    settings = config.model_dump(exclude={"preset", "finetune"})
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
