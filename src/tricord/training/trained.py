"""A trained model of any kind: what it is, and its folder."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from tricord._version import __version__
from tricord.clips.recipe import KEY, Recipe, from_recipe
from tricord.config import CommonConfig
from tricord.data.schema import Dataset
from tricord.device import CPU
from tricord.errors import ModelError
from tricord.evaluation.calibration import Calibration
from tricord.features.language import TextEncoder
from tricord.features.text import TEXT, TextSource
from tricord.models.network import Network
from tricord.training.checkpoint import read_json, save_tree, write_json
from tricord.training.folder import CALIBRATION_FILE, HISTORY_FILE, MODEL_FILE, WEIGHTS_FILE

History = Mapping[str, list[dict[str, float]]]


def versions(device: torch.device = CPU) -> dict[str, str]:
    """Of tricord, Python and the libraries that results depend on; the device, if it is another."""

    def find(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "unknown"

    libraries = {name: find(name) for name in ("torch", "numpy", "transformers")}
    other = {} if device == CPU else {"device": str(device)}
    return {"tricord": __version__, "python": platform.python_version(), **libraries, **other}


@dataclass
class TrainedModel:
    """A trained model with all that is needed to apply it.

    widths: modality -> numbers per frame. history: stage name -> one dict of numbers per epoch,
    in the order of training. calibration: None where probabilities are those of the logits.
    recipe: how clips became the features it was trained on; None where the data did not say.
    """

    config: CommonConfig
    name: str
    seed: int
    widths: Mapping[str, int]
    model: Network
    history: History
    fingerprint: str
    simulated: bool
    versions: Mapping[str, str] = field(default_factory=versions, kw_only=True)
    text: TextSource | None = field(default=None, kw_only=True)
    calibration: Calibration | None = field(default=None, kw_only=True)
    recipe: Recipe | None = field(default=None, kw_only=True)

    def text_source(self) -> TextSource:
        """The frozen text source, loaded when it is first needed."""
        if self.text is None:
            self.text = TextSource(self.config.text)
        return self.text

    def complete(self, folder: Path, *, weights: bool = True) -> None:
        """What training has not yet written; weights: False where the best state lies there."""
        if weights:
            save_tree(folder / WEIGHTS_FILE, self.model.state_dict())
        write_json(folder / HISTORY_FILE, self.history)
        self.keep_calibration(folder)
        # last: a folder with this file is complete
        write_json(folder / MODEL_FILE, self.about())

    def keep_calibration(self, folder: Path) -> None:
        """Write it where there is one."""
        if self.calibration is not None:
            write_json(folder / CALIBRATION_FILE, self.calibration.model_dump(mode="json"))

    def selected(self) -> dict[str, float]:
        """The numbers on valid of the epoch of the last stage that was kept."""
        kept = [row for row in list(self.history.values())[-1] if row.get("improved")]
        if not kept:
            return {}
        numbers = {k.removeprefix("valid_"): v for k, v in kept[-1].items() if "valid_" in k}
        return {"epoch": kept[-1]["epoch"], **numbers}

    @property
    def seconds(self) -> float:
        """Time that all epochs took, validation included."""
        return sum(row["seconds"] for rows in self.history.values() for row in rows)

    @property
    def frames(self) -> int:
        """Tokens, audio and vision frames that training was given, each as often as it was."""
        return int(sum(row["frames"] for rows in self.history.values() for row in rows))

    def about(self) -> dict[str, Any]:
        """What the model is: settings, seed, versions, data, sizes, and the recipe of its clips."""
        recipe = {} if self.recipe is None else {KEY: self.recipe.model_dump(mode="json")}
        return {
            "name": self.name,
            "seed": self.seed,
            "config": self.config.model_dump(mode="json"),
            "widths": dict(self.widths),
            "size": self.model.size,
            "versions": dict(self.versions),
            "data": {"fingerprint": self.fingerprint, "simulated": self.simulated},
            "valid": self.selected(),
            **recipe,
        }


def recipe_of(data: Dataset) -> Recipe | None:
    """How clips became the features of a data set; None where it was not made from clips by us.

    Raises DataError where what it says of that cannot be read.
    """
    found = data.recipe.get(KEY)
    if not isinstance(found, Mapping) or "version" not in found:  # another source's own word
        return None
    return from_recipe(data.recipe, data.source)


def read_calibration(folder: Path) -> Calibration | None:
    """What `TrainedModel.keep_calibration` wrote; None of a folder that has none.

    Raises ModelError where it is not such a file.
    """
    path = folder / CALIBRATION_FILE
    if not path.is_file():
        return None
    try:
        return Calibration.model_validate(read_json(path))
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}: not a calibration that tricord wrote ({reason})") from None


def empty_language(config: CommonConfig) -> dict[str, TextEncoder]:
    """A language model to be filled from a saved state, where the configuration trains one."""
    text = config.text
    if not text.finetune:
        return {}
    assert text.encoder is not None
    encoder = TextEncoder.from_config(
        text.encoder, download=text.download, precision=text.precision
    )
    return {TEXT: encoder}
