"""Data and language models to measure on: the sizes of the published data sets, SIMULATED.

Clips are those of Table I, widths and longest sequences those of Table II, the lengths within them
spread as in `tricord.data.simulation`. What is in a frame is noise: speed depends on shapes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tricord import presets
from tricord.bench import flops
from tricord.bench.timing import few
from tricord.config import RunConfig
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.data.simulation.sequences import CHANNELS, Channel
from tricord.data.store import read_store, write_store
from tricord.data.validate import check_labels
from tricord.device import CPU, forked
from tricord.errors import ConfigError
from tricord.training.cmc import TrainedCMC, train_cmc
from tricord.training.session import Session
from tricord.types import Modality

if TYPE_CHECKING:
    from transformers import BertConfig

ABOUT = "SIMULATED: noise of the lengths and widths of the named size, for measuring speed"
_FIRST_WORD = 10  # ids below are a vocabulary's special tokens
_TEXT, _AUDIO, _VISION = map(str, Modality)


@dataclass(frozen=True)
class Size:
    """Clips per split; per modality the sequences' shape; the preset; what of BERT-base differs."""

    preset: str
    clips: Mapping[str, int]
    channels: Mapping[str, Channel]
    language: Mapping[str, Any] = field(default_factory=dict)

    def bert(self) -> BertConfig:
        """The language model's settings."""
        from transformers import BertConfig

        return BertConfig(**self.language)

    def of_one_frame(self) -> Size:
        """All sequences of length 1."""
        return replace(
            self, channels={k: Channel(1, 1, 1, c.width) for k, c in self.channels.items()}
        )


def _channels(**shapes: tuple[int, int]) -> dict[str, Channel]:
    """From (longest, width); means are the same share of the longest as in the simulation."""
    return {
        name: Channel(
            mean=most * CHANNELS[name].mean / CHANNELS[name].most,
            least=CHANNELS[name].least,
            most=most,
            width=width,
        )
        for name, (most, width) in shapes.items()
    }


def _clips(train: int, valid: int, test: int) -> dict[str, int]:
    return {"train": train, "valid": valid, "test": test}


_CHINESE = {"vocab_size": 21128}  # bert-base-chinese's
SIZES: dict[str, Size] = {
    "ch-sims": Size("ch-sims", _clips(1368, 456, 457), CHANNELS, _CHINESE),
    "ch-sims-v2": Size(
        "ch-sims-v2",
        _clips(2722, 647, 1034),
        _channels(text=(50, 768), audio=(925, 25), vision=(232, 177)),
        _CHINESE,
    ),
    "mosi": Size(
        "mosi",
        _clips(1284, 229, 686),
        _channels(text=(50, 768), audio=(375, 5), vision=(500, 20)),
    ),
    "mosei": Size(
        "mosei",
        _clips(16326, 1871, 4659),
        _channels(text=(50, 768), audio=(500, 74), vision=(500, 35)),
    ),
    "tiny": Size(
        "tiny",
        _clips(64, 32, 32),
        _channels(text=(10, 16), audio=(20, 5), vision=(8, 7)),
        {
            "vocab_size": 100,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 16,
        },
    ),
}


def size_of(name: str) -> Size:
    """The size of this name; raises ConfigError with the names there are."""
    if name not in SIZES:
        raise ConfigError(f"size {name!r} does not exist; there is: {', '.join(SIZES)}")
    return SIZES[name]


def simulate(size: Size, seed: int = 0) -> Dataset:
    """Splits of the size, with ready features and tokens of the text."""
    words = size.bert().vocab_size
    rng = np.random.default_rng(seed)
    splits = {name: _table(name, clips, size, words, rng) for name, clips in size.clips.items()}
    return Dataset(splits, source=f"SIMULATED {size.preset}", simulation={"about": ABOUT})


def _table(name: str, clips: int, size: Size, words: int, rng: np.random.Generator) -> FeatureTable:
    duration = durations(clips, rng)
    sequences = {k: noise(c, duration, rng) for k, c in size.channels.items()}
    text = sequences[_TEXT]
    tokens = rng.integers(_FIRST_WORD, words, len(text.values))
    return FeatureTable(
        name=name,
        ids=tuple(f"{name}_{i // 8}$_${i % 8}" for i in range(clips)),
        sequences=sequences,
        scores=rng.integers(-5, 6, (clips, 1 + len(sequences))) / 5,
        tokens=replace(text, values=tokens),
    )


def durations(clips: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N,) multiples of the mean length, as in the simulation: the same in all modalities."""
    return rng.gamma(4.0, 0.25, clips)


def noise(channel: Channel, duration: NDArray[np.float64], rng: np.random.Generator) -> Ragged:
    """Frames of clips whose (N,) durations are multiples of the mean length."""
    lengths = np.clip(np.rint(channel.mean * duration), channel.least, channel.most)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = rng.standard_normal((offsets[-1], channel.width), dtype=np.float32)
    return Ragged(values, offsets, channel.most)


@dataclass(frozen=True)
class Workload:
    """A size in a folder: its data as a store and a language model of random weights.

    quick: a few steps stand for an epoch. device: what trains.
    """

    folder: Path
    name: str
    quick: bool = False
    device: torch.device = CPU

    @classmethod
    def make(
        cls, folder: Path, name: str, *, quick: bool = False, device: torch.device = CPU
    ) -> Workload:
        """Write both; raises ConfigError for a size that does not exist."""
        from safetensors.torch import save_file
        from transformers import BertModel

        size, made = size_of(name), cls(folder, name, quick, device)
        write_store(simulate(size), made.store)
        with forked():
            torch.manual_seed(0)
            bert = BertModel(size.bert())
        bert.config.save_pretrained(made.language)
        save_file(bert.state_dict(), made.language / "model.safetensors", metadata={"format": "pt"})
        return made

    @property
    def size(self) -> Size:
        """What was made."""
        return size_of(self.name)

    @property
    def store(self) -> Path:
        """Of the data."""
        return self.folder / "data.tricord"

    @property
    def language(self) -> Path:
        """The language model's folder."""
        return self.folder / "language"

    def data(self) -> Dataset:
        """All clips, their labels checked."""
        return check_labels(read_store(self.store), self.config().labels)

    def config(self, *, tokens: bool = False, finetune: bool = False) -> RunConfig:
        """The preset on ready text; with ``tokens`` on the language model, to train or frozen."""
        config = presets.get(self.size.preset)
        if not tokens:
            return config
        return config.with_settings({"text.encoder": str(self.language), "text.finetune": finetune})

    def untrained(self, config: RunConfig) -> TrainedCMC:
        """What a run trains, as it stands before the first epoch."""
        config = config.with_settings({"pretrain.epochs": 0, "finetune.epochs": 0})
        return train_cmc(Session(few(self.data()), config, name="cmc", seed=1))

    def gflop(
        self,
        table: FeatureTable,
        config: RunConfig,
        *,
        encoders: bool = True,
        language: bool = True,
    ) -> float:
        """10^9 operations of a forward pass over a split, by `tricord.bench.flops`."""
        total = flops.unimodal(table.lengths, table.widths, config) if encoders else 0.0
        if language:
            total += flops.language(table.lengths[_TEXT], self.size.bert())
        return 1e-9 * total
