"""A cleaned data set and a log of every change; labels and the test split's clips are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tricord.data.derive.fix_frames import (
    Fill,
    drop_dead_columns,
    replace_nonfinite,
    trim_zero_frames,
)
from tricord.data.derive.fix_log import Change, summary
from tricord.data.derive.fix_rows import (
    Fixed,
    Shared,
    drop_absent,
    drop_equal_clips,
    drop_overlap,
    drop_repeated_ids,
)
from tricord.data.readers.layout import LABEL, label_key
from tricord.data.schema import Dataset, FeatureTable

WIDEST = (-3.0, 3.0)  # of the data sets of Table I; CMU-MOSI and CMU-MOSEI


@dataclass(frozen=True)
class Rules:
    """What is fixed; as it stands, what does not need a decision.

    fill: what NaN and infinite cells become. keep_first: of clips with one id and different
    content, the first stays. overlap: a clip, or a whole video, leaves training where another
    split has it. trim: lengths end where the zeros of the padding begin. equal_clips: the same
    clip under another id goes too. dead_columns: columns of one value go. zero_is_absent: a
    modality of zeros alone counts as absent. absent: clips that lack a modality go.
    label_range: labels outside are reported, never changed.
    """

    fill: Fill = "zero"
    keep_first: bool = False
    overlap: Shared = "clip"
    trim: bool = True
    equal_clips: bool = False
    dead_columns: bool = False
    zero_is_absent: bool = False
    absent: bool = False
    label_range: tuple[float, float] = WIDEST


def fix(dataset: Dataset, rules: Rules | None = None) -> tuple[Dataset, list[Change]]:
    """The data set, as `tricord.data.load.read` gives it, without what the rules mend; and a log.

    What is lazy stays lazy: each rule reads one sequence at a time to see what is to be changed.
    The notices say the changes in short. Raises DataError where a rule would leave nothing, and
    for an id with two contents.
    """
    rules = rules or Rules()
    changes: list[Change] = []
    for step in _steps(rules):
        dataset, found = step(dataset)
        changes += found
    changes += labels_beyond(dataset, *rules.label_range)
    return replace(dataset, notices=(*dataset.notices, *summary(changes))), changes


def _steps(rules: Rules) -> Sequence[Callable[[Dataset], Fixed]]:
    """In an order where each sees what the ones before it left."""
    steps: list[Callable[[Dataset], Fixed]] = [
        lambda data: drop_repeated_ids(data, keep_first=rules.keep_first),
        lambda data: drop_overlap(data, "clip"),
    ]
    if rules.overlap == "video":
        steps.append(lambda data: drop_overlap(data, "video"))
    if rules.equal_clips:
        steps.append(drop_equal_clips)
    steps.append(lambda data: replace_nonfinite(data, rules.fill))
    if rules.trim or rules.zero_is_absent:
        steps.append(
            lambda data: trim_zero_frames(data, trim=rules.trim, absent=rules.zero_is_absent)
        )
    if rules.absent:
        steps.append(drop_absent)
    if rules.dead_columns:
        steps.append(drop_dead_columns)
    return steps


def labels_beyond(dataset: Dataset, low: float, high: float) -> list[Change]:
    """Labels outside [low, high], as records of what was not changed.

    Whole numbers from 0 on, such as class numbers, are not judged.
    """
    keys = (LABEL, *map(label_key, dataset.modalities))
    changes = []
    for name, table in dataset.splits.items():
        for key, column in zip(keys, table.scores.T, strict=True):
            known = column[~np.isnan(column)]
            numbers = bool(((known >= 0) & (known == np.floor(known))).all())
            beyond = np.flatnonzero((column < low) | (column > high))
            if len(beyond) and not (numbers and key == LABEL):
                changes.append(_beyond(table, name, key, beyond, float(column[beyond[0]])))
    return changes


def _beyond(table: FeatureTable, split: str, key: str, rows: np.ndarray, example: float) -> Change:
    ids = tuple(table.ids[row] for row in rows)
    return Change("label-range", split, key, "reported", len(rows), "labels", ids, before=example)
