"""From a data set to the batches of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch

from tricord.config import CommonConfig
from tricord.data.batching import Loader, TensorTable
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.device import CPU
from tricord.errors import DataError
from tricord.features.language import TextEncoder
from tricord.features.text import TEXT, TextSource, Tick

Inputs = Callable[[FeatureTable, Mapping[str, Ragged]], Mapping[str, Ragged]]


def subseed(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose, so that they do not share random numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:6], "big")


class Loaders:
    """Batches for the stages, with ready text features or with tokens to finetune on.

    modalities: which of them are made, and in what order. inputs: what a model makes of a split's
    sequences, once.
    """

    def __init__(
        self,
        data: Dataset,
        config: CommonConfig,
        source: TextSource,
        seed: int,
        tick: Tick | None,
        device: torch.device = CPU,
    ) -> None:
        self.data, self.config, self.source, self.seed = data, config, source, seed
        self.tick, self.device = tick, device
        self.modalities = data.modalities
        self.inputs: Inputs | None = None
        self._kept: dict[tuple[str, bool], TensorTable] = {}

    def table(self, split: str, *, tokens: bool) -> TensorTable:
        """The split as tensors; kept, since both stages use it."""
        if (split, tokens) not in self._kept:
            table = self.data[split]
            sequences = model_inputs(
                table,
                self.modalities,
                self.data.source,
                self.source,
                tokens,
                self.tick,
                self.inputs,
            )
            self._kept[split, tokens] = TensorTable(
                table,
                self.config.labels,
                sequences=sequences,
                full_length=self.config.padding_counts,
                device=self.device,
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
    inputs: Inputs | None = None,
) -> Mapping[str, Ragged]:
    """What each of these modalities feeds the model: text may be tokens or a model's features.

    inputs: what the model makes of them. Raises DataError where it cannot.
    """
    found = {name: table.sequences[name] for name in modalities}
    if TEXT in found:
        found[TEXT] = source.tokens(table, where) if tokens else source.features(table, where, tick)
    if inputs is None:
        return found
    try:
        return inputs(table, found)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def check_splits(data: Dataset) -> None:
    """Training needs train and valid, and labels in both: valid chooses the epoch.

    Raises DataError.
    """
    for split in ("train", "valid"):
        if split not in data:
            raise DataError(
                f"{data.source}: split '{split}' not found, needed for training; "
                f"the file has {list(data)} (tricord data split makes splits)"
            )
        if np.isnan(data[split].scores[:, 0]).all():
            raise DataError(
                f"{data.source}: split '{split}': no clip has a multimodal label, expected some: "
                "fill in the label table, and extract or convert again"
            )
