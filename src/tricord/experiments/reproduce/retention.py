"""Accuracy over the share of consistent training clips that stays, and its least-squares slope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tricord.data.schema import Dataset
from tricord.evaluation.statistics import Interval, mean_t_interval, spread
from tricord.experiments.reproduce.measure import MODEL, Judged, judge
from tricord.experiments.reproduce.result import Number
from tricord.training.trained import TrainedModel
from tricord.types import Subset

Array = NDArray[np.float64]

LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Curve:
    """A model on one subset. points: one a level."""

    points: Sequence[Number]

    @property
    def slopes(self) -> Array:
        """(S,) by seed: percentage points as the retention goes from 0 to 1."""
        values = 100 * np.array([point.per_seed for point in self.points])
        return slopes(LEVELS, values.T)


@dataclass(frozen=True)
class Steepness:
    """Slopes by seed; their mean, and spread and t interval where there are several seeds."""

    by_seed: Sequence[float]
    mean: float
    spread: float | None
    interval: Interval | None

    @classmethod
    def of(cls, slopes: Array) -> Steepness:
        """slopes: (S,)."""
        return cls(slopes.tolist(), float(slopes.mean()), spread(slopes), mean_t_interval(slopes))


def slopes(levels: ArrayLike, values: ArrayLike) -> Array:
    """(S,) least-squares slopes of (S, L) values over (L,) levels."""
    x = np.asarray(levels, np.float64)
    centred = x - x.mean()
    return np.asarray(np.asarray(values, np.float64) @ centred / (centred @ centred))


def row_name(model: str, keep: float) -> str:
    """CMC, 20 %."""
    return f"{model}, {100 * keep:.0f} %"


def measure(
    trained: Mapping[str, Sequence[TrainedModel]], models: Iterable[str], data: Dataset
) -> dict[Subset, dict[str, Curve]]:
    """By subset that test has, each model over all levels.

    trained: by `row_name`, one model a seed; a row's are asked for once, and let go.
    """
    judged = {
        model: [judge(trained[row_name(model, keep)], data)[MODEL] for keep in LEVELS]
        for model in models
    }
    found = {
        subset: {model: _points(rows, subset) for model, rows in judged.items()}
        for subset in Subset
    }
    return {
        subset: {model: Curve(points) for model, points in own.items()}
        for subset, own in found.items()
        if all(own.values())
    }


def _points(rows: Iterable[Judged], subset: Subset) -> list[Number]:
    return [number for row in rows if (number := row.number(str(subset))) is not None]
