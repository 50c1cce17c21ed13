"""A trained model and its folder: safetensors and JSON."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from tricord._version import __version__
from tricord.config import RunConfig
from tricord.errors import ModelError
from tricord.features.language import TextEncoder
from tricord.features.text import TEXT, TextSource
from tricord.models.cmc import CMC
from tricord.models.released import load
from tricord.training.checkpoint import (
    generators,
    load_tree,
    read_json,
    save_tree,
    write_json,
)
from tricord.training.pretrain import Pretrained

MODEL_FILE, CHECKPOINT_FILE, STAGE1_FILE = (
    "model.json",
    "checkpoint.safetensors",
    "stage1.safetensors",
)
WEIGHTS_FILE, HISTORY_FILE = "model.safetensors", "history.json"


def versions() -> dict[str, str]:
    """Of tricord, Python and the libraries that results depend on."""

    def find(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "unknown"

    libraries = {name: find(name) for name in ("torch", "numpy", "transformers")}
    return {"tricord": __version__, "python": platform.python_version(), **libraries}


@dataclass
class Trained:
    """A trained model with all that is needed to apply and to explain it.

    model: CMC after stage 2. stage1: CMC whose unimodal models are those of stage 1, votes
    averaged: the single-modality rows of every table. pretrained: labels and states of stage 1.
    history: stage name -> one dict of numbers per epoch.
    """

    config: RunConfig
    name: str
    seed: int
    widths: Mapping[str, int]
    model: CMC
    stage1: CMC
    pretrained: Pretrained
    history: Mapping[str, list[dict[str, float]]]
    fingerprint: str
    simulated: bool
    versions: Mapping[str, str] = field(default_factory=versions)
    text: TextSource | None = None

    def text_source(self) -> TextSource:
        """The frozen text source, loaded when it is first needed."""
        if self.text is None:
            self.text = TextSource(self.config.text)
        return self.text

    def save(self, folder: Path) -> None:
        """Weights and JSON; a frozen language model is named, not copied."""
        save_stage1(folder / STAGE1_FILE, self.pretrained, self.history["pretrain"])
        self.complete(folder)

    def complete(self, folder: Path, *, weights: bool = True) -> None:
        """What training has not yet written; weights: False where the best state lies there."""
        if weights:
            save_tree(folder / WEIGHTS_FILE, self.model.state_dict())
        write_json(folder / HISTORY_FILE, self.history)
        # last: a folder with this file is complete
        write_json(folder / MODEL_FILE, self.about())

    def selected(self) -> dict[str, float]:
        """The numbers on valid of the epoch of stage 2 that was kept."""
        rows = self.history["finetune"]
        if not rows:
            return {}
        settings = self.config.finetune
        criterion = f"valid_{settings.criterion}"
        row = rows[-1] if settings.select == "last" else min(rows, key=lambda r: r[criterion])
        kept = {k.removeprefix("valid_"): v for k, v in row.items() if k.startswith("valid_")}
        return {"epoch": row["epoch"], **kept}

    def about(self) -> dict[str, Any]:
        """What the model is: settings, seed, versions, data, sizes."""
        return {
            "name": self.name,
            "seed": self.seed,
            "config": self.config.model_dump(mode="json"),
            "widths": dict(self.widths),
            "size": self.model.size,
            "versions": dict(self.versions),
            "data": {"fingerprint": self.fingerprint, "simulated": self.simulated},
            "valid": self.selected(),
            "stage1_epochs": dict(self.pretrained.epochs),
            "labels_moved": dict(self.pretrained.moved),
        }


def load_trained(folder: Path) -> Trained:
    """What `Trained.save` wrote; raises ModelError where the folder is no complete model."""
    if not (folder / MODEL_FILE).is_file():
        raise ModelError(f"{folder}: no {MODEL_FILE} found, a trained model's folder expected")
    about = read_json(folder / MODEL_FILE)
    try:
        config = RunConfig.model_validate(about["config"])
        known = {key: about[key] for key in ("name", "seed", "widths", "versions")}
        known |= {key: about["data"][key] for key in ("fingerprint", "simulated")}
    except (KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{folder / MODEL_FILE}: no description of a model ({reason})") from None
    pretrained, _ = load_stage1(folder / STAGE1_FILE)
    weights = load_tree(folder / WEIGHTS_FILE)
    try:
        with torch.random.fork_rng():  # fresh weights are drawn and overwritten
            model = load(CMC.from_config(config, known["widths"], _language(config)), weights)
            stage1 = stage1_model(config, known["widths"], pretrained)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    return Trained(
        config=config,
        model=model.eval(),
        stage1=stage1,
        pretrained=pretrained,
        history=read_json(folder / HISTORY_FILE),
        **known,
    )


def stage1_model(config: RunConfig, widths: Mapping[str, int], pretrained: Pretrained) -> CMC:
    """The unimodal models of stage 1 side by side; the mean of their votes for a consensus."""
    plain = config.with_settings(
        {"finetune.fusion": "none", "finetune.router": "mean", "finetune.train": "all"}
    )
    model = CMC.from_config(plain, widths, _language(config) if pretrained.language else {})
    start_from(model, pretrained)
    return model.eval()


def start_from(model: CMC, pretrained: Pretrained) -> None:
    """Fill the unimodal models, and the language model where stage 1 trained it."""
    for name, state in pretrained.unimodal.items():
        load(model.unimodal[name], state)
    if pretrained.language:
        load(model.language, pretrained.language)


def _language(config: RunConfig) -> dict[str, TextEncoder]:
    """A language model to be filled from a saved state, where the configuration trains one."""
    text = config.text
    if not text.finetune:
        return {}
    assert text.encoder is not None
    encoder = TextEncoder.from_config(
        text.encoder, download=text.download, precision=text.precision
    )
    return {TEXT: encoder}


def save_stage1(path: Path, result: Pretrained, history: list[dict[str, float]]) -> None:
    """Stage 1's result, with the generators as they stand, so that stage 2 can be resumed."""
    fields = {name: getattr(result, name) for name in Pretrained.__dataclass_fields__}
    save_tree(path, {**fields, "history": history, "generators": generators()})


def load_stage1(path: Path) -> tuple[Pretrained, dict[str, Any]]:
    """(result, the rest: history and generators)."""
    tree = load_tree(path)
    try:
        fields = {name: tree[name] for name in Pretrained.__dataclass_fields__}
    except KeyError as error:
        raise ModelError(f"{path}: {error.args[0]!r} is missing") from None
    return Pretrained(**fields), tree
