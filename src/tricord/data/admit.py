"""What every data set must hold before it is used: one clip once, one width, finite numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from tricord.data.gather import plans_of
from tricord.data.mapped import blocks
from tricord.data.schema import Dataset, FeatureTable, LazySequence, LazySequences, Ragged
from tricord.errors import DataError


def admit(dataset: Dataset, *, lazy: bool = False) -> Dataset:
    """The data set with 0 for cells that are not finite, counted in its notices.

    lazy: leave sequences in their file and treat each as it is asked for, instead of holding all.

    Raises DataError for an id found twice, in a split or in two of them, for widths that differ
    between splits, and for a modality without a finite number.
    """
    _check_ids(dataset)
    _check_widths(dataset)
    notices = list(dataset.notices)
    splits = {
        name: _admitted(table, dataset.source, lazy, notices.append)
        for name, table in dataset.splits.items()
    }
    return replace(dataset, splits=splits, notices=notices if lazy else tuple(notices))


def finite(ragged: Ragged, *, fresh: bool = False) -> tuple[Ragged, dict[str, int]]:
    """The same frames with 0 for NaN and infinity, and how many cells of each kind there were.

    fresh: the array given may be changed, instead of a copy of it.
    """
    values, counts = ragged.values, Counter[str]()
    for rows in blocks(values):
        bad = ~np.isfinite(values[rows])
        if not bad.any():
            continue
        if values is ragged.values and not fresh:
            values = values.copy()
        cells = values[rows][bad]
        counts["NaN"] += int(np.isnan(cells).sum())
        counts["+inf"] += int((cells == np.inf).sum())
        counts["-inf"] += int((cells == -np.inf).sum())
        values[rows][bad] = 0
    found = {kind: count for kind, count in counts.items() if count}
    return (replace(ragged, values=values, known_digest=None) if found else ragged), found


def _admitted(
    table: FeatureTable, source: str, lazy: bool, note: Callable[[str], None]
) -> FeatureTable:
    plans = LazySequences(
        replace(plan, read=partial(_clean, plan, table.name, source, note))
        for plan in plans_of(table).values()
    )
    return replace(table, sequences=plans if lazy else dict(plans))


def _clean(plan: LazySequence, split: str, source: str, note: Callable[[str], None]) -> Ragged:
    ragged, found = finite(plan.read(), fresh=plan.fresh)
    if not found:
        return ragged
    if sum(found.values()) == ragged.values.size:
        raise DataError(
            f"{source}: split '{split}', key '{plan.name}': every cell is NaN or infinite, "
            "expected finite numbers"
        )
    counts = ", ".join(f"{count} {kind}" for kind, count in found.items())
    note(f"{split}: {plan.name}: {counts} cells replaced by 0")
    return ragged


def _check_ids(dataset: Dataset) -> None:
    owner: dict[str, str] = {}
    for split, table in dataset.splits.items():
        where = f"{dataset.source}: split '{split}', key 'id'"
        if not table.ids:
            raise DataError(f"{where}: no clip found, expected at least one")
        twice, times = Counter(table.ids).most_common(1)[0]
        if times > 1:
            raise DataError(
                f"{where}: {twice!r} found {times} times, expected ids without duplicates"
            )
        shared = [clip for clip in table.ids if clip in owner]
        if shared:
            example = min(shared)
            raise DataError(
                f"{where}: {len(shared)} of its clips are in split '{owner[example]}' too, such "
                f"as {example!r}, expected none"
            )
        owner |= dict.fromkeys(table.ids, split)


def _check_widths(dataset: Dataset) -> None:
    first, *rest = dataset.splits.values()
    expected = first.widths
    for table in rest:
        for name, width in table.widths.items():
            if width != expected[name]:
                raise DataError(
                    f"{dataset.source}: split '{table.name}', key '{name}': width {width} found, "
                    f"expected {expected[name]} as in split '{first.name}'"
                )
