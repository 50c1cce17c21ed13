"""The honest table: every method of a run on D_test, D_msc, D_msi, with intervals and floors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import Dataset, FeatureTable
from tricord.data.splits import subset_masks
from tricord.errors import DataError
from tricord.evaluation.metrics import correct, metrics, regression_metrics, truth_two_way
from tricord.evaluation.statistics import Interval, cluster_bootstrap, spread
from tricord.inference.predictor import Predictions, predict, predict_stage1
from tricord.labels import LabelScheme
from tricord.training.cmc import TrainedCMC
from tricord.training.trained import TrainedModel
from tricord.types import Polarity, Subset

Array = NDArray[np.float64]
MAJORITY, ORACLE, BAYES = "majority class", "sign oracle", "Bayes limit"
MEAN_OF_STAGE1 = "stage 1, mean of votes"
BAYES_RULE = "pos>neg+neutral"


@dataclass(frozen=True)
class Cell:
    """One method on one subset.

    interval: share of clips decided rightly; over several seeds their mean, with an interval
        over clips (whole videos resampled). spread: standard deviation over seeds, None for one.
    metrics: means over seeds of all metrics of the label scheme.
    """

    interval: Interval
    spread: float | None
    metrics: Mapping[str, float]

    def to_json(self, estimate: str = "accuracy") -> dict[str, Any]:
        """Plain values; estimate: what the interval's own is called."""
        interval = self.interval
        return {
            estimate: interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "level": interval.level,
            "method": interval.method,
            "spread_over_seeds": self.spread,
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


@dataclass(frozen=True)
class Evaluation:
    """A table with its provenance.

    models: name -> settings, versions and training data of its first seed.

    limits: accuracy by subset of the Bayes limit in its population, if known. masks: (N,) the
    members of each subset. videos: (N,) the unit that is resampled.
    """

    split: str
    metric: str
    rows: Sequence[Row]
    clips: Mapping[Subset, int]
    seeds: Sequence[int]
    models: Mapping[str, Mapping[str, Any]]
    fingerprint: str
    simulated: bool
    limits: Mapping[Subset, float] | None
    masks: Mapping[Subset, NDArray[np.bool_]]
    videos: NDArray[np.str_]

    def row(self, name: str) -> Row:
        """The row of this name."""
        return next(row for row in self.rows if row.name == name)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a result file."""
        return {
            "split": self.split,
            "metric": self.metric,
            "simulated": self.simulated,
            "seeds": list(self.seeds),
            "data_fingerprint": self.fingerprint,
            "models": {name: dict(about) for name, about in self.models.items()},
            "clips": {str(s): n for s, n in self.clips.items()},
            "bayes_limit": None
            if self.limits is None
            else {str(s): v for s, v in self.limits.items()},
            "rows": [
                {
                    "name": row.name,
                    "note": row.note,
                    **{str(s): c and c.to_json() for s, c in row.cells.items()},
                }
                for row in self.rows
            ],
        }


def evaluate(
    models: Mapping[str, Sequence[TrainedModel]],
    data: Dataset,
    split: str = "test",
    *,
    floor: Dataset | None = None,
) -> Evaluation:
    """All rows of the table for models trained on this data.

    models: name -> one trained model a seed; the single modalities and the mean of stage 1 are
    taken from the first CMC. Some may give scores and others classes, of the same labels. floor:
    whose training labels make the majority, where it is not ``data``. Clips without a label
    are left out. Raises DataError where there is none with one.
    """
    first = next(iter(models.values()))
    scheme = first[0].config.labels
    fingerprint = data.fingerprint()
    data, truth = _labelled(data, split, scheme)
    table = data[split]
    judge = _Judge(table, truth, scheme)
    alone_of = next((name for name, t in models.items() if isinstance(t[0], TrainedCMC)), None)
    majority = _majority(floor or data, scheme, len(table))
    rows = [judge.row(MAJORITY, [majority], "of the training labels")]
    if not data.simulated and (oracle := _sign_oracle(data, split, scheme)) is not None:
        note = "lookup on the true unimodal signs, fitted on train; not a bound"
        rows.append(judge.row(ORACLE, [oracle], note))
    for name, trained in models.items():
        _check_same_labels(trained[0].config.labels, scheme, name)
        predictions = [predict(t, data, split) for t in trained]
        cmc = [t for t in trained if isinstance(t, TrainedCMC)]
        if name == alone_of:
            alone = [predict_stage1(t, data, split) for t in cmc]
            rows += _stage1_rows(judge, predictions[0], alone)
        if cmc and cmc[0].config.finetune.train == "all":  # else votes are still those of stage 1
            means = [_mean(p.votes, p.present) for p in predictions]
            rows.append(judge.row(f"{name}, mean of votes", means))
        scores = [p.scores for p in predictions]
        rows.append(judge.row(name, [p.outputs for p in predictions], scores=scores))
    return Evaluation(
        split=split,
        metric="accuracy" if scheme.polarity is None else "acc2",
        rows=rows,
        clips={s: int(m.sum()) for s, m in judge.subsets.items()},
        seeds=[t.seed for t in first],
        models={name: trained[0].about() for name, trained in models.items()},
        fingerprint=fingerprint,
        simulated=data.simulated,
        # the simulation's limit is that of its own rule of zero
        limits=bayes_limits(data) if scheme.polarity is Polarity.NON_POSITIVE else None,
        masks=judge.subsets,
        videos=table.videos,
    )


def bayes_limits(data: Dataset) -> dict[Subset, float] | None:
    """The simulation's Bayes limit in its population, by subset; None for real data."""
    if data.simulation is None:
        return None
    limit = data.simulation["bayes_limit"]["population"]["all"]
    return {s: float(limit[str(s)][BAYES_RULE]) for s in Subset}


def _check_same_labels(labels: LabelScheme, scheme: LabelScheme, name: str) -> None:
    if labels.model_copy(update={"head": scheme.head}) != scheme:
        raise DataError(f"model {name!r} was trained for other labels than the first of the table")


class _Judge:
    """Scores outputs on the subsets of one table."""

    def __init__(self, table: FeatureTable, truth: NDArray[np.int64], scheme: LabelScheme) -> None:
        self.table, self.truth, self.scheme = table, truth, scheme
        all_of_it = {Subset.TEST: np.ones(len(table), dtype=bool)}
        self.subsets = all_of_it if scheme.polarity is None else subset_masks(table.scores)

    def row(
        self,
        name: str,
        outputs: Sequence[Array],
        note: str = "",
        scores: Sequence[Array | None] = (),
    ) -> Row:
        """outputs: one (N, c) array a seed, or (N, 1) scores; scores: (N,) beside classes."""
        head = "regression" if outputs[0].shape[1] == 1 else "classification"
        scheme = self.scheme.model_copy(update={"head": head})
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
        return Cell(
            interval=cluster_bootstrap(right[:, mask].mean(axis=0), self.table.videos[mask]),
            spread=spread(right[:, mask].mean(axis=1)),
            metrics={k: float(np.mean([m[k] for m in measured])) for k in measured[0]},
        )


def _labelled(data: Dataset, split: str, scheme: LabelScheme) -> tuple[Dataset, NDArray[np.int64]]:
    """The data with the clips of the split that have a label, and their classes."""
    table = data[split]
    place = f"{data.source}: split '{split}'"
    try:
        truth = scheme.to_class(table.scores[:, 0])
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
    known = np.flatnonzero(truth >= 0)
    if not len(known):
        raise DataError(f"{place}: no clip has a label, needed to evaluate")
    if len(known) < len(table):
        data = replace(data, splits={**data.splits, split: table.take(known)})
    return data, truth[known]


def _stage1_rows(judge: _Judge, first: Predictions, votes: Sequence[Array]) -> Iterable[Row]:
    for k, modality in enumerate(first.modalities):
        yield judge.row(modality, [v[:, k] for v in votes], "its stage-1 model")
    yield judge.row(MEAN_OF_STAGE1, [_mean(v, first.present) for v in votes])


def _mean(votes: Array, present: NDArray[np.bool_]) -> Array:
    """(N, K, c) -> (N, c) over the modalities present."""
    number = np.maximum(present.sum(axis=1, keepdims=True), 1)
    return np.asarray((votes * present[..., None]).sum(axis=1) / number)


def _outputs_of_counts(counts: Array, scheme: LabelScheme) -> Array:
    """(..., c) class counts -> outputs that decide for the commonest side, and class."""
    commonest = counts.argmax(axis=-1)
    unit = np.eye(scheme.num_classes)
    if scheme.polarity is None:
        return np.asarray(unit[commonest])
    zero = int(scheme.to_class(np.zeros(())))
    positive = truth_two_way(np.arange(scheme.num_classes), scheme.polarity, zero)
    side = (counts * positive).sum(axis=-1) > (counts * ~positive).sum(axis=-1)
    agrees = positive[commonest] == side  # else the class must not overrule the side
    ends = unit[np.where(side, scheme.num_classes - 1, 0)]
    return np.asarray(ends + 2 * unit[commonest] * agrees[..., None])


def _majority(data: Dataset, scheme: LabelScheme, rows: int) -> Array:
    """(N, c) or (N, 1): the commonest side and class of train, or its median score."""
    scores = data["train"].scores[:, 0]
    if scheme.head == "regression":
        return np.full((rows, 1), np.nanmedian(scores))
    classes = scheme.to_class(scores)
    counts = np.bincount(classes[classes >= 0], minlength=scheme.num_classes).astype(float)
    return np.tile(_outputs_of_counts(counts, scheme), (rows, 1))


def _sign_oracle(data: Dataset, split: str, scheme: LabelScheme) -> Array | None:
    """(N, c): for each combination of true unimodal classes, what is commonest in train."""
    if scheme.polarity is None or scheme.head == "regression" or "train" not in data:
        return None
    train, there = (scheme.to_class(data[s].scores) for s in ("train", split))
    if train.shape[1] < 2 or (train < 0).any() or (there[:, 1:] < 0).any():
        return None
    c = scheme.num_classes
    counts = np.zeros((*([c] * (train.shape[1] - 1)), c))
    np.add.at(counts, (*train[:, 1:].T, train[:, 0]), 1)
    overall = counts.sum(axis=tuple(range(counts.ndim - 1)))
    counts = np.where(counts.sum(-1, keepdims=True) > 0, counts, overall)
    return _outputs_of_counts(counts[tuple(there[:, 1:].T)], scheme)
