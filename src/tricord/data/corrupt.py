"""A table as it would be with broken sensors, transmission or transcripts.

Each function makes a new table from a table and a seed and changes no array of the old one; ids,
labels, lengths and padding stay as they are, but where its docstring says otherwise. Text is lost,
removed and exchanged in every form the table has it in: ready features, tokens and words; noise and
shift are of features alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator, RandomState
from numpy.typing import NDArray

from tricord.data.mapped import blocks
from tricord.data.schema import FeatureTable, Ragged
from tricord.errors import DataError
from tricord.types import Modality

TEXT = str(Modality.TEXT)
UNKNOWN_TOKEN = 100  # [UNK] of BERT's vocabularies, English and Chinese
Bools = NDArray[np.bool_]


def draw_kept(
    sequence: Ragged, rate: float, random: Generator | RandomState, *, ends: bool
) -> Ragged:
    """(F,) bool flags of the frames that are kept: 1[U(0, 1) > rate].

    Drawn for padding too, as the MMSA framework does. ends: the first and the last frame are always
    kept.
    """
    longest = max(sequence.padded_length, int(sequence.lengths.max(initial=0)))
    drawn = random.random((len(sequence), longest))
    kept = drawn[np.arange(longest) < sequence.lengths[:, None]] > rate
    if ends:
        some = sequence.lengths > 0
        kept[sequence.offsets[:-1][some]] = True
        kept[sequence.offsets[1:][some] - 1] = True
    return Ragged(kept, sequence.offsets, sequence.padded_length)


def lose_frames(
    table: FeatureTable,
    names: Collection[str],
    rate: float,
    seed: int,
    *,
    unknown: int = UNKNOWN_TOKEN,
) -> FeatureTable:
    """Frames of these modalities lost at ``rate``, in [0, 1], each on its own (MMSA, TFR-Net).

    A lost frame is a zero vector, a lost token ``unknown`` (the first and the last token, [CLS] and
    [SEP], are never lost), a lost word is left out: in words written without spaces, a character.
    Every modality draws from the seed anew, as the original does, so that in aligned data all lose
    the same frames. With rate 1 nothing but the outline is left.
    """

    def kept(sequence: Ragged, *, ends: bool = False) -> Bools:
        flags: Bools = draw_kept(sequence, rate, RandomState(seed), ends=ends).values
        return flags

    changed = {
        name: _valued(s, np.where(kept(s)[:, None], s.values, s.values.dtype.type(0)))
        for name, s in _of(table, names).items()
    }
    table = replace(table, sequences={**table.sequences, **changed})
    if TEXT not in names:
        return table
    tokens, words = table.tokens, table.raw_text
    if tokens is not None:
        ids = np.where(kept(tokens, ends=True), tokens.values, tokens.values.dtype.type(unknown))
        tokens = _valued(tokens, ids)
    if words is not None:
        words = _lose_words(words, rate, RandomState(seed))
    return replace(table, tokens=tokens, raw_text=words)


def _lose_words(texts: tuple[str, ...], rate: float, random: RandomState) -> tuple[str, ...]:
    rows = [text.split() for text in texts]
    spaced = np.median([len(row) for row in rows]) > 1
    rows = rows if spaced else [list("".join(row)) for row in rows]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    drawn = random.random((len(rows), int(lengths.max(initial=0))))
    return tuple(
        (" " if spaced else "").join(w for w, u in zip(row, us, strict=False) if u > rate)
        for row, us in zip(rows, drawn, strict=True)
    )


def remove(table: FeatureTable, names: Collection[str]) -> FeatureTable:
    """These modalities absent: of each clip's frames, tokens and words none is left."""
    gone = np.zeros(len(table) + 1, dtype=np.int64)
    changed = {
        name: replace(_valued(s, s.values[:0]), offsets=gone)
        for name, s in _of(table, names).items()
    }
    table = replace(table, sequences={**table.sequences, **changed})
    return replace(table, tokens=None, raw_text=None) if TEXT in names else table


def variance(sequence: Ragged) -> NDArray[np.float64]:
    """(width,) of each column over all frames; 0 without any."""
    values, frames = sequence.values, max(1, len(sequence.values))
    mean = sum((values[b].sum(axis=0, dtype=np.float64) for b in blocks(values)), np.float64(0))
    squares = (np.square(values[b] - mean / frames).sum(axis=0) for b in blocks(values))
    return np.broadcast_to(sum(squares, np.float64(0)) / frames, values.shape[1:]).copy()


def add_noise(
    table: FeatureTable, name: str, snr: float, power: NDArray[np.float64], seed: int
) -> FeatureTable:
    """White Gaussian noise on the features of one modality.

    snr: signal to noise ratio in decibels; infinity changes nothing. power: (width,) of the signal,
    by column: its `variance`, so that a column's offset is not taken for signal and a column that
    never changes stays as it is.
    """
    (sequence,) = _of(table, [name]).values()
    if np.isinf(snr):
        return table
    scale = np.sqrt(power / 10 ** (snr / 10))
    values = np.random.default_rng(seed).standard_normal(sequence.values.shape, dtype=np.float32)
    values *= scale.astype(np.float32)
    values += sequence.values
    noisy = _valued(sequence, values.astype(sequence.values.dtype, copy=False))
    return replace(table, sequences={**table.sequences, name: noisy})


def shift(table: FeatureTable, name: str, share: float) -> FeatureTable:
    """One modality late by a share of each clip; what leaves it at the end comes in at the start.

    The frames are the same, so that only a model that knows their order can be disturbed. share: in
    [0, 1]; frames are rounded to whole ones.
    """
    (sequence,) = _of(table, [name]).values()
    lengths = sequence.lengths
    starts = np.repeat(sequence.offsets[:-1], lengths)
    late = np.repeat(np.rint(share * lengths).astype(np.int64), lengths)
    source = starts + (np.arange(len(starts)) - starts - late) % np.repeat(lengths, lengths)
    shifted = _valued(sequence, sequence.values[source])
    return replace(table, sequences={**table.sequences, name: shifted})


def shuffle(table: FeatureTable, name: str, seed: int) -> FeatureTable:
    """One modality of each clip is another clip's, every clip's used once; its length goes along.

    Raises DataError where there is no other clip.
    """
    if len(table) < 2:
        raise DataError(f"split '{table.name}': one clip found, two expected to exchange '{name}'")
    found = _of(table, [name])
    order = np.random.default_rng(seed).permutation(len(table))
    rows = np.empty_like(order)
    rows[order] = np.roll(order, 1)  # one cycle through all clips: none stays where it is
    taken = {key: sequence.take(rows) for key, sequence in found.items()}
    changed: dict[str, Any] = {"sequences": {**table.sequences, **taken}}
    if name == TEXT:
        words = table.raw_text
        changed["tokens"] = None if table.tokens is None else table.tokens.take(rows)
        changed["raw_text"] = None if words is None else tuple(words[i] for i in rows)
    return replace(table, **changed)


def _valued(sequence: Ragged, values: NDArray[Any]) -> Ragged:
    """The same clips with other frames; what was known of the old ones does not hold."""
    return replace(sequence, values=values, known_digest=None)


def _of(table: FeatureTable, names: Collection[str]) -> Mapping[str, Ragged]:
    """Raises DataError for a modality that the table does not have; text may be words alone."""
    text = table.tokens is not None or table.raw_text is not None
    for name in names:
        if name not in table.sequences and not (name == TEXT and text):
            raise DataError(
                f"split '{table.name}': modality '{name}' not found, expected one of "
                f"{list(table.sequences)}"
            )
    return {name: table.sequences[name] for name in names if name in table.sequences}
