"""Rows measured on test, and claims tested on the same clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tricord import api
from tricord.data.schema import Dataset
from tricord.errors import ConfigError
from tricord.evaluation.metrics import truth_two_way, weighted_f1
from tricord.evaluation.statistics import cluster_bootstrap, holm, over_seeds, spread
from tricord.evaluation.table import Evaluation, evaluate
from tricord.experiments.compare_table import RESAMPLES
from tricord.experiments.reproduce.plan import Claim
from tricord.experiments.reproduce.result import Number, Outcome
from tricord.training.trained import TrainedModel
from tricord.types import Subset

Bools = NDArray[np.bool_]
SUBSETS: Mapping[str, Subset] = {
    "D_test": Subset.TEST,
    "D_msc": Subset.MSC,
    "D_msi": Subset.MSI,
    "Acc2": Subset.TEST,
}
F1, SIZE = "F1", "Size"
COLUMNS = (*SUBSETS, F1)  # in the tables' order; Size stands after them
MODEL = "model"


@dataclass(frozen=True)
class Judged:
    """A row on the test split of one data set.

    right: (S, N) which clips each seed decides rightly. positive: (N,) the true two-way class,
    None where labels have no sign. masks: (N,) by subset. videos: (N,).
    """

    right: Bools
    positive: Bools | None
    masks: Mapping[Subset, Bools]
    videos: NDArray[np.str_]

    def number(self, column: str) -> Number | None:
        """None where the data set has no such clips, or no sign."""
        if column == F1:
            return None if self.positive is None else self._f1(self.positive)
        mask = self.masks.get(SUBSETS[column])
        if mask is None or not mask.any():
            return None
        right = self.right[:, mask].astype(float)
        per_seed = right.mean(axis=1).tolist()
        interval = cluster_bootstrap(right.mean(axis=0), self.videos[mask])
        return Number(interval, spread(per_seed), per_seed)

    def _f1(self, positive: Bools) -> Number:
        """Weighted F1 of both sides, as in the tables, of each seed and of their mean."""
        columns = np.column_stack([positive, *(self.right == positive)])

        def mean_f1(rows: NDArray[np.generic]) -> float:
            return float(np.mean([weighted_f1(rows[:, 0], own, 2) for own in rows.T[1:]]))

        per_seed = [weighted_f1(positive, own, 2) for own in columns.T[1:]]
        interval = cluster_bootstrap(columns, self.videos, statistic=mean_f1)
        return Number(interval, spread(per_seed), per_seed)


def judge(trained: Sequence[TrainedModel], data: Dataset) -> dict[str, Judged]:
    """What models of one configuration, one a seed, decide on test.

    By output: "model", and for CMC each modality's model of stage 1. Raises DataError where test
    cannot be judged.
    """
    data = api.checked(data, trained[0].config)
    evaluation = evaluate({MODEL: trained}, data, simple=False)
    positive = _positive(trained[0], data, evaluation)
    return {
        row.name: Judged(row.right, positive, evaluation.masks, evaluation.videos)
        for row in evaluation.rows
        if row.name in (MODEL, *data.modalities)
    }


def _positive(trained: TrainedModel, data: Dataset, evaluation: Evaluation) -> Bools | None:
    """(N,) of the labelled clips."""
    scheme = trained.config.labels
    if scheme.polarity is None:
        return None
    classes = scheme.to_class(data[evaluation.split].scores[:, 0])
    zero = int(scheme.to_class(np.zeros(())))
    return truth_two_way(classes[classes >= 0], scheme.polarity, zero)


def check_claims(claims: Sequence[Claim], names: Iterable[str]) -> None:
    """Raise ConfigError for a claim about a row or a column that cannot be tested."""
    known = set(names)
    for claim in claims:
        if strange := {claim.higher, claim.lower} - known:
            raise ConfigError(f"claim {claim.text!r}: no row {min(strange)!r}")
        if claim.column not in SUBSETS:
            raise ConfigError(
                f"claim {claim.text!r}: only accuracies are tested, no {claim.column}"
            )


def tested_claims(
    claims: Sequence[Claim], judged: Mapping[tuple[str, str], Judged], presets: Iterable[str]
) -> list[Outcome]:
    """Each claim on each of its data sets; p values corrected by Holm's method over all of them.

    judged: by (row, preset), the rows that ran.
    """
    there = set(presets)
    found = [
        _tested(claim, preset, judged)
        for claim in claims
        for preset in claim.presets
        if preset in there
    ]
    known = [place for place, tested in enumerate(found) if tested.p is not None]
    corrected = holm([p for tested in found if (p := tested.p) is not None])
    for place, p in zip(known, corrected, strict=True):
        found[place] = replace(found[place], p_holm=float(p))
    return found


def _tested(claim: Claim, preset: str, judged: Mapping[tuple[str, str], Judged]) -> Outcome:
    pair = [judged.get((name, preset)) for name in (claim.higher, claim.lower)]
    higher, lower = pair
    if higher is None or lower is None:
        name = claim.higher if higher is None else claim.lower
        return Outcome(claim, preset, reason=f"{name} did not run")
    mask = higher.masks.get(SUBSETS[claim.column])
    if mask is None or not mask.any():
        return Outcome(claim, preset, reason=f"no clips of {claim.column}")
    a, b = (one.right[:, mask].astype(float) for one in (higher, lower))
    compared = over_seeds(a, b, higher.videos[mask], resamples=RESAMPLES).decision
    return Outcome(claim, preset, compared.difference, compared.p)
