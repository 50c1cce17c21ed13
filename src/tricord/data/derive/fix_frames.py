"""Frames that mislead: not finite, padding taken as real, columns that never change.

Each rule reads one sequence at a time to see what it would change, and changes it when it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tricord.data.derive.fix_log import Action, Change
from tricord.data.derive.fix_rows import Fixed, content_lengths
from tricord.data.gather import is_lazy, plans_of, sequences_of
from tricord.data.mapped import blocks
from tricord.data.schema import Dataset, FeatureTable, LazySequence, Ragged

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Fill = Literal["zero", "column-mean"]
_KINDS: dict[str, Callable[[NDArray[np.floating]], NDArray[np.bool_]]] = {
    "NaN": np.isnan,
    "+inf": np.isposinf,
    "-inf": np.isneginf,
}
TRAIN = "train"


def replace_nonfinite(dataset: Dataset, fill: Fill = "zero") -> Fixed:
    """NaN and infinite cells become 0, or the mean of the column's finite cells in train.

    A column without a finite cell there is filled with 0; a split of a modality without any
    finite cell is left, for it cannot be mended.
    """
    changes: list[Change] = []
    for modality in dataset.modalities:
        means = column_means(dataset, modality) if fill == "column-mean" else None
        for name, table in dataset.splits.items():
            filled = np.zeros(table.widths[modality]) if means is None else means
            found = _nonfinite(table, modality, filled)
            if found:
                plan = _then(table, modality, _Filled(filled))
                dataset = _with_plan(dataset, name, plan)
            changes += found
    return dataset, changes


def trim_zero_frames(dataset: Dataset, *, trim: bool = True, absent: bool = False) -> Fixed:
    """Lengths end at the last frame that is not all zeros, with ``trim``.

    A clip of zeros alone keeps its length, and is reported; with ``absent`` it becomes an absent
    modality (length 0). Text under an attention mask is left as the mask says.
    """
    changes: list[Change] = []
    for name, table in dataset.splits.items():
        for modality, width in table.widths.items():
            old = table.lengths[modality]
            if not width or (modality == "text" and _is_masked(table, old)):
                continue
            new = content_lengths(table.sequences[modality])
            empty = (new == 0) & (old > 0)
            cut = (new < old) & ~empty & trim
            new = np.where(cut | (empty & absent), new, old)
            action: Action = "changed" if absent else "reported"
            frames = int((old - new)[cut].sum())
            changes += _clip_changes("all-zero", table, modality, empty, action, "clips")
            changes += _clip_changes(
                "zero-padding", table, modality, cut, "changed", "frames", frames
            )
            if (new < old).any():
                plan = replace(_then(table, modality, _Trimmed(new)), lengths=new)
                dataset = _with_plan(dataset, name, plan)
    return dataset, changes


def drop_dead_columns(dataset: Dataset) -> Fixed:
    """Without columns that have one value in all frames of train (of all splits without train).

    A modality of which nothing would be left is kept as it is, and reported.
    """
    changes: list[Change] = []
    judged = [TRAIN] if TRAIN in dataset else list(dataset.splits)
    for modality, width in dataset.widths.items():
        if not width:
            continue
        low, high = _extent(dataset, judged, modality)
        dead = np.flatnonzero(low == high)
        whole = len(dead) == width
        action: Action = "reported" if whole else "dropped"
        changes += [
            Change(
                "dead-column", "all", modality, action, 1, "columns", column=c, before=float(low[c])
            )
            for c in dead.tolist()
        ]
        if not len(dead) or whole:
            continue
        kept = np.flatnonzero(low != high)
        for name, table in dataset.splits.items():
            plan = replace(_then(table, modality, _Columns(kept)), width=len(kept))
            dataset = _with_plan(dataset, name, plan)
    return dataset, changes


def column_means(dataset: Dataset, modality: str) -> Floats:
    """(width,) mean of each column's finite cells in train, or in all splits without train."""
    total = np.zeros(dataset.widths[modality])
    cells = np.zeros(dataset.widths[modality])
    for name in [TRAIN] if TRAIN in dataset else dataset:
        values = dataset.splits[name].sequences[modality].values
        for rows in blocks(values):
            finite = np.isfinite(values[rows])
            total += np.where(finite, values[rows], 0).sum(axis=0, dtype=np.float64)
            cells += finite.sum(axis=0)
    return total / np.maximum(cells, 1)


