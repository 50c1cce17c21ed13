"""What training one seed of one model works with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from tricord.config import CommonConfig
from tricord.data.schema import Dataset
from tricord.device import CPU, forked
from tricord.errors import DataError
from tricord.features.text import TEXT, TextSource, Tick
from tricord.models.network import Network
from tricord.training.folder import CHECKPOINT_FILE, CHECKPOINT_MINUTES, FolderCheckpoint
from tricord.training.loaders import Loaders, check_splits, subseed
from tricord.training.loop import Observer, Stage, fit
from tricord.training.trained import TrainedModel, recipe_of, versions

C = TypeVar("C", bound=CommonConfig)


class Session(Generic[C]):
    """Train and valid as batches, the text, a folder or None, and who watches.

    widths: modality -> numbers per frame that the model is given.
    """

    def __init__(
        self,
        data: Dataset,
        config: C,
        *,
        name: str,
        seed: int,
        folder: Path | None = None,
        observer: Observer | None = None,
        tick: Tick | None = None,
        checkpoint_minutes: float = CHECKPOINT_MINUTES,
        device: torch.device = CPU,
    ) -> None:
        """As `tricord.training.run.train_one`."""
        check_splits(data)
        self.config, self.name, self.seed, self.folder = config, name, seed, folder
        self.device = device
        self.fingerprint = data.fingerprint()
        self.data = data.seal("test")
        self.source = TextSource(config.text)
        self.loaders = Loaders(self.data, config, self.source, seed, tick, device)
        self.widths = self._widths()
        self.observer = observer
        self.checkpoint = None if folder is None else FolderCheckpoint(folder, checkpoint_minutes)

    def _widths(self) -> dict[str, int]:
        widths = dict(self.data.widths)
        if self.source.encoder is not None:
            if TEXT not in widths:
                raise DataError(
                    f"{self.data.source}: key 'text' or 'text_bert' not found, "
                    "expected with text.encoder"
                )
            widths[TEXT] = self.source.encoder.width
        return widths

    @contextmanager
    def random(self) -> Iterator[None]:
        """The seed's own random numbers; the global generators are left as they were."""
        with forked(self.device):
            torch.manual_seed(subseed(self.seed, "weights and dropout"))
            yield

    def fit(self, stage: Stage) -> list[dict[str, float]]:
        """Train a stage, from the checkpoint in the folder where there is one."""
        return fit(stage, checkpoint=self.checkpoint, observer=self.observer)

    def finetune_language(self, model: Network) -> None:
        """Put the language model in front, to be trained."""
        model.language[TEXT] = self.loaders.release_encoder().to(self.device)
        if self.config.text.recompute:
            model.recompute_activations()

    def facts(self, widths: Mapping[str, int] | None = None) -> dict[str, Any]:
        """What every `TrainedModel` holds but model and history.

        widths: of the model, where it does not read all modalities of the data.
        """
        return {
            "config": self.config,
            "name": self.name,
            "seed": self.seed,
            "widths": dict(widths or self.widths),
            "fingerprint": self.fingerprint,
            "simulated": self.data.simulated,
            "recipe": recipe_of(self.data),
            "versions": versions(self.device),
            "text": None if self.config.text.finetune else self.source,
        }

    def close(self, trained: TrainedModel, *, weights: bool) -> None:
        """Complete the folder; weights: False where the best state lies there already."""
        if self.folder is not None:
            trained.complete(self.folder, weights=weights)
            (self.folder / CHECKPOINT_FILE).unlink(missing_ok=True)
