"""The numbers in the features: not finite, constant, enormous."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from tricord.data.check.evidence import Evidence
from tricord.data.check.findings import (
    FIX_COMMAND,
    SHOWN_COLUMNS,
    Finding,
    Severity,
    Where,
    of_many,
)
from tricord.data.check.known import RECIPES
from tricord.data.check.scan import KINDS, MINUS

# Landmarks in pixels reach some hundreds; standardised features and encoders' states do not.
LARGE = 100.0
# Beyond what pixels, hertz and decibels reach: squares of these lose the digits of float32.
ENORMOUS = 1e6
# What is rare, such as an action unit that is on, need not occur in fewer clips.
FEWEST_CLIPS = 30


def findings(evidence: Evidence) -> Iterator[Finding]:
    """Of each modality's cells."""
    for modality in evidence.modalities:
        yield from _unusable(evidence, modality)
        yield from _constant(evidence, modality)
        yield from _range(evidence, modality)


def _unusable(evidence: Evidence, modality: str) -> Iterator[Finding]:
    scans = dict(evidence.of_modality(modality))
    columns = {k: np.sum([s.unusable[k] for s in scans.values()], axis=0) for k in KINDS}
    per_column = np.sum(list(columns.values()), axis=0)
    total, cells = int(per_column.sum()), sum(s.cells for s in scans.values())
    if not total:
        return
    kinds = ", ".join(f"{int(n.sum())} {kind}" for kind, n in columns.items() if n.any())
    order = [int(c) for c in np.argsort(-per_column, kind="stable") if per_column[c]]
    worst = ", ".join(f"{c} ({int(per_column[c])})" for c in order[:SHOWN_COLUMNS])
    more = f" and {len(order) - SHOWN_COLUMNS} more" if len(order) > SHOWN_COLUMNS else ""
    where = Where.at(
        (n for n, s in scans.items() if s.unusable_clips.any()),
        modality,
        columns=order,
        ids=_ids(evidence, modality, "unusable_clips"),
    )
    if total == cells:
        yield Finding(
            "not-finite",
            Severity.ERROR,
            f"all {cells} cells are NaN or infinite",
            "There is nothing of this modality in the file.",
            "Extract it again; nothing can be mended here.",
            where,
        )
        return
    logs = modality == "audio" and columns[MINUS].any()
    cause = "-inf in audio is the logarithm of zero in COVAREP's silent frames. " if logs else ""
    yield Finding(
        "not-finite",
        Severity.WARNING,
        f"{of_many(total, cells, 'cells')}: {kinds}; in columns {worst}{more}; in "
        f"{sum(int(s.unusable_clips.sum()) for s in scans.values())} clips",
        f"{cause}One such cell makes a loss NaN. We replace all kinds in all modalities by 0; MMSA "
        "replaces -inf in audio only.",
        f"{FIX_COMMAND} (replaces them, and logs how many)",
        where,
    )


def _ids(evidence: Evidence, modality: str, attribute: str) -> Iterator[str]:
    for split, found in evidence.of_modality(modality):
        for row in np.flatnonzero(getattr(found, attribute)):
            yield evidence.tables[split].ids[row]


def _constant(evidence: Evidence, modality: str) -> Iterator[Finding]:
    scans = {n: s for n, s in evidence.of_modality(modality) if s.lengths.sum() > 1}
    if not scans:
        return
    low = reduce(np.minimum, (s.low for s in scans.values()))
    high = reduce(np.maximum, (s.high for s in scans.values()))
    everywhere = low >= high  # greater: no finite cell
    width = len(everywhere)
    if everywhere.all():
        yield Finding(
            "constant-columns",
            Severity.ERROR,
            f"all {width} columns are constant",
            "The modality says nothing of any clip.",
            "Extract it again: an extractor that fails often writes zeros.",
            Where.at(scans, modality),
        )
        return
    if everywhere.any():
        columns = np.flatnonzero(everywhere)
        zeros = int(((low == 0) & everywhere).sum())
        yield Finding(
            "constant-columns",
            Severity.WARNING,
            f"{_columns(everywhere)} constant in all splits, {zeros} of them always 0",
            "They carry nothing; z-scoring divides by zero there. One dead column is usual for a "
            "recipe, many are a failed part of it.",
            f"{FIX_COMMAND} --drop-dead-columns, or leave them",
            Where.at(scans, modality, columns=columns),
        )
    parts = {
        name: found.constant & ~everywhere
        for name, found in scans.items()
        if len(found.lengths) >= FEWEST_CLIPS
    }
    parts = {name: mask for name, mask in parts.items() if mask.any()}
    if parts:
        yield Finding(
            "constant-in-a-split",
            Severity.WARNING,
            "constant in some splits only: "
            + "; ".join(f"{name} {_columns(mask)}" for name, mask in parts.items()),
            "The splits were not made alike, or what the column measures is rare. What train never "
            "shows, no model can use; what only train shows misleads it.",
            "Look at these columns; extract all splits by one recipe.",
            Where.at(
                parts,
                modality,
                columns=np.flatnonzero(reduce(np.logical_or, parts.values())),
            ),
        )


def _columns(mask: NDArray[np.bool_]) -> str:
    columns = [str(c) for c in np.flatnonzero(mask)]
    more = f", and {len(columns) - SHOWN_COLUMNS} more" if len(columns) > SHOWN_COLUMNS else ""
    return f"{len(columns)} of {len(mask)} columns ({', '.join(columns[:SHOWN_COLUMNS])}{more})"


def _range(evidence: Evidence, modality: str) -> Iterator[Finding]:
    scans = [s for _, s in evidence.of_modality(modality)]
    highest = reduce(np.maximum, (np.maximum(np.abs(s.low), np.abs(s.high)) for s in scans))
    highest = np.where(np.isfinite(highest), highest, 0)  # columns without a finite cell
    large = highest >= LARGE
    if not large.any():
        return
    greatest = float(highest.max())
    columns = np.argsort(-highest, kind="stable")[: int(large.sum())]
    where = Where.at((n for n, _ in evidence.of_modality(modality)), modality, columns=columns)
    if greatest >= ENORMOUS:
        yield Finding(
            "value-range",
            Severity.WARNING,
            f"values up to {greatest:.2g} in {_columns(highest >= ENORMOUS)}",
            "Beyond what pixels, hertz and decibels reach: a broken frame, or a division by almost "
            "zero. One such value rules every mean and every batch normalisation it is in.",
            "Look at these columns; clip them, or extract the clips again.",
            where,
        )
        return
    made = RECIPES.get((modality, len(highest)), "")
    cause = ", as landmarks in pixels do" if "pixels" in made else ""
    yield Finding(
        "value-range",
        Severity.NOTE,
        f"values up to {greatest:.3g}; {_columns(large)} reach {LARGE:g}{cause}",
        "The files of this field are not z-scored, nor is anything done about it in MMSA. CMC "
        "normalises audio and vision by batch; other models may be ruled by these columns.",
        "Standardise by the train split for models without normalisation of their own.",
        where,
    )
