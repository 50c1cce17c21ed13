"""How a trained model fares with broken data: lost frames, noise, whole modalities gone, and more.

The labels of the split are looked at, so that nothing may be chosen by these numbers that is
reported on the same split.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tricord.data.corrupt import variance
from tricord.data.schema import Dataset, FeatureTable
from tricord.evaluation.metrics import correct
from tricord.evaluation.rows import Judge
from tricord.evaluation.statistics import cluster_bootstrap, paired_cluster_bootstrap
from tricord.evaluation.table import labelled
from tricord.experiments.robustness_conditions import CONDITIONS, Break, Power, Series, series
from tricord.experiments.robustness_models import Subject, subject
from tricord.experiments.robustness_result import Found, Point, Robustness, Row, Subsets
from tricord.features.text import TEXT
from tricord.inference.predictor import predict
from tricord.training.trained import TrainedModel

REPEATS = 3
_SAME, _SAME_NEAR_0 = 1e-4, 1e-5  # float32 sums in another order differ by less
UNSEEN = "no output of the model changes"

Bools = NDArray[np.bool_]
Tick = Callable[[int, int], None]  # predictions done, predictions in all


def robustness(
    models: Sequence[TrainedModel],
    data: Dataset,
    split: str = "test",
    *,
    conditions: Collection[str] = tuple(CONDITIONS),
    repeats: int = REPEATS,
    tick: Tick | None = None,
) -> Robustness:
    """Every condition on a split, for all seeds of a run.

    data: with checked labels; its train, or the split itself where there is none, says how strong
    the signal is that noise is added to. repeats: how often what is random is drawn, by the seeds
    1111, 1112 and on.
    Raises DataError where no clip has a label or the data does not fit, ConfigError for an unknown
    condition, and where none can be met by these models and data.
    """
    scheme = models[0].config.labels
    labelled_data, truth = labelled(data, split, scheme)
    table = labelled_data[split]
    found = subject(models, table, data.source)
    reference = data.splits.get("train", table)
    plan = series(found, conditions, repeats, cache(lambda: _power(reference)))
    trial = _Trial(found, labelled_data, truth, tick, _predictions(found, plan))
    clean = trial.of([lambda whole: whole])
    judge = _Beside(clean.right, Judge(table, truth, scheme))
    return Robustness(
        name=models[0].name,
        split=split,
        metric="accuracy" if scheme.polarity is None else "acc2",
        clean=judge.found(clean.right, against=False),
        rows=[_row(one, trial, judge, clean) for one in plan],
        clips={s: int(mask.sum()) for s, mask in judge.judge.subsets.items()},
        seeds=tuple(t.seed for t in models),
        repeats=repeats,
        about=models[0].about(),
        source=Path(data.source).name,
        fingerprint=data.fingerprint(),
        simulated=data.simulated,
        notes=_notes(found, plan, of_train=reference is not table),
    )


def _power(table: FeatureTable) -> Power:
    return {name: variance(table.sequences[name]) for name in table.sequences}


def _predictions(found: Subject, plan: Sequence[Series]) -> int:
    copies = 1 + sum(len(level.breaks) for one in plan for level in one.levels)
    return copies * len(found.models)


def _notes(found: Subject, plan: Sequence[Series], *, of_train: bool) -> list[str]:
    """What holds for these models and data alone."""
    notes = []
    conditions = {one.condition for one in plan}
    if "noise" in conditions:
        place = "train" if of_train else "this split"
        notes.append(f"Noise: the signal is each column's variance over all frames of {place}.")
        if found.reads != "features":
            notes.append(f"Noise: none on text, which is read as {found.reads}.")
    if TEXT in found.models[0].widths and found.reads == "features" and "frames" in conditions:
        notes.append(
            "Frames: ready text features lose zero vectors, the first and the last too; each of "
            "those left may know the whole sentence, so that less is lost than with tokens."
        )
    return notes


@dataclass(frozen=True)
class _Answers:
    """outputs: (models, repeats, N, c). right: (models, repeats, N) bool."""

    outputs: NDArray[np.float64]
    right: Bools


@dataclass
class _Trial:
    """Breaks the table and asks all models."""

    subject: Subject
    data: Dataset
    truth: NDArray[np.int64]
    tick: Tick | None
    total: int
    done: int = 0

    def of(self, breaks: Sequence[Break]) -> _Answers:
        copies = [self._ask(change(self.subject.table)) for change in breaks]
        outputs = np.stack(copies, axis=1)
        scheme = self.subject.models[0].config.labels
        right = [[correct(o, self.truth, scheme) for o in of_model] for of_model in outputs]
        return _Answers(outputs, np.array(right))

    def _ask(self, table: FeatureTable) -> NDArray[np.float64]:
        """(models, N, c)."""
        split = table.name
        data = replace(self.data, splits={**self.data.splits, split: table})
        outputs = []
        for trained in self.subject.models:
            outputs.append(predict(trained, data, split).outputs)
            self.done += 1
            if self.tick is not None:
                self.tick(self.done, self.total)
        return np.stack(outputs)


@dataclass(frozen=True)
class _Beside:
    """Scores what was right, beside what was on the clean split, on the judge's subsets."""

    clean: Bools
    judge: Judge

    def found(self, right: NDArray[np.generic], *, against: bool = True) -> Subsets:
        """right: (models, repeats or levels, N), whether or how often a clip is right."""
        return {s: self._found(right, mask, against) for s, mask in self.judge.subsets.items()}

    def _found(self, right: NDArray[np.generic], mask: Bools, against: bool) -> Found | None:
        if not mask.any():
            return None
        of_clips, videos = right.mean(axis=(0, 1))[mask], self.judge.videos[mask]
        clean = self.clean.mean(axis=(0, 1))[mask]
        return Found(
            interval=cluster_bootstrap(of_clips, videos),
            per_seed=tuple(right[..., mask].mean(axis=(1, 2)).tolist()),
            drop=paired_cluster_bootstrap(clean, of_clips, videos).difference if against else None,
        )


def _row(one: Series, trial: _Trial, judge: _Beside, clean: _Answers) -> Row:
    points, levels, unseen = [], [clean.right.mean(axis=1)], True
    for level in one.levels:
        answers = trial.of(level.breaks)
        points.append(Point(level.value, judge.found(answers.right)))
        levels.append(answers.right.mean(axis=1))
        same = np.allclose(answers.outputs, clean.outputs, rtol=_SAME, atol=_SAME_NEAR_0)
        unseen = unseen and same
    return Row(
        condition=one.condition,
        target=one.target,
        points=points,
        mean=judge.found(np.stack(levels, axis=1)) if one.summed else None,
        note="; ".join(part for part in (one.note, UNSEEN if unseen else "") if part),
    )
