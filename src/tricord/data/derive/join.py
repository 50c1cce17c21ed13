"""One modality from another file, matched by id and never by row.

Two files of the same clips have them in whatever order their workers finished (section 3.1 of the
formats): row by row, clips are silently paired with one another's features.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tricord.data.admit import admit
from tricord.data.derive.join_report import JoinReport, examples
from tricord.data.gather import gather, gather_plan, is_lazy, plans_of, sequences_of, take
from tricord.data.load import read
from tricord.data.schema import ID_SEPARATOR, Dataset, FeatureTable, Ragged
from tricord.errors import DataError
from tricord.types import MODALITIES, Modality

Matching = Literal["exact", "loose"]
Ints = NDArray[np.int64]
Place = tuple[int, int]  # number of the split in the other file, row
_CLIPS = "clips"  # where a data set extracted from clips says how; see `tricord.clips.recipe`
_SAME_LABEL = 1e-4  # files keep labels as float32 or rounded
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9]+$)")


def joined(
    data: Dataset,
    *,
    audio: Path | None = None,
    vision: Path | None = None,
    text: Path | None = None,
    allow_missing: float | int = 0,
    matching: Matching = "exact",
) -> Dataset:
    """The data set with these modalities from other files (see `join`), and notices of it.

    Data in memory comes back in memory and fit for use; lazy data, as `read` gives it, comes back
    lazy and still has to be admitted.
    """
    files = {Modality.TEXT: text, Modality.AUDIO: audio, Modality.VISION: vision}
    chosen = {str(modality): path for modality, path in files.items() if path is not None}
    for modality, path in chosen.items():
        data, _ = join(data, modality, read(path), allow_missing=allow_missing, matching=matching)
    lazy = any(map(is_lazy, data.splits.values()))
    return admit(data) if chosen and not lazy else data


def join(
    base: Dataset,
    modality: str,
    other: Dataset,
    *,
    allow_missing: float | int = 0,
    matching: Matching = "exact",
) -> tuple[Dataset, JoinReport]:
    """``base`` with the features of ``modality`` from ``other``, each clip's by its id.

    An id is looked for in all splits of ``other``. Splits, order and labels are those of ``base``;
    for text, tokens and words come with the features where ``other`` has them. The labels of a
    modality that ``base`` did not have come from ``other``. A clip without a match is dropped.
    All missing and surplus ids are kept in the recipe, under ``joined`` and the modality.

    allow_missing: how many clips a split may lose, a count (int) or a share of it (float).
    matching: "loose" overlooks blanks, zeros in front of clip numbers, and whether video and clip
    are joined by ``$_$`` or ``_``.

    Raises DataError where a split would lose more or all, where an id is found twice with
    different content, and where ``other`` lacks the modality or has it in several widths.
    """
    tables = tuple(other.splits.values())
    _check_modality(other, modality)
    key = loose if matching == "loose" else str
    found = _Index(other, modality, key)
    kept: dict[str, Ints] = {}
    missing: dict[str, tuple[str, ...]] = {}
    for name, table in base.splits.items():
        there = np.array([key(clip) in found.places for clip in table.ids], dtype=bool)
        kept[name] = np.flatnonzero(there)
        missing[name] = tuple(table.ids[row] for row in np.flatnonzero(~there))
        _check_loss(base, name, missing[name], other, modality, allow_missing, found)
    _check_ambiguous(base, key)
    splits, places = {}, {}
    for name, table in base.splits.items():
        rest = table if len(kept[name]) == len(table) else take(table, kept[name])
        places[name] = found.of(rest.ids)
        splits[name] = _with_modality(rest, modality, tables, places[name])
    differing = [_differences(base.splits[n], kept[n], tables, places[n]) for n in splits]
    used = {key(clip) for table in base.splits.values() for clip in table.ids}
    report = JoinReport(
        modality=modality,
        source=other.source,
        matched={name: len(table) for name, table in splits.items()},
        missing=missing,
        alike=found.alike(clip for ids in missing.values() for clip in ids),
        surplus=tuple(sorted({c for t in tables for c in t.ids if key(c) not in used})),
        relabelled=sum(labels for labels, _ in differing),
        reworded=sum(words for _, words in differing),
    )
    recipe = {**base.recipe, "joined": {**_joined(base), modality: report.to_json()}}
    recipe |= _how_measured(base, other, modality)
    if modality in other.recipe or modality in recipe:
        recipe[modality] = other.recipe.get(modality, {"source": other.source})
    notices = (*base.notices, *report.lines())
    return replace(base, splits=splits, notices=notices, recipe=recipe), report


def _how_measured(base: Dataset, other: Dataset, modality: str) -> dict[str, object]:
    """How clips were measured, with the other's part for this modality, or none."""
    ours, theirs = (data.recipe.get(_CLIPS) for data in (base, other))
    if not isinstance(ours, Mapping):
        return {}
    part = theirs.get(modality) if isinstance(theirs, Mapping) else None
    return {_CLIPS: {**ours, modality: part}}


