"""What an experiment is: rows to train, the paper's numbers, and what may be concluded.

A cell is one model trained with one seed on one data set; it is known by what it depends on, so
that experiments share the cells that are the same (Table IV's CMC is Table V's).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Output = Literal["model", "text", "audio", "vision"]
# What the paper prints for a row: data set (preset) -> column (D_test, D_msc, D_msi, Acc2, F1,
# Size) -> number, accuracies in percent.
Printed = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Row:
    """A line of a table.

    name: as the paper prints it. model: its name in the registry; None for one that is only quoted,
    and why is in ``note``. settings: dotted path -> value for all data sets; for_preset: more of
    them for one data set. output: the whole model's decisions, or those of one modality's model of
    stage 1. keep: share of the training clips with one sign in all labels that stays (Figures 4
    and 5). paper: what the paper prints.
    """

    name: str
    model: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    for_preset: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    output: Output = "model"
    keep: float = 1.0
    paper: Printed = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """A direction that the paper states: one row above another in a column of a data set.

    It is tested by a paired bootstrap on the same clips, seeds and videos resampled, two-sided,
    and corrected by Holm's method over the claims of the experiment.
    """

    higher: str
    lower: str
    column: str
    presets: Sequence[str]
    text: str


@dataclass(frozen=True)
class Experiment:
    """A table, or a curve over its rows.

    name: as typed; title: the paper's. presets: the data sets it is about. rows, claims.
    caution: what may not be concluded from it, in words.
    """

    name: str
    title: str
    presets: Sequence[str]
    rows: Sequence[Row]
    claims: Sequence[Claim] = ()
    caution: str = ""
