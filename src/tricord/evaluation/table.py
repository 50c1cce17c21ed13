"""The honest table: every method of a run on D_test, D_msc, D_msi, with intervals and floors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import Dataset
from tricord.errors import DataError
from tricord.evaluation.floors import majority, sign_oracle
from tricord.evaluation.on_valid import OnValid
from tricord.evaluation.power import Power, power_of
from tricord.evaluation.rows import Judge, Row
from tricord.evaluation.simple import AgainstSimple, Standing, in_words
from tricord.inference.predictor import Predictions, predict, predict_stage1
from tricord.labels import Decision, LabelScheme
from tricord.training.cmc import TrainedCMC
from tricord.training.trained import TrainedModel
from tricord.types import Polarity, Subset

Array = NDArray[np.float64]
MAJORITY, ORACLE, BAYES = "majority class", "sign oracle", "Bayes limit"
MEAN_OF_STAGE1 = "stage 1, mean of votes"
BAYES_RULE = "pos>neg+neutral"
ON_VALID = "valid chose the epochs and what is fitted to outputs: its numbers are too good"


@dataclass(frozen=True)
class Evaluation:
    """A table with its provenance.

    models: name -> settings, versions and training data of its first seed.

    limits: accuracy by subset of the Bayes limit in its population, if known. masks: (N,) the
    members of each subset. videos: (N,) the unit that is resampled. against: by model, how it
    stands to what is simple. power: of a comparison on this split. left_out: what could not stand
    here, and why.
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
    against: Mapping[str, Sequence[AgainstSimple]] = field(default_factory=dict)
    left_out: Sequence[str] = ()

    def notes(self) -> list[str]:
        """Lines for below the table: what each model is no worse than, power, what is left out."""
        stand = [line for name, found in self.against.items() for line in in_words(name, found)]
        left_out = [f"left out: {reason}" for reason in self.left_out]
        return [*stand, self.power.note, *([ON_VALID] if self._chose else []), *left_out]

    @property
    def _chose(self) -> bool:
        """Whether models were selected on these very clips."""
        learned_from = [model["data"]["fingerprint"] for model in self.models.values()]
        return self.split == "valid" and self.fingerprint in learned_from

    @property
    def power(self) -> Power:
        """From how often the models and the other rows that learned disagree."""
        learned = [row for row in self.rows if row.name not in (MAJORITY, ORACLE)]
        models = [row for row in learned if row.name in self.models]
        pairs = [(a.right, b.right) for a in models for b in learned if a is not b]
        return power_of(pairs, self.videos)

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
            "no_worse_than_simple": {
                name: [one.to_json() for one in found] for name, found in self.against.items()
            },
            "power": self.power.to_json(),
            "left_out": list(self.left_out),
        }


def evaluate(
    models: Mapping[str, Sequence[TrainedModel]],
    data: Dataset,
    split: str = "test",
    *,
    floor: Dataset | None = None,
    simple: bool = True,
) -> Evaluation:
    """All rows of the table for models trained on this data.

    models: name -> one trained model a seed; the single modalities and the mean of stage 1 are
    taken from the first CMC. Some may give scores and others classes, of the same labels. floor:
    whose train makes the majority and the logistic regression, and whose valid chooses, where it
    is not ``data``. simple: False leaves out the logistic regression and how models stand to what
    is simple. Clips without a label are left out. Raises DataError where there is none with one.
    """
    first = next(iter(models.values()))
    scheme = first[0].config.labels
    fingerprint = data.fingerprint()
    floor = floor or data
    foreign = floor is data and fingerprint != first[0].fingerprint
    data, truth = labelled(data, split, scheme)
    judge = Judge(data[split], truth, scheme)
    standing = Standing(judge, floor, split)
    rows = list(_floors(judge, floor, data, split))
    if simple:
        rows += standing.linear_row(first[0], data, foreign=foreign)
    alone_of = next((name for name, t in models.items() if isinstance(t[0], TrainedCMC)), None)
    for name, trained in models.items():
        _check_same_labels(trained[0].config.labels, scheme, name)
        predictions = [predict(t, data, split) for t in trained]
        cmc = [t for t in trained if isinstance(t, TrainedCMC)]
        if name == alone_of:
            votes = [predict_stage1(t, data, split) for t in cmc]
            valid = OnValid.of(cmc, floor, predict_stage1) if simple else None
            rows += (alone := _stage1_rows(judge, predictions[0], votes, valid))
            if simple:
                standing.choose_single(valid, alone)
        mean = _mean_row(judge, name, cmc, predictions, floor) if cmc else None
        if mean is not None and mean.name != MEAN_OF_STAGE1:
            rows.append(mean)
        scores = [p.scores for p in predictions]
        outputs, decision = [p.outputs for p in predictions], predictions[0].scheme.decision
        rows.append(judge.row(name, outputs, scores=scores, decision=decision))
        if simple:
            standing.add(rows[-1], mean)
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
        videos=judge.videos,
        against=standing.found,
        left_out=standing.left_out,
    )