class _Filled:
    def __init__(self, fill: Floats) -> None:
        self.fill = fill

    def __call__(self, ragged: Ragged) -> Ragged:
        values = ragged.values
        for rows in blocks(values):
            bad = ~np.isfinite(values[rows])
            if bad.any():
                if values is ragged.values:
                    values = values.copy()
                values[rows] = np.where(bad, self.fill, values[rows])
        return replace(ragged, values=values, known_digest=None)


class _Trimmed:
    def __init__(self, lengths: Ints) -> None:
        self.lengths = lengths

    def __call__(self, ragged: Ragged) -> Ragged:
        steps = np.arange(len(ragged.values)) - np.repeat(ragged.offsets[:-1], ragged.lengths)
        offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        kept = steps < np.repeat(self.lengths, ragged.lengths)
        return Ragged(ragged.values[kept], offsets, ragged.padded_length)


class _Columns:
    def __init__(self, kept: Ints) -> None:
        self.kept = kept

    def __call__(self, ragged: Ragged) -> Ragged:
        return replace(ragged, values=ragged.values[:, self.kept], known_digest=None)


def _then(table: FeatureTable, modality: str, change: Callable[[Ragged], Ragged]) -> LazySequence:
    """The plan to read a sequence and change it."""
    plan = plans_of(table)[modality]
    read = plan.read
    return replace(plan, read=lambda: change(read()))


def _with_plan(dataset: Dataset, split: str, plan: LazySequence) -> Dataset:
    table = dataset.splits[split]
    plans = {**plans_of(table), plan.name: plan}
    changed = replace(table, sequences=sequences_of(plans.values(), lazy=is_lazy(table)))
    return replace(dataset, splits={**dataset.splits, split: changed})


def _nonfinite(table: FeatureTable, modality: str, fill: Floats) -> list[Change]:
    ragged = table.sequences[modality]
    width = ragged.width
    counts = {kind: np.zeros(width, np.int64) for kind in _KINDS}
    frames: dict[tuple[str, int], list[Ints]] = {}
    for rows in blocks(ragged.values):
        cells = ragged.values[rows]
        if np.isfinite(cells).all():
            continue
        for kind, is_kind in _KINDS.items():
            bad = is_kind(cells)
            counts[kind] += bad.sum(axis=0)
            for column in np.flatnonzero(bad.any(axis=0)).tolist():
                place = frames.setdefault((kind, column), [])
                place.append(rows.start + np.flatnonzero(bad[:, column]))
    if sum(int(found.sum()) for found in counts.values()) == ragged.values.size:
        return []
    changes = []
    for (kind, column), places in frames.items():
        clips = np.unique(np.searchsorted(ragged.offsets, np.concatenate(places), side="right") - 1)
        changes.append(
            Change(
                "nonfinite", table.name, modality, "changed", int(counts[kind][column]), "cells",
                ids=tuple(table.ids[row] for row in clips),
                column=column, before=kind, after=float(np.float32(fill[column])),
            )
        )  # fmt: skip
    return sorted(changes, key=lambda change: (change.column or 0, str(change.before)))


def _clip_changes(
    rule: str,
    table: FeatureTable,
    modality: str,
    members: NDArray[np.bool_],
    action: Action,
    unit: str,
    count: int | None = None,
) -> list[Change]:
    rows = np.flatnonzero(members)
    if not len(rows):
        return []
    ids = tuple(table.ids[row] for row in rows)
    number = len(rows) if count is None else count
    return [Change(rule, table.name, modality, action, number, unit, ids)]


def _is_masked(table: FeatureTable, lengths: Ints) -> bool:
    return table.tokens is not None and np.array_equal(table.tokens.lengths, lengths)


def _extent(dataset: Dataset, splits: list[str], modality: str) -> tuple[Floats, Floats]:
    """(width,) least and greatest value of each column in these splits."""
    low = np.full(dataset.widths[modality], np.inf)
    high = -low
    for name in splits:
        values = dataset.splits[name].sequences[modality].values
        for rows in blocks(values):
            low = np.minimum(low, values[rows].min(axis=0))
            high = np.maximum(high, values[rows].max(axis=0))
    return low, high
