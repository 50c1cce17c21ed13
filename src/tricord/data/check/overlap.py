"""Clips, ids and videos that occur more than once, within a split or across."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from tricord.data.check.evidence import Evidence
from tricord.data.check.findings import (
    FIX_COMMAND,
    SPLIT_COMMAND,
    Finding,
    Severity,
    Where,
    of_many,
)
from tricord.data.schema import ID_SEPARATOR, UNSPLIT
from tricord.types import Modality

Place = tuple[str, int]  # split, row


def findings(evidence: Evidence) -> Iterator[Finding]:
    """Ids, frames, videos."""
    yield from _ids_twice(evidence)
    yield from _ids_shared(evidence)
    yield from _clips(evidence)
    for modality in evidence.modalities:
        if modality != Modality.TEXT:  # the same words have the same features: see the raw texts
            yield from _sequences(evidence, modality)
    yield from _videos(evidence)
    yield from _groups(evidence)


def _ids_twice(evidence: Evidence) -> Iterator[Finding]:
    for split, table in evidence.tables.items():
        twice = [name for name, times in Counter(table.ids).items() if times > 1]
        if twice:
            yield Finding(
                "id-duplicate",
                Severity.ERROR,
                f"{len(twice)} ids stand in more than one row of {split}",
                "Rows cannot be told apart, and joining by id would pair the wrong ones.",
                f"{FIX_COMMAND} (equal rows stay once; --keep-first where they differ)",
                Where.at([split], ids=twice),
            )


def _ids_shared(evidence: Evidence) -> Iterator[Finding]:
    for one, other in combinations(evidence.tables, 2):
        shared = sorted(set(evidence.tables[one].ids) & set(evidence.tables[other].ids))
        if shared:
            yield Finding(
                "id-shared",
                Severity.ERROR,
                f"{len(shared)} ids are in {one} and in {other}",
                f"The same clips are seen in {one} and judged in {other}: results are too good.",
                f"{FIX_COMMAND} (they leave the split of training)",
                Where.at([one, other], ids=shared),
            )


def _id(evidence: Evidence, place: Place) -> str:
    return evidence.tables[place[0]].ids[place[1]]


def _repeated(evidence: Evidence, modalities: tuple[str, ...]) -> list[list[Place]]:
    """Groups of clips with different ids whose frames are the same in these modalities.

    Clips without a frame other than zero say nothing and are left out, as are clips of which there
    is nothing but text: the same words are no sign of the same recording.
    """
    groups: dict[bytes, list[Place]] = {}
    for split, scans in evidence.scans.items():
        found = [scans[m] for m in modalities if m in scans]
        telling = [scans[m] for m in modalities if m in scans and m != Modality.TEXT]
        something = np.any([~(s.blank | s.absent) for s in telling], axis=0)
        for row in np.flatnonzero(something).tolist():
            key = b"".join(bytes(s.hashes[row]).ljust(16, b"\0") for s in found)
            groups.setdefault(key, []).append((split, row))
    return [g for g in groups.values() if len({_id(evidence, place) for place in g}) > 1]


def _clips(evidence: Evidence) -> Iterator[Finding]:
    if not set(evidence.modalities) - {Modality.TEXT}:
        return
    groups = _repeated(evidence, evidence.modalities)
    within = [g for g in groups if len({split for split, _ in g}) == 1]
    across = [g for g in groups if len({split for split, _ in g}) > 1]
    for found, rule, severity, what, means, command in (
        (
            across,
            "clip-leak",
            Severity.ERROR,
            "in several splits under different ids",
            "The same recordings are trained on and judged: results are too good.",
            f"{FIX_COMMAND} --drop-duplicates",
        ),
        (
            within,
            "clip-duplicate",
            Severity.WARNING,
            "more than once in a split under different ids",
            "They count double in training and in every score.",
            f"{FIX_COMMAND} --drop-duplicates",
        ),
    ):
        if not found:
            continue
        places = [place for group in found for place in group]
        yield Finding(
            rule,
            severity,
            f"{len(found)} clips occur {what}, every frame the same ({len(places)} rows"
            f"{_disagreeing(evidence, found)})",
            means,
            command,
            Where.at((s for s, _ in places), ids=(_id(evidence, place) for place in places)),
        )


def _disagreeing(evidence: Evidence, groups: list[list[Place]]) -> str:
    def scores(group: list[Place]) -> set[float]:
        return {float(evidence.tables[split].scores[row, 0]) for split, row in group}

    differ = sum(len({x for x in scores(g) if not np.isnan(x)}) > 1 for g in groups)
    return f", {differ} with labels that differ" if differ else ""


def _sequences(evidence: Evidence, modality: str) -> Iterator[Finding]:
    whole = {
        place
        for group in _repeated(evidence, evidence.modalities)
        for place in group
        if len(evidence.modalities) > 1
    }
    groups = [
        group
        for group in _repeated(evidence, (modality,))
        if len(evidence.modalities) > 1 and not whole.issuperset(group)
    ]
    if not groups:
        return
    places = [place for group in groups for place in group]
    total = sum(len(table) for table in evidence.tables.values())
    yield Finding(
        "sequence-duplicate",
        Severity.WARNING,
        f"{of_many(len(places), total)} share all their frames with a clip of another id, "
        f"{len(groups)} different sequences",
        "Other modalities differ, so rows may be mis-paired, one recording may be cut twice, or a "
        "default was written where the extractor failed.",
        "Extract these clips again; join files by id, never by row: tricord data convert --help",
        Where.at((s for s, _ in places), modality, ids=(_id(evidence, p) for p in places)),
    )


def _videos(evidence: Evidence) -> Iterator[Finding]:
    if UNSPLIT in evidence.tables or not all(
        ID_SEPARATOR in name for table in evidence.tables.values() for name in table.ids
    ):
        return
    videos = {split: set(table.videos.tolist()) for split, table in evidence.tables.items()}
    text, names, splits = _shared(videos, "videos")
    if not names:
        return
    official = evidence.known is not None and evidence.known.shares_videos
    yield Finding(
        "video-overlap",
        Severity.NOTE if official else Severity.WARNING,
        text,
        "Clips of a video share speaker, room and camera, so a model may know them by that: "
        "results say little about new people."
        + (" The official partition of CH-SIMS is like this." if official else ""),
        f"{SPLIT_COMMAND} --by video"
        + (" for an honest second number; published ones use this partition." if official else ""),
        Where.at(splits, ids=names),
    )


def _groups(evidence: Evidence) -> Iterator[Finding]:
    if evidence.groups is None:
        return
    groups = {split: set(names) for split, names in evidence.groups.items()}
    text, names, splits = _shared(groups, "groups")
    if names:
        yield Finding(
            "group-overlap",
            Severity.WARNING,
            text,
            "The same speakers (or other groups that were named) are met again in the split that "
            "judges: results say little about new ones.",
            f"{SPLIT_COMMAND} --by SPEAKERS.csv",
            Where.at(splits, ids=names),
        )


def _shared(members: Mapping[str, set[str]], what: str) -> tuple[str, list[str], list[str]]:
    """What is in several splits: a sentence, the names, the splits."""
    shared = {
        (one, other): members[one] & members[other] for one, other in combinations(members, 2)
    }
    text = ", ".join(
        f"{len(names)} of the {len(members[other])} {what} of {other} are in {one} too"
        for (one, other), names in shared.items()
        if names
    )
    names = sorted(set().union(*shared.values()))
    return text, names, [split for pair, found in shared.items() if found for split in pair]