def bayes_limits(data: Dataset, where: str = "population") -> dict[Subset, float] | None:
    """The simulation's Bayes limit, by subset; None for real data and where it is not recorded.

    where: "population", or "test": what the same classifier gets on test's very clips.
    """
    if data.simulation is None or where not in data.simulation["bayes_limit"]:
        return None
    limit = data.simulation["bayes_limit"][where]["all"]
    return {s: float(limit[str(s)][BAYES_RULE]) for s in Subset if str(s) in limit}


def _check_same_labels(labels: LabelScheme, scheme: LabelScheme, name: str) -> None:
    same = {"head": scheme.head, "decision": scheme.decision}
    if labels.model_copy(update=same) != scheme:
        raise DataError(f"model {name!r} was trained for other labels than the first of the table")


def labelled(data: Dataset, split: str, scheme: LabelScheme) -> tuple[Dataset, NDArray[np.int64]]:
    """The data with the clips of the split that have a label, and their classes.

    Raises DataError where there is none, or a label is not one of the scheme's.
    """
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


def _floors(judge: Judge, floor: Dataset, data: Dataset, split: str) -> Iterable[Row]:
    """What needs no features."""
    constant = majority(floor, judge.scheme, len(judge.table))
    yield judge.row(MAJORITY, [constant], "of the training labels")
    if not data.simulated and (oracle := sign_oracle(data, split, judge.scheme)) is not None:
        note = "lookup on the true unimodal signs, fitted on train; not a bound"
        yield judge.row(ORACLE, [oracle], note)


def _stage1_rows(
    judge: Judge, first: Predictions, votes: Sequence[Array], valid: OnValid | None
) -> list[Row]:
    """Classes become sides by the rule that valid chooses for each row."""
    rows = []
    for k, modality in enumerate(first.modalities):
        if first.present[:, k].any():
            decision = valid.rule(valid.of_modality(modality)) if valid else "ends"
            alone = [v[:, k] for v in votes]
            rows.append(judge.row(modality, alone, "its stage-1 model", decision=decision))
    decision = valid.rule(valid.votes.mean(axis=2)) if valid else "ends"
    means = [_mean(v, first.present) for v in votes]
    return [*rows, judge.row(MEAN_OF_STAGE1, means, decision=decision)]


def _mean_row(
    judge: Judge,
    name: str,
    cmc: Sequence[TrainedCMC],
    predictions: Sequence[Predictions],
    floor: Dataset,
) -> Row:
    """The plain mean of a model's votes; named as stage 1's where they are still those."""
    own = cmc[0].config.finetune.train == "all"
    means = [_mean(p.votes, p.present) for p in predictions]
    decision: Decision = "ends"
    if predictions[0].scheme.decision != decision:
        valid = OnValid.of(cmc, floor, lambda *where: predict(*where).votes)
        decision = valid.rule(valid.votes.mean(axis=2)) if valid else decision
    return judge.row(f"{name}, mean of votes" if own else MEAN_OF_STAGE1, means, decision=decision)


def _mean(votes: Array, present: NDArray[np.bool_]) -> Array:
    """(N, K, c) -> (N, c) over the modalities present."""
    number = np.maximum(present.sum(axis=1, keepdims=True), 1)
    return np.asarray((votes * present[..., None]).sum(axis=1) / number)
