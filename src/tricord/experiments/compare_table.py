"""What a comparison found: a row a model, and how each stands against the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.config import CommonConfig
from tricord.evaluation.power import Power, power_of
from tricord.evaluation.rows import Cell, Row
from tricord.evaluation.simple import AgainstSimple
from tricord.evaluation.statistics import Interval, holm, over_seeds
from tricord.evaluation.table import Evaluation
from tricord.experiments.compare_plan import Plan
from tricord.inference import linear
from tricord.tuning import Trial
from tricord.types import Subset

RESAMPLES = 10_000  # p is never below 2 in this many, and Holm multiplies by the number of rows
SIMULATED = "SIMULATED DATA: nothing here may be concluded about people or real data sets"


@dataclass(frozen=True)
class Measured:
    """A model that ran.

    row: right decisions and metrics. size: parameters outside the language model. seconds,
    frames: of training and of what it was given, one number a seed. clips_per_second: of
    prediction on the split. trials: of tuning, none without it. simple: how it stands to what is
    simple.
    """

    name: str
    row: Row
    config: CommonConfig
    size: int
    seconds: Sequence[float]
    frames: Sequence[int]
    clips_per_second: float
    trials: Sequence[Trial] = ()
    simple: Sequence[AgainstSimple] = ()

    def cell(self, subset: Subset = Subset.TEST) -> Cell | None:
        """Its numbers on a subset; None where that is empty or labels have no sign."""
        return self.row.cells.get(subset)

    @property
    def accuracy(self) -> Interval:
        """On the whole split."""
        cell = self.cell()
        assert cell is not None  # a split without a labelled clip is an error before this
        return cell.interval


@dataclass(frozen=True)
class NotRun:
    """A model that cannot run on this data, and the one line that says why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Against:
    """A row minus another; p is two-sided, p_holm corrected for the number of rows."""

    difference: Interval
    p: float
    p_holm: float


@dataclass(frozen=True)
class Versus:
    """The row `name` minus each other row, by subset; p_holm is corrected within a subset."""

    name: str
    others: Mapping[str, Mapping[Subset, Against]]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a result file."""
        others = {
            other: {str(s): asdict(found) for s, found in by_subset.items()}
            for other, by_subset in self.others.items()
        }
        return {"name": self.name, "minus": others}


@dataclass(frozen=True)
class Compared:
    """The table with its provenance.

    floor: the majority of the training labels. against: by name, for all rows but the best.
    limits: accuracy by subset of the Bayes limit in its population, where it is known.
    limits_here: the same rule's on these very clips. simple: rows of what is simple. power: of a
    comparison of two rows. left_out: what could not stand here, and why. versus: the row that was
    asked for minus each other one, by subset.
    """

    plan: Plan
    rows: Sequence[Measured]
    not_run: Sequence[NotRun]
    floor: Row
    best: str
    against: Mapping[str, Against]
    metric: str
    clips: Mapping[Subset, int]
    limits: Mapping[Subset, float] | None
    source: str
    fingerprint: str
    simulated: bool
    versions: Mapping[str, str]
    simple: Sequence[Row] = ()
    power: Power | None = None
    left_out: Sequence[str] = ()
    limits_here: Mapping[Subset, float] | None = None
    versus: Versus | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a result file."""
        plan = self.plan
        return {
            "kind": "compare",
            "head": SIMULATED if self.simulated else None,
            "simulated": self.simulated,
            "preset": plan.preset,
            "split": plan.split,
            "metric": self.metric,
            "seeds": list(plan.seeds),
            "budget": {"rule": plan.budget, "trials": plan.trials},
            "data": {"source": self.source, "fingerprint": self.fingerprint},
            "versions": dict(self.versions),
            "clips": {str(s): n for s, n in self.clips.items()},
            "bayes_limit": _named(self.limits),
            "bayes_limit_here": _named(self.limits_here),
            "majority": {str(s): _of(self.floor.cells[s]) for s in self.clips},
            "simple": [
                {"name": r.name, "note": r.note, **{str(s): _of(r.cells[s]) for s in self.clips}}
                for r in self.simple
            ],
            "power": self.power and self.power.to_json(),
            "left_out": list(self.left_out),
            "best": self.best,
            "rows": [self._row(row) for row in self.rows],
            "versus": self.versus and self.versus.to_json(),
            "not_run": [asdict(row) for row in self.not_run],
        }

    def _row(self, row: Measured) -> dict[str, Any]:
        against = self.against.get(row.name)
        return {
            "name": row.name,
            **{str(s): _of(row.cell(s)) for s in self.clips},
            "size": row.size,
            "training_seconds": list(row.seconds),
            "frames_seen": list(row.frames),
            "clips_per_second": row.clips_per_second,
            "against_best": against and asdict(against),
            "no_worse_than_simple": [one.to_json() for one in row.simple],
            "settings": dict(self.plan.settings.get(row.name, {})),
            "trials": [asdict(trial) for trial in row.trials],
            "config": row.config.model_dump(mode="json"),
        }


