"""Train, valid and test of clips whose label table does not say them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from tricord.clips.listing import ClipTable
from tricord.clips.notices import label_by_video, of_splits
from tricord.data.derive.grouping import lacking, split_by_group
from tricord.data.readers.label_table import LabelTable, without_features
from tricord.data.schema import SPLITS, UNSPLIT
from tricord.errors import DataError

SHARES = (0.6, 0.2, 0.2)
SEED = 1


def with_splits(
    clips: ClipTable, shares: Sequence[float] = SHARES, seed: int = SEED
) -> tuple[LabelTable, tuple[str, ...]]:
    """The labels with a split for every clip, and what to say of it.

    Rows that have one keep it. The others are split so that no speaker is in two splits or, where
    there are fewer than three speakers or none is named, no video; clip by clip where each video
    has one label and some label fewer than three videos (folders named like classes). The same
    clips, groups and seed give the same splits. Classes that train or valid lacks are said.

    Raises DataError where there are fewer than three videos too, ConfigError for shares that are
    not three positive numbers.
    """
    table = clips.table
    modes = np.array(table.modes or (UNSPLIT,) * len(clips.clips), dtype=object)
    free = np.flatnonzero(modes == UNSPLIT).tolist()
    if not free:
        return table, ()
    rows = take(replace(table, modes=None), free)
    what, groups, notes = _groups(clips, rows, free)
    if len(set(groups)) < len(SPLITS):
        raise DataError(
            f"{table.source}: {len(set(groups))} {what} found, expected {len(SPLITS)} or more to "
            "make train, valid and test of; or say them in a column 'mode'"
        )
    made, report = split_by_group(without_features(rows), {UNSPLIT: groups}, shares, seed)
    of_clip = {clip: name for name, part in made.splits.items() for clip in part.ids}
    modes[free] = [of_clip[clip] for clip in rows.ids]
    sizes = ", ".join(f"{name} {n} ({report.groups[name]})" for name, n in report.clips.items())
    said = f"no column 'mode': clips ({what}) split into: {sizes}"
    if what != "clips":
        said = f"{said}; no {what[:-1]} is in two splits"
    whole = replace(table, modes=tuple(modes.tolist()))
    return whole, (*notes, *of_splits(lacking(without_features(whole))), said)


def take(table: LabelTable, rows: Sequence[int]) -> LabelTable:
    """These rows, in this order."""
    aligned: dict[str, Any] = {
        field.name: tuple(column[row] for row in rows)
        for field in fields(table)
        if isinstance(column := getattr(table, field.name), tuple) and field.name != "notices"
        if column
    }
    return replace(table, scores=table.scores[list(rows)], **aligned)


def _groups(
    clips: ClipTable, rows: LabelTable, free: Sequence[int]
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """(what they are, the group of each row, what to say)."""
    if clips.groups is None and label_by_video(rows):
        return "clips", rows.ids, ()
    if clips.groups is None:
        return "videos", rows.videos, ()
    speakers = tuple(clips.groups[row] for row in free)
    if len(set(speakers)) >= len(SPLITS):
        return "speakers", speakers, ()
    note = (
        f"only {len(set(speakers))} speakers: splits keep videos apart, but not people, so that "
        "results on people not heard before are unknown"
    )
    return "videos", rows.videos, (note,)