def _joined(base: Dataset) -> Mapping[str, object]:
    before = base.recipe.get("joined")
    return before if isinstance(before, Mapping) else {}


def loose(clip: str) -> str:
    """An id without what files write differently: blanks, zeros before a number, ``$_$`` or ``_``.

    The same string for ``"a$_$0003"``, ``" a_3 "`` and ``"a $_$ 3"``.
    """
    parts = "".join(clip.split()).replace(ID_SEPARATOR, "_")
    return _ZEROS.sub("", parts)


class _Index:
    """Where each clip of the other file is."""

    def __init__(self, other: Dataset, modality: str, key: Callable[[str], str]) -> None:
        self.other, self.modality, self.key = other, modality, key
        self.tables = tuple(other.splits.values())
        self.places: dict[str, Place] = {}
        again: list[tuple[Place, Place]] = []
        for number, table in enumerate(self.tables):
            for row, clip in enumerate(table.ids):
                first = self.places.setdefault(key(clip), (number, row))
                if first != (number, row):
                    again.append((first, (number, row)))
        self._check_same(again)

    def of(self, ids: Iterable[str]) -> Ints:
        """(N, 2): split and row of each of these ids, which are all here."""
        return np.array([self.places[self.key(clip)] for clip in ids]).reshape(-1, 2)

    def alike(self, ids: Iterable[str]) -> int:
        """How many of these ids are here in another spelling (see `loose`)."""
        spelled = {loose(clip) for clip in self.places}
        return sum(loose(clip) in spelled for clip in ids)

    def _check_same(self, again: list[tuple[Place, Place]]) -> None:
        if not again:
            return
        contents = [self._contents(table) for table in self.tables]
        for places in again:
            first, second = (contents[number][row] for number, row in places)
            if first != second:
                names = [self.tables[number].ids[row] for number, row in places]
                splits = [self.tables[number].name for number, _ in places]
                raise DataError(
                    f"{self.other.source}: split '{splits[1]}', key 'id': {names[1]!r} has other "
                    f"{self.modality}, words or labels than {names[0]!r} of split '{splits[0]}', "
                    "expected one content for one clip"
                )

    def _contents(self, table: FeatureTable) -> list[tuple[bytes, ...]]:
        """Of each clip all that a join takes or compares, as bytes."""
        words = table.raw_text or ("",) * len(table)
        parts = [
            _bytes(table.sequences[self.modality]),
            [word.encode(errors="surrogatepass") for word in words],
            [row.tobytes() for row in table.scores],
        ]
        if self.modality == Modality.TEXT and table.tokens is not None:
            parts.append(_bytes(table.tokens))
        return list(zip(*parts, strict=True))


def _bytes(ragged: Ragged) -> list[bytes]:
    return [part.tobytes() for part in np.split(ragged.values, ragged.offsets[1:-1])]