def best_of(rows: Sequence[Measured]) -> Measured:
    """The row of highest mean accuracy, of equal ones the smallest."""
    return min(rows, key=lambda row: (-row.accuracy.estimate, row.size))


def against_best(
    rows: Sequence[Measured], best: Measured, videos: NDArray[np.str_]
) -> dict[str, Against]:
    """Each other row minus the best on the same clips; seeds and videos resampled, crossed.

    p values are corrected by Holm's method for the number of rows.
    """
    ours = _right(best)
    others = {row.name: (_right(row), ours) for row in rows if row is not best}
    return _differences(others, videos)


def versus(
    rows: Sequence[Measured],
    name: str,
    masks: Mapping[Subset, NDArray[np.bool_]],
    videos: NDArray[np.str_],
) -> Versus:
    """The row of this name minus each other, as `against_best` does it, on every subset's clips."""
    ours = next(_right(row) for row in rows if row.name == name)
    others = {row.name: _right(row) for row in rows if row.name != name}
    found = {
        subset: _differences(
            {other: (ours[:, mask], theirs[:, mask]) for other, theirs in others.items()},
            videos[mask],
        )
        for subset, mask in masks.items()
        if mask.any()
    }
    return Versus(name, {o: {s: by_row[o] for s, by_row in found.items()} for o in others})


def _right(row: Measured) -> NDArray[np.float64]:
    return row.row.right.astype(float)


def _differences(
    pairs: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    videos: NDArray[np.str_],
) -> dict[str, Against]:
    found = [over_seeds(a, b, videos, resamples=RESAMPLES).decision for a, b in pairs.values()]
    corrected = holm([c.p for c in found])
    return {
        name: Against(c.difference, c.p, float(p))
        for name, c, p in zip(pairs, found, corrected, strict=True)
    }


def simple_rows(evaluations: Sequence[Evaluation], names: Sequence[str]) -> list[Row]:
    """The logistic regression once, and the rows that models with votes are compared with.

    evaluations: one a model, whose name is the one of ``names`` beside it. Rows of one name that
    several models have, such as a modality, bear the model's name from the second on.
    """
    found: dict[str, Row] = {}
    for name, evaluation in zip(names, evaluations, strict=True):
        for against in evaluation.against.get(name, ()):
            row, kept = evaluation.row(against.simple.row), found.get(against.simple.row)
            if kept is None:
                found[row.name] = replace(row, note=against.simple.note or row.note)
            elif row.name != linear.NAME and not np.array_equal(kept.right, row.right):
                found[f"{row.name} of {name}"] = replace(row, name=f"{row.name} of {name}")
    return sorted(found.values(), key=lambda row: row.name != linear.NAME)


def power_among(rows: Sequence[Measured], simple: Sequence[Row], videos: NDArray[np.str_]) -> Power:
    """Of a comparison between two rows, each model with each other row."""
    ours = [row.row for row in rows]
    pairs = [(a.right, b.right) for i, a in enumerate(ours) for b in [*ours[i + 1 :], *simple]]
    return power_of(pairs, videos)


def _named(limits: Mapping[Subset, float] | None) -> dict[str, float] | None:
    return None if limits is None else {str(s): v for s, v in limits.items()}


def _of(cell: Cell | None) -> dict[str, Any] | None:
    return None if cell is None else cell.to_json("mean")
