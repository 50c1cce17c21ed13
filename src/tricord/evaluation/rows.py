"""A row of the table: how right a method is on each subset of a split, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import FeatureTable
from tricord.data.splits import subset_masks
from tricord.evaluation.metrics import correct, metrics, regression_metrics
from tricord.evaluation.statistics import Interval, cluster_bootstrap, mean_t_interval, spread
from tricord.labels import Decision, LabelScheme
from tricord.types import Subset

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """One method on one subset.

    interval: share of clips decided rightly; over several seeds their mean, with an interval
        over clips (whole videos resampled). spread: standard deviation over seeds, None for one.
    metrics: means over seeds of all metrics of the label scheme. per_seed: shares, one a seed.
    """

    interval: Interval
    spread: float | None
    metrics: Mapping[str, float]
    per_seed: Sequence[float] = ()

    @property
    def over_seeds(self) -> Interval | None:
        """t interval of the mean over seeds: other trainings, these very clips; None for one."""
        return mean_t_interval(self.per_seed) if len(self.per_seed) > 1 else None

    def to_json(self, estimate: str = "accuracy") -> dict[str, Any]:
        """Plain values; estimate: what the interval's own is called."""
        interval, seeds = self.interval, self.over_seeds
        return {
            estimate: interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "level": interval.level,
            "method": interval.method,
            "spread_over_seeds": self.spread,
            "per_seed": list(self.per_seed),
            "t_over_seeds": seeds and {"low": seeds.low, "high": seeds.high, "level": seeds.level},
            "metrics": dict(self.metrics),
        }


@dataclass(frozen=True)
class Row:
    """A method: its cells by subset (None where the subset is empty), and what to know of it.

    right: (seeds, N) bool, which clips of the split were decided rightly.
    """

    name: str
    cells: Mapping[Subset, Cell | None]
    right: NDArray[np.bool_]
    note: str = ""


class Judge:
    """Scores outputs on the subsets of one table."""

    def __init__(self, table: FeatureTable, truth: NDArray[np.int64], scheme: LabelScheme) -> None:
        self.table, self.truth, self.scheme = table, truth, scheme
        self.videos = table.videos
        all_of_it = {Subset.TEST: np.ones(len(table), dtype=bool)}
        self.subsets = all_of_it if scheme.polarity is None else subset_masks(table.scores)

    def row(
        self,
        name: str,
        outputs: Sequence[Array],
        note: str = "",
        scores: Sequence[Array | None] = (),
        decision: Decision = "ends",
    ) -> Row:
        """outputs: one (N, c) array a seed, or (N, 1) scores; scores: (N,) beside classes.

        decision: how the outputs' classes become sides, whatever the table's scheme says.
        """
        head = "regression" if outputs[0].shape[1] == 1 else "classification"
        scheme = self.scheme.model_copy(update={"head": head, "decision": decision})
        right = np.stack([correct(o, self.truth, scheme) for o in outputs])
        beside = scores if head == "classification" else ()
        cells = {s: self._cell(right, outputs, m, scheme, beside) for s, m in self.subsets.items()}
        return Row(name, cells, right, note)

    def _cell(
        self,
        right: NDArray[np.bool_],
        outputs: Sequence[Array],
        mask: NDArray[np.bool_],
        scheme: LabelScheme,
        beside: Sequence[Array | None],
    ) -> Cell | None:
        if not mask.any():
            return None
        scores = self.table.scores[mask, 0]
        measured = [metrics(o[mask], self.truth[mask], scores, scheme) for o in outputs]
        for found, own in zip(measured, beside, strict=False):
            if own is not None:  # the two-way decision stays that of the classes
                found.update({**regression_metrics(own[mask], scores, scheme), **found})
        per_seed = right[:, mask].mean(axis=1).tolist()
        return Cell(
            interval=cluster_bootstrap(right[:, mask].mean(axis=0), self.videos[mask]),
            spread=spread(per_seed),
            metrics={k: float(np.mean([m[k] for m in measured])) for k in measured[0]},
            per_seed=per_seed,
        )
