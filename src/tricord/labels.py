"""LabelScheme: how a score or a word becomes a class, and what is reported about it."""

from __future__ import annotations

import re
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from tricord.errors import ConfigError, DataError
from tricord.types import Polarity

UNKNOWN = -1
Decision = Literal["ends", "sides"]
_CUT = re.compile(r"^(>=|>)\s*(-?\d+(?:\.\d+)?)$")


class LabelScheme(BaseModel):
    """Classes, and the rule that maps a label to one of them.

    classes: names, in the order of the logits.
    cuts: c - 1 conditions such as ``">=0"`` and ``">0"``; the class is the number of cuts that
        the score meets. Empty for nominal labels, whose score is the class number itself.
    low, high: range of valid scores (ends included); a score outside is refused.
    polarity: which side zero falls on, for two-way accuracy; None where there is no sign.
    decision: how classes become one of two sides: "ends" asks which of the outer classes is
        likelier (fidelity 14), "sides" which side is, all its classes together.
    head: "classification" (c logits) or "regression" (one number, the score).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...]
    cuts: tuple[str, ...] = ()
    low: float
    high: float
    polarity: Polarity | None = None
    decision: Decision = "ends"
    head: Literal["classification", "regression"] = "classification"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: at least two different names are needed")
        if self.cuts and len(self.cuts) != len(self.classes) - 1:
            raise ValueError(f"cuts: {len(self.classes) - 1} are needed, {len(self.cuts)} given")
        if self.head == "regression" and not self.cuts:
            raise ValueError("cuts: a regression head needs them, for SupCon's classes")
        if self.nominal and (self.low, self.high) != (0, len(self.classes) - 1):
            raise ValueError(
                f"low, high: nominal labels are the numbers 0 to {len(self.classes) - 1}"
            )
        for cut in self.cuts:
            if not _CUT.match(cut):
                raise ValueError(f"cuts: {cut!r} is not of the form '>0' or '>=0'")
        return self

    @property
    def num_classes(self) -> int:
        """c."""
        return len(self.classes)

    @property
    def outputs(self) -> int:
        """Width of the model's output: c logits, or 1 for a regression head."""
        return 1 if self.head == "regression" else self.num_classes

    @property
    def nominal(self) -> bool:
        """True where classes have no order and no sign."""
        return not self.cuts

    def to_class(self, scores: NDArray[np.floating]) -> NDArray[np.int64]:
        """Classes of scores of any shape; NaN becomes -1.

        Raises DataError where a score lies outside [low, high].
        """
        scores = np.asarray(scores)
        known = ~np.isnan(scores)
        bad = known & ((scores < self.low - 1e-6) | (scores > self.high + 1e-6))
        if bad.any():
            raise DataError(
                f"label {scores[bad].flat[0]:g} found, expected a number from "
                f"{self.low:g} to {self.high:g}"
            )
        filled = np.where(known, scores, 0.0)
        if self.nominal:
            classes = filled.astype(np.int64)
            if (classes != filled).any():
                raise DataError("a nominal label that is not a class number was found")
        else:
            classes = np.zeros(scores.shape, dtype=np.int64)
            for cut in self.cuts:
                match = _CUT.match(cut)
                assert match is not None
                limit = float(match[2])
                classes += (filled >= limit) if match[1] == ">=" else (filled > limit)
        return np.where(known, classes, UNKNOWN)

    def encode(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Class numbers of nominal labels given as words, as scores.

        Raises DataError where a word is not one of the classes.
        """
        number = {name: i for i, name in enumerate(self.classes)}
        unknown = sorted({n for n in names if n not in number})
        if unknown:
            raise DataError(f"label {unknown[0]!r} found, expected one of {list(self.classes)}")
        return np.array([number[n] for n in names], dtype=np.float64)


def sentiment(polarity: Polarity, bound: float) -> LabelScheme:
    """Negative, neutral, positive on [-bound, bound]: scores < 0, = 0, > 0 (fidelity 20)."""
    return LabelScheme(
        classes=("negative", "neutral", "positive"),
        cuts=(">=0", ">0"),
        low=-bound,
        high=bound,
        polarity=polarity,
    )


def nominal(classes: tuple[str, ...]) -> LabelScheme:
    """Classes without order, such as angry, calm, happy."""
    try:
        return LabelScheme(classes=classes, low=0, high=len(classes) - 1)
    except ValueError as error:
        raise ConfigError(f"nominal labels: {error}") from error
