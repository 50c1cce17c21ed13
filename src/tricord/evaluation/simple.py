"""Whether a method is worse than something simple: one modality, a plain mean, a linear model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import Dataset
from tricord.errors import DataError
from tricord.evaluation.on_valid import OnValid
from tricord.evaluation.rows import Judge, Row
from tricord.evaluation.statistics import Comparison, over_seeds
from tricord.inference import linear
from tricord.training.trained import TrainedModel

Bools = NDArray[np.bool_]
SINGLE = "best single modality"
MEAN = "plain mean of the votes"
LINEAR = "logistic regression"
NOT_BELOW, BELOW = "not below", "below by more than its interval"


@dataclass(frozen=True)
class Simple:
    """Something simple.

    kind: which of the three. row: its name. right: (S, N) which clips it decides rightly. note:
    how it was chosen.
    """

    kind: str
    row: str
    right: Bools
    note: str = ""


@dataclass(frozen=True)
class AgainstSimple:
    """A method minus something simple, on the same clips; seeds and videos resampled."""

    simple: Simple
    found: Comparison

    @property
    def below(self) -> bool:
        """Whether the whole interval of the difference lies below zero."""
        return self.found.difference.high < 0

    @property
    def verdict(self) -> str:
        """Not below may still be a lower estimate: the interval then reaches zero."""
        return BELOW if self.below else NOT_BELOW

    def to_json(self) -> dict[str, Any]:
        """Plain values; differences are shares."""
        i = self.found.difference
        return {
            "simple": self.simple.kind,
            "row": self.simple.row,
            "note": self.simple.note,
            "difference": i.estimate,
            "low": i.low,
            "high": i.high,
            "level": i.level,
            "method": i.method,
            "p": self.found.p,
            "verdict": self.verdict,
        }


class Standing:
    """What is simple, gathered while the table is made, and how each model stands to it.

    floor: where it learns and where it is chosen.
    """

    def __init__(self, judge: Judge, floor: Dataset, split: str) -> None:
        self.judge, self.floor, self.split = judge, floor, split
        self.common: list[Simple] = []
        self.single: list[Simple] = []
        self.found: dict[str, list[AgainstSimple]] = {}
        self.left_out: list[str] = []

    def linear_row(self, first: TrainedModel, data: Dataset, *, foreign: bool) -> list[Row]:
        """The logistic regression's row; none where it cannot be fitted.

        foreign: whether the models were trained on other data than this is.
        """
        scheme, source = self.judge.scheme, first.text_source()
        try:
            fitted = linear.linear_floor(self.floor, data, self.split, scheme, source)
        except DataError as error:
            self.left_out.append(f"{linear.NAME}: {error}")
            return []
        model = fitted.model
        note = f"of {', '.join(model.modalities)}; strength {model.strength:.2g} chosen on valid"
        if foreign:
            note += "; fitted on this data, which the model was not"
        row = self.judge.row(linear.NAME, [fitted.outputs], note, decision="sides")
        self.common.append(Simple(LINEAR, row.name, row.right, note))
        return [row]

    def choose_single(self, valid: OnValid | None, rows: Sequence[Row]) -> None:
        """The modality that is best on valid, of the rows of stage 1."""
        if valid is None:
            self.left_out.append(f"{SINGLE}: {self.floor.source} has no valid to choose it on")
            return
        chosen = valid.best([row.name for row in rows])
        note = "chosen on these very clips" if self.split == "valid" else "chosen on valid"
        self.single = [Simple(SINGLE, r.name, r.right, note) for r in rows if r.name == chosen]

    def add(self, row: Row, mean: Row | None) -> None:
        """A model's row; mean: the plain mean of its votes, where it has some."""
        own = [] if mean is None else [*self.single, Simple(MEAN, mean.name, mean.right)]
        self.found[row.name] = against_simple(row.right, [*own, *self.common], self.judge.videos)


def against_simple(
    right: Bools, simple: Sequence[Simple], videos: NDArray[np.str_]
) -> list[AgainstSimple]:
    """right: (S, N) of the method. videos: (N,). Where the numbers of seeds differ, the simple
    one's mean over its seeds stands in for each.
    """
    ours = right.astype(np.float64)
    found = []
    for other in simple:
        theirs = other.right.astype(np.float64)
        if len(theirs) != len(ours):
            theirs = np.broadcast_to(theirs.mean(axis=0), ours.shape)
        found.append(AgainstSimple(other, over_seeds(ours, theirs, videos).decision))
    return found


def in_words(name: str, compared: Sequence[AgainstSimple]) -> list[str]:
    """A line on what the method is not worse than, and one on what it is worse than."""
    lines = []
    for words, below in (("not shown to be worse than", False), ("WORSE THAN", True)):
        parts = [_part(one) for one in compared if one.below == below]
        if parts:
            lines.append(f"{name}, {words}: {'; '.join(parts)}")
    return lines


def _part(one: AgainstSimple) -> str:
    """``text, best single modality (+1.2, -0.4 to 2.8)``: the method minus it, in points."""
    kind, i = one.simple.kind, one.found.difference
    shown = f"{kind}, {one.simple.row}" if kind == SINGLE else kind
    low, estimate, high = (f"{100 * x:+.1f}" for x in (i.low, i.estimate, i.high))
    return f"{shown} ({estimate}, {low} to {high})"
