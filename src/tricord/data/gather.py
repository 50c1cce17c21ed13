"""Clips of several tables brought together in a new one; what is lazy stays lazy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import Dataset, FeatureTable, LazySequence, LazySequences, Ragged

Ints = NDArray[np.int64]


def gather(name: str, tables: Sequence[FeatureTable], owner: Ints, rows: Ints) -> FeatureTable:
    """The table ``name`` whose clip i is row ``rows[i]`` of ``tables[owner[i]]``; (N,) each.

    The tables have the same modalities and widths. Tokens, words and label words are kept where
    all tables have them. One sequence of one table is in memory beside the new one at a time.
    """
    first = tables[0]
    plans = [gather_plan(key, tables, owner, rows) for key in first.sequences]
    tokens = [table.tokens for table in tables if table.tokens is not None]
    return FeatureTable(
        name=name,
        ids=_words([table.ids for table in tables], owner, rows),
        sequences=sequences_of(plans, lazy=any(map(is_lazy, tables))),
        scores=_scores(tables, owner, rows),
        tokens=gather_sequences(tokens, owner, rows) if len(tokens) == len(tables) else None,
        raw_text=_optional([table.raw_text for table in tables], owner, rows),
        label_names=_optional([table.label_names for table in tables], owner, rows),
    )


def take(table: FeatureTable, rows: Ints) -> FeatureTable:
    """The given clips in the given order, as `FeatureTable.take`, but lazy where the table is."""
    return gather(table.name, [table], np.zeros(len(rows), np.int64), rows)


def is_lazy(table: FeatureTable) -> bool:
    """Whether the table's sequences are still in their file."""
    return isinstance(table.sequences, LazySequences)


def deferred(dataset: Dataset) -> Dataset:
    """The same data, each sequence read when it is asked for: of a mapped file, one at a time."""
    splits = {
        name: replace(table, sequences=LazySequences(plans_of(table).values()))
        for name, table in dataset.splits.items()
    }
    return replace(dataset, splits=splits)


def plans_of(table: FeatureTable) -> dict[str, LazySequence]:
    """A table's sequences, in memory or not, as things to be read later."""
    if isinstance(table.sequences, LazySequences):
        return dict(table.sequences.plans)
    lengths, widths = table.lengths, table.widths
    return {
        name: LazySequence(name, lengths[name], widths[name], partial(_of, table.sequences, name))
        for name in table.sequences
    }


def sequences_of(plans: Iterable[LazySequence], *, lazy: bool) -> Mapping[str, Ragged]:
    """Sequences by modality, read now unless ``lazy``."""
    sequences = LazySequences(plans)
    return sequences if lazy else dict(sequences)


def gather_sequences(parts: Iterable[Ragged], owner: Ints, rows: Ints) -> Ragged:
    """The sequence of row ``rows[i]`` of part ``owner[i]``, for every i; (N,) each.

    parts: all of the same width; each is asked for once, and let go before the next.
    """
    lengths = np.zeros(len(rows), np.int64)
    taken: list[Ragged] = []
    for number, part in enumerate(parts):
        here = owner == number
        lengths[here] = part.lengths[rows[here]]
        taken.append(part.take(rows[here]))
    longest = max(part.padded_length for part in taken)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    if len(taken) == 1:
        return Ragged(taken[0].values, offsets, longest)
    dtype = np.result_type(*(part.values.dtype for part in taken))
    values = np.empty((offsets[-1], *taken[0].values.shape[1:]), dtype)
    whole = Ragged(values, offsets, longest)
    for number in range(len(taken)):
        places = whole.positions(np.flatnonzero(owner == number))
        values[places] = taken[number].values
        taken[number] = whole  # lets go of the part
    return whole


def _of(sequences: Mapping[str, Ragged], name: str) -> Ragged:
    return sequences[name]


def gather_plan(key: str, tables: Sequence[FeatureTable], owner: Ints, rows: Ints) -> LazySequence:
    """The sequences ``key`` of `gather`, to be read later."""
    lengths = np.zeros(len(rows), np.int64)
    for number, table in enumerate(tables):
        here = owner == number
        lengths[here] = table.lengths[key][rows[here]]

    def read() -> Ragged:
        return gather_sequences((table.sequences[key] for table in tables), owner, rows)

    return LazySequence(key, lengths, tables[0].widths[key], read)


def _scores(tables: Sequence[FeatureTable], owner: Ints, rows: Ints) -> NDArray[np.float64]:
    scores = np.full((len(rows), tables[0].scores.shape[1]), np.nan)
    for number, table in enumerate(tables):
        here = owner == number
        scores[here] = table.scores[rows[here]]
    return scores


def _words(columns: Sequence[tuple[str, ...]], owner: Ints, rows: Ints) -> tuple[str, ...]:
    return tuple(columns[i][row] for i, row in zip(owner.tolist(), rows.tolist(), strict=True))


def _optional(
    columns: Sequence[tuple[str, ...] | None], owner: Ints, rows: Ints
) -> tuple[str, ...] | None:
    present = [column for column in columns if column is not None]
    return _words(present, owner, rows) if len(present) == len(columns) else None
