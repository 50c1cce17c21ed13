"""The files of a run's folder, and the checkpoint among them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tricord.errors import ConfigError
from tricord.training.checkpoint import load_tree, save_tree

MODEL_FILE, CHECKPOINT_FILE, STAGE1_FILE = (
    "model.json",
    "checkpoint.safetensors",
    "stage1.safetensors",
)
WEIGHTS_FILE, HISTORY_FILE = "model.safetensors", "history.json"
CALIBRATION_FILE = "calibration.json"  # how logits become probabilities that hold
CROSSFIT_FILE = "crossfit.safetensors"  # what finished folds said of held-out clips
BEST_FILE = "stage1-best.safetensors"  # while CMC's stage 1 trains a language model
STAGES_FILE = "stages.safetensors"  # of a baseline: what its finished stages left
CHECKPOINT_MINUTES = 10.0  # what a run that is killed may lose


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