def _check_modality(other: Dataset, modality: str) -> None:
    if modality not in other.modalities:
        raise DataError(
            f"{other.source}: no {modality} found, expected it beside {list(other.modalities)}"
        )
    widths = {name: table.widths[modality] for name, table in other.splits.items()}
    if len(set(widths.values())) > 1:
        raise DataError(f"{other.source}: key '{modality}': widths {widths} found, expected one")


def _check_loss(
    base: Dataset,
    split: str,
    missing: tuple[str, ...],
    other: Dataset,
    modality: str,
    allow: float | int,
    found: _Index,
) -> None:
    """Raises DataError where a split would lose more than is allowed, or all it has."""
    clips = len(base.splits[split])
    limit = allow * clips if isinstance(allow, float) else allow
    if not missing or (len(missing) <= limit and len(missing) < clips):
        return
    place = f"{base.source}: split '{split}': {len(missing)} of {clips} clips"
    what = f"{place} have no {modality} in {other.source}, such as {examples(missing)}"
    if alike := found.alike(missing):
        raise DataError(
            f"{what}; {alike} of them match when blanks, leading zeros and '$_$' or '_' are "
            "overlooked: --join-ids loose"
        )
    if len(missing) == clips:
        raise DataError(f"{what}; expected the ids of the same clips")
    raise DataError(
        f"{what}; expected at most {limit:g}: --allow-missing {len(missing)} drops these clips"
    )


def _check_ambiguous(base: Dataset, key: Callable[[str], str]) -> None:
    """Raises DataError where two ids of the base would get one clip."""
    known: dict[str, str] = {}
    for table in base.splits.values():
        for clip in table.ids:
            first = known.setdefault(key(clip), clip)
            if first != clip:
                raise DataError(
                    f"{base.source}: key 'id': {first!r} and {clip!r} are the same clip when "
                    "blanks and leading zeros are overlooked, expected different ones"
                )


def _with_modality(
    table: FeatureTable, modality: str, tables: tuple[FeatureTable, ...], places: Ints
) -> FeatureTable:
    owner, rows = places.T
    plans = plans_of(table)
    plans[modality] = gather_plan(modality, tables, owner, rows)
    order = [*(m for m in MODALITIES if m in plans), *(m for m in plans if m not in MODALITIES)]
    old = dict(zip(table.sequences, table.scores.T[1:], strict=True))
    column = 1 + list(tables[0].sequences).index(modality)
    theirs = np.array([tables[i].scores[row, column] for i, row in places.tolist()])
    columns = [old.get(name, theirs) for name in order]
    changed = replace(
        table,
        sequences=sequences_of((plans[name] for name in order), lazy=is_lazy(table)),
        scores=np.column_stack([table.scores[:, 0], *columns]),
    )
    return _with_words(changed, tables, owner, rows) if modality == Modality.TEXT else changed


def _with_words(
    table: FeatureTable, tables: tuple[FeatureTable, ...], owner: Ints, rows: Ints
) -> FeatureTable:
    """The tokens and words of the other file, where it has them."""
    there = gather(table.name, [replace(t, sequences={}) for t in tables], owner, rows)
    return replace(
        table,
        tokens=table.tokens if there.tokens is None else there.tokens,
        raw_text=table.raw_text if there.raw_text is None else there.raw_text,
    )


def _differences(
    table: FeatureTable, kept: Ints, tables: tuple[FeatureTable, ...], places: Ints
) -> tuple[int, int]:
    """How many clips have another label, and how many other words, in the other file."""
    theirs = gather(table.name, [replace(t, sequences={}) for t in tables], *places.T)
    labels = table.scores[kept, 0] - theirs.scores[:, 0]  # NaN where one does not know
    words = 0
    if table.raw_text is not None and theirs.raw_text is not None:
        ours = [_plain(table.raw_text[row]) for row in kept]
        words = sum(a != _plain(b) for a, b in zip(ours, theirs.raw_text, strict=True))
    return int((np.abs(labels) > _SAME_LABEL).sum()), words


def _plain(words: str) -> str:
    return "".join(words.split()).casefold()
