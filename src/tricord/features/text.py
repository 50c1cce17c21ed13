"""Text for the model: ready features, or tokens through a Hugging Face encoder, kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tricord.config import TextConfig
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.data.store.arrays import ArrayFile, Shape, map_arrays
from tricord.errors import ConfigError, DataError
from tricord.features.language import TextEncoder, tokenize
from tricord.files import write_atomically
from tricord.types import Frames, Modality

TEXT = str(Modality.TEXT)
ENCODE_TOKENS = 2048  # at once; more are no faster, and their states take memory

Tick = Callable[[int, int], None]  # clips done, clips in all
States = NDArray[np.float32]


def cache_folder() -> Path:
    """Where frozen features are kept: $TRICORD_CACHE, or the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tricord"
    return Path(os.environ.get("TRICORD_CACHE", default))


def encode(
    encoder: TextEncoder, tokens: Ragged, *, tick: Tick | None = None, keep: bool = True
) -> Ragged:
    """Frozen hidden states of all sequences, in evaluation mode: (F, width) float32.

    Computed once: kept under the hash of the encoder's settings, weights and precision and the
    tokens, and mapped from there, not held in memory.
    """
    if not keep:
        values = np.zeros((len(tokens.values), encoder.width), dtype=np.float32)
        _encode(encoder, tokens, partial(_put, values), tick)
        return Ragged(values, tokens.offsets, tokens.padded_length)
    path = cache_folder() / "text" / f"{_key(encoder, tokens)}.safetensors"
    layout = {"values": Shape("float32", (len(tokens.values), encoder.width))}

    def write(place: Path) -> None:
        with ArrayFile(place, layout) as file:
            _encode(encoder, tokens, lambda first, s: file.write("values", s, first), tick)

    try:
        values = map_arrays(path, layout)["values"]
    except DataError:  # none yet, or a broken one
        write_atomically(path, write)
        values = map_arrays(path, layout)["values"]
    return Ragged(values, tokens.offsets, tokens.padded_length)


def _put(values: States, first: int, of_clip: States) -> None:
    values[first : first + len(of_clip)] = of_clip


@torch.no_grad()
def _encode(
    encoder: TextEncoder,
    tokens: Ragged,
    put: Callable[[int, States], object],
    tick: Tick | None,
) -> None:
    """put: takes the states of one clip, and the frame that is their first."""
    encoder.eval()
    done, total = 0, int(np.count_nonzero(tokens.lengths))
    for rows in _batches(tokens.lengths):
        part = tokens.take(rows)
        frames = Frames(torch.as_tensor(part.values), torch.as_tensor(part.lengths))
        states = encoder(frames).values.numpy()
        of_clips = np.split(states, part.offsets[1:-1])
        for first, of_clip in zip(tokens.offsets[rows].tolist(), of_clips, strict=True):
            put(first, of_clip)
        done += len(rows)
        if tick is not None:
            tick(done, total)


def _batches(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Clips that have tokens, by length, so that those of one length are in one batch."""
    order = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
    batch = (np.cumsum(lengths[order]) - 1) // ENCODE_TOKENS
    return (order[batch == number] for number in np.unique(batch))


def _key(encoder: TextEncoder, tokens: Ragged) -> str:
    digest = hashlib.sha256(encoder.settings.encode())
    for name, weight in encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.contiguous().numpy().data)
    digest.update(np.ascontiguousarray(tokens.values).data)
    digest.update(np.ascontiguousarray(tokens.offsets).data)
    return digest.hexdigest()


def with_words(data: Dataset, config: TextConfig) -> Dataset:
    """The data with its words as the text modality, where they are all the text there is.

    Only with an encoder named; otherwise, and where there is text, the data as it is.
    """
    have_words = all(data.splits[s].raw_text is not None for s in data.splits)
    if config.encoder is None or TEXT in data.modalities or not have_words:
        return data
    return replace(data, splits={name: _words_first(t) for name, t in data.splits.items()})


def _words_first(table: FeatureTable) -> FeatureTable:
    """A text modality without ready features: one empty frame where a clip has words."""
    spoken = np.array([bool(words.strip()) for words in table.raw_text or ()], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(spoken)]).astype(np.int64)
    empty = Ragged(np.zeros((int(spoken.sum()), 0), dtype=np.float32), offsets, 1)
    return replace(
        table,
        sequences={TEXT: empty, **table.sequences},
        scores=np.insert(table.scores, 1, np.nan, axis=1),
    )


class TextSource:
    """Where a run takes its text from, resolved once (see `TextConfig.source`).

    encoder: the frozen language model as it was before training; None with ready features.
    """

    def __init__(self, config: TextConfig) -> None:
        self.config = config
        self.encoder = (
            None
            if config.encoder is None
            else TextEncoder.from_pretrained(
                config.encoder, download=config.download, precision=config.precision
            )
        )

    def tokens(self, table: FeatureTable, where: str) -> Ragged:
        """Token ids from the file's `text_bert` rows or from its words."""
        source, place = self.config.source, f"{where}: split '{table.name}'"
        assert self.config.encoder is not None
        if table.tokens is not None and source in ("auto", "tokens"):
            self._check_tokens(table.tokens, f"{place}, key 'text_bert'")
            return table.tokens
        if table.raw_text is not None and source in ("auto", "raw"):
            padded, lengths = tokenize(
                self.config.encoder,
                table.raw_text,
                max_length=self.config.max_length,
                download=self.config.download,
            )
            tokens = Ragged.from_padded(padded, lengths)
            self._check_tokens(tokens, f"{place}, key 'raw_text'")
            return tokens
        wanted = {"tokens": "'text_bert'", "raw": "'raw_text'"}.get(
            source, "'text_bert' or 'raw_text'"
        )
        raise DataError(f"{place} has no key {wanted} for the text encoder")

    def _check_tokens(self, tokens: Ragged, where: str) -> None:
        assert self.encoder is not None
        name, size = self.config.encoder, self.encoder.vocabulary
        bad = tokens.values[(tokens.values < 0) | (tokens.values >= size)]
        if len(bad):
            raise DataError(
                f"{where}: token {bad[0]} found, but {name!r} knows {size}; was the file made "
                "with another language model?"
            )
        longest = int(tokens.lengths.max(initial=0))
        limit = (
            getattr(self.encoder.model.config, "max_position_embeddings", None) or 0
        )  # none or -1: any length
        if 0 < limit < longest:
            raise DataError(f"{where}: {longest} tokens found, but {name!r} takes up to {limit}")

    def features(self, table: FeatureTable, where: str, tick: Tick | None = None) -> Ragged:
        """Frozen features of the table's text: ready ones, or the encoder's."""
        if self.encoder is not None:
            return encode(self.encoder, self.tokens(table, where), tick=tick)
        ready = table.sequences[TEXT]
        if ready.width == 0:
            raise ConfigError(
                f"{where}: the text has tokens but no ready features; name the language model "
                "they were made for (text.encoder)"
            )
        return ready
