"""What an experiment found: ours beside the paper's numbers, and what became of the claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tricord.evaluation.power import Power
from tricord.evaluation.statistics import Interval, mean_t_interval
from tricord.experiments.reproduce.budget import Terms
from tricord.experiments.reproduce.plan import Claim, Experiment, Row

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Number:
    """A share (0 to 1): its mean over seeds with the 95 % interval that resamples videos.

    spread: standard deviation over seeds, None for one. per_seed: in the seeds' order.
    """

    interval: Interval
    spread: float | None
    per_seed: Sequence[float]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return self.interval.estimate

    def to_json(self) -> dict[str, Any]:
        """In percent, as the paper's."""
        i = self.interval
        t = mean_t_interval(self.per_seed) if len(self.per_seed) > 1 else None
        return {
            "mean": 100 * i.estimate,
            "low": 100 * i.low,
            "high": 100 * i.high,
            "level": i.level,
            "method": i.method,
            "spread_over_seeds": None if self.spread is None else 100 * self.spread,
            "per_seed": [100 * value for value in self.per_seed],
            "t_over_seeds": t and {"low": 100 * t.low, "high": 100 * t.high, "level": t.level},
        }


@dataclass(frozen=True)
class Found:
    """A row on one data set.

    numbers: by column; none where it did not run, and ``reason`` says why. size: parameters
    outside the language model, known without training too. settings: complete, of its first seed.
    cells: keys, a seed each.
    """

    row: Row
    preset: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    size: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    cells: Sequence[str] = ()
    reason: str = ""

    @property
    def paper(self) -> Mapping[str, float]:
        """What the paper prints for it here, by column, in percent."""
        return self.row.paper.get(self.preset, {})

    def to_json(self) -> dict[str, Any]:
        """Ours and the paper's side by side."""
        return {
            "name": self.row.name,
            "preset": self.preset,
            "model": self.row.model,
            "output": self.row.output,
            "keep": self.row.keep,
            "note": self.row.note,
            "ours": {column: n.to_json() for column, n in self.numbers.items()},
            "paper": dict(self.paper),
            "size": self.size,
            "not_run": self.reason or None,
            "config": dict(self.settings),
            "cells": list(self.cells),
        }


@dataclass(frozen=True)
class Outcome:
    """A claim on one data set: the higher row minus the lower one, in shares.

    difference, p, p_holm: None where one of the rows did not run, and ``reason`` says which.
    """

    claim: Claim
    preset: str
    difference: Interval | None = None
    p: float | None = None
    p_holm: float | None = None
    reason: str = ""

    @property
    def verdict(self) -> str:
        """In words, at the 5 % level after correction."""
        if self.difference is None or self.p_holm is None:
            return f"not tested: {self.reason}"
        if self.p_holm >= SIGNIFICANT:
            return "no direction shown"
        return "as in the paper" if self.difference.estimate > 0 else "opposite to the paper"

    def judged(self, inconclusive: str) -> str:
        """The verdict, or why there can be none on the terms of the experiment."""
        return self.verdict if self.difference is None else inconclusive or self.verdict

    def to_json(self, inconclusive: str) -> dict[str, Any]:
        """Plain values; points are of 100. inconclusive: as `judged`."""
        i = self.difference
        return {
            "text": self.claim.text,
            "higher": self.claim.higher,
            "lower": self.claim.lower,
            "column": self.claim.column,
            "preset": self.preset,
            "difference": i
            and {"points": 100 * i.estimate, "low": 100 * i.low}
            | {"high": 100 * i.high, "method": i.method},
            "p": self.p,
            "p_holm": self.p_holm,
            "verdict": self.judged(inconclusive),
        }


@dataclass(frozen=True)
class Result(Terms):
    """An experiment with its provenance.

    columns: by preset, those that the paper has. clips: by preset and column, how many of test.
    fingerprints: by preset. versions: of the libraries that trained the cells.
    """

    experiment: Experiment
    found: Sequence[Found]
    tested: Sequence[Outcome]
    columns: Mapping[str, Sequence[str]]
    clips: Mapping[str, Mapping[str, int]]
    fingerprints: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def power(self) -> dict[str, Power]:
        """By preset, on all clips of test; empty where no row ran."""
        return {preset: Power(max(n.values())) for preset, n in self.clips.items() if n}

    def of(self, preset: str) -> list[Found]:
        """The rows on one data set, in the paper's order."""
        return [found for found in self.found if found.preset == preset]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a result file."""
        return {
            **self.head(self.experiment.name, self.experiment.title),
            "unit": "percent",
            "data": dict(self.fingerprints),
            "versions": dict(self.versions),
            "clips": {preset: dict(counts) for preset, counts in self.clips.items()},
            "power": {preset: power.to_json() for preset, power in self.power.items()},
            "rows": [found.to_json() for found in self.found],
            "claims": [tested.to_json(self.inconclusive) for tested in self.tested],
            "caution": self.experiment.caution,
        }
