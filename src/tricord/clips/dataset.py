"""From measured clips to a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tricord.clips.clip import ClipFeatures
from tricord.clips.recipe import KEY, Recipe
from tricord.clips.splits import take
from tricord.data.readers.label_table import SCORES, LabelTable
from tricord.data.schema import Dataset, LazySequence, LazySequences, Ragged
from tricord.errors import DataError

SPEAKERS = "speakers"  # where `Dataset.recipe` says who speaks, for new splits


def dataset_of(
    features: Sequence[ClipFeatures],
    recipe: Recipe,
    table: LabelTable | None = None,
    *,
    source: str = "clips",
    speakers: Mapping[str, str] | None = None,
    keep_absent: bool = False,
    lazy: bool = False,
) -> Dataset:
    """The clips as a data set, in order of their ids within each split of the table's modes.

    table: labels of these clips, by id; rows whose clip was not measured are left out. None: no
    labels, one split ``all``. source: where they came from. speakers: clip id -> who speaks.
    keep_absent: keep a modality that no clip has (of length 0 everywhere) instead of leaving it
    out with a notice, for a model that knows it. lazy: put a modality's tracks side by side only
    when it is asked for, for writing.

    Raises DataError where there is no clip, one is there twice or not in the table, or no modality
    is left.
    """
    clips = _by_id(features, source)
    labels = _labels(table, clips, source)
    ids = labels.ids
    lengths = {
        name: {i: len(clip.tracks[name]) for i, clip in clips.items()} for name in recipe.parts
    }
    kept = [name for name in recipe.parts if keep_absent or any(lengths[name].values())]
    if not kept:
        raise DataError(f"{source}: nothing was measured in any clip")

    def sequences(rows: NDArray[np.intp]) -> Mapping[str, Ragged]:
        chosen = [ids[row] for row in rows]
        plans = [
            LazySequence(
                name=name,
                lengths=np.array([lengths[name][i] for i in chosen], dtype=np.int64),
                width=_width(recipe, name),
                read=partial(
                    _ragged, [clips[i] for i in chosen], name, max(lengths[name].values())
                ),
                fresh=True,
            )
            for name in kept
        ]
        found = LazySequences(plans)
        return found if lazy else dict(found)

    return Dataset(
        splits=labels.splits(sequences),
        source=source,
        notices=(*labels.notices, *_left_out(recipe, kept), *notices_of(clips.values())),
        recipe={
            KEY: recipe.model_dump(mode="json"),
            **({} if speakers is None else {SPEAKERS: {i: speakers[i] for i in clips}}),
        },
    )


def notices_of(features: Iterable[ClipFeatures]) -> list[str]:
    """What is to be said of clips, alike ones together: how many, and one of them.

    What stands in brackets differs from clip to clip, and is left away.
    """
    said: dict[str, list[str]] = {}
    for clip in features:
        for line in dict.fromkeys(notice.partition(" (")[0] for notice in clip.notices):
            said.setdefault(line, []).append(clip.id)
    return [
        f"{line}: {len(ids)} clip{'s' * (len(ids) > 1)}, such as '{min(ids)}'"
        for line, ids in sorted(said.items())
    ]


def _by_id(features: Sequence[ClipFeatures], source: str) -> dict[str, ClipFeatures]:
    """Id -> clip, in order of the ids."""
    if not features:
        raise DataError(f"{source}: no clip was measured, expected at least one")
    clips = {clip.id: clip for clip in sorted(features, key=lambda clip: clip.id)}
    if len(clips) < len(features):
        ids = [clip.id for clip in features]
        twice = next(i for i in clips if ids.count(i) > 1)
        raise DataError(f"{source}: clip '{twice}' found twice, expected every id once")
    return clips


def _labels(table: LabelTable | None, clips: Mapping[str, ClipFeatures], source: str) -> LabelTable:
    """The rows of these clips, in their order, with what is said in them."""
    words = tuple(clip.text or "" for clip in clips.values())
    text = words if any(words) else None
    if table is None:
        scores = np.full((len(clips), len(SCORES)), np.nan)
        return LabelTable(source, tuple(clips), ("",) * len(clips), scores, text)
    place = {name: row for row, name in enumerate(table.ids)}
    unknown = [name for name in clips if name not in place]
    if unknown:
        raise DataError(f"{table.source}: clip '{unknown[0]}' not found, expected a row for it")
    return replace(take(table, [place[name] for name in clips]), text=text)


def _width(recipe: Recipe, name: str) -> int:
    return len(recipe.parts[name].description["columns"])


def _ragged(clips: Sequence[ClipFeatures], name: str, longest: int) -> Ragged:
    values = [clip.tracks[name].values for clip in clips]
    offsets = np.concatenate([[0], np.cumsum([len(v) for v in values])]).astype(np.int64)
    return Ragged(np.concatenate(values), offsets, longest)


def _left_out(recipe: Recipe, kept: Sequence[str]) -> list[str]:
    return [f"{name}: no clip has it, left out" for name in recipe.parts if name not in kept]
