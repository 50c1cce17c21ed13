"""Whether a run's probabilities mean what they say, and what can be promised with them.

Everything is fitted on valid; the split asked for is only looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tricord.api import Run
from tricord.data.schema import Dataset, FeatureTable
from tricord.data.splits import subset_masks
from tricord.errors import DataError, ModelError
from tricord.evaluation.calibration import Calibration, Method, classwise_ece, scores, top_label
from tricord.evaluation.conflict import auprc, auroc, youden_threshold
from tricord.evaluation.selective import aurc, excess_aurc, label_sets
from tricord.evaluation.statistics import wilson
from tricord.experiments.confidence_figures import draw_confidence
from tricord.experiments.confidence_result import (
    Answers,
    Confidence,
    Detector,
    Measured,
    Numbers,
    Sets,
)
from tricord.features.text import Tick
from tricord.inference.confidence import answer_above, belong_from, calibration_of
from tricord.inference.predictor import Predictions, predict
from tricord.labels import LabelScheme
from tricord.training.checkpoint import write_json
from tricord.training.trained import TrainedModel, versions
from tricord.types import Subset

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
CONSENSUS = "consensus"


def measure(
    run: Run,
    data: Dataset | str | Path | None = None,
    split: str = "test",
    *,
    method: Method = "temperature",
    risk: float = 0.1,
    coverage: float = 0.9,
    by_video: bool = True,
    tick: Tick | None = None,
) -> Confidence:
    """Calibrate every seed anew on valid, and measure on the split, clips without label left out.

    data: as `Run.dataset`; its own valid is used, and that of the run where it has none. risk,
    coverage: between 0 and 1, what is asked of answers and sets. by_video: promised for a clip of
    a new video, else for a new clip of the same videos. Raises ModelError for a model without
    classes, DataError where valid or the split has no label.
    """
    scheme = run.best.config.labels
    if scheme.head == "regression":
        raise ModelError(f"{run.name}: gives a score and no classes, which confidence needs")
    there = run.dataset(data)
    fitting = _labelled(there if "valid" in there else run.dataset(), "valid", scheme)
    there = _labelled(there, split, scheme)
    table, valid = there[split], fitting["valid"]
    seen = [_look(trained, fitting, there, split, method, tick) for trained in run.trained]
    found = [pair.there for pair in seen]
    truth = scheme.to_class(table.scores[:, 0])
    masks = _subsets(table, scheme)
    return Confidence(
        name=run.name,
        split=split,
        method=method,
        risk=risk,
        coverage=coverage,
        by_video=by_video,
        seeds=[pair.seed for pair in seen],
        fitted_on=f"{len(valid)} clips of valid of {Path(fitting.source).name}",
        calibrations=[pair.calibration for pair in seen],
        rows=_rows(found, truth, masks),
        classwise=_classwise(found, truth, scheme),
        answers=[
            _answers(pair, truth, answer_above(pair.calibration, risk, by_video)) for pair in seen
        ],
        sets=[
            _sets(pair, truth, belong_from(pair.calibration, coverage, by_video)) for pair in seen
        ],
        detectors=_detectors(seen, masks.get(Subset.MSI), _subsets(valid, scheme).get(Subset.MSI)),
        simulated=there.simulated or run.best.simulated,
        about={
            "config": run.best.config.model_dump(mode="json"),
            "versions": versions(),
            "data_fingerprint": there.fingerprint(),
            "valid_fingerprint": fitting.fingerprint(),
        },
        truth=truth,
        before=np.stack([p.uncalibrated.probabilities for p in found]),
        after=np.stack([p.probabilities for p in found]),
        masks=masks,
    )


def write(found: Confidence, folder: Path) -> None:
    """``confidence-SPLIT.json``, and the same with .png and .svg."""
    path = folder / f"confidence-{found.split}"
    draw_confidence(path, found)
    write_json(path.with_suffix(".json"), found.to_json())


def _labelled(data: Dataset, split: str, scheme: LabelScheme) -> Dataset:
    table = data[split]
    rows = np.flatnonzero(scheme.to_class(table.scores[:, 0]) >= 0)
    if not len(rows):
        raise DataError(f"{data.source}: split '{split}': no clip has a label, which this needs")
    return replace(data, splits={**data.splits, split: table.take(rows)})


@dataclass(frozen=True)
class _Seen:
    """One seed's predictions on valid and on the split, both with this calibration."""

    seed: int
    calibration: Calibration
    valid: Predictions
    there: Predictions


def _look(
    trained: TrainedModel,
    fitting: Dataset,
    data: Dataset,
    split: str,
    method: Method,
    tick: Tick | None,
) -> _Seen:
    valid = predict(trained, fitting.seal("test"), "valid", tick)
    calibration = calibration_of(valid, fitting["valid"], method)
    there = predict(trained, data, split, tick)
    valid, there = (replace(p, calibration=calibration) for p in (valid, there))
    return _Seen(trained.seed, calibration, valid, there)


def _subsets(table: FeatureTable, scheme: LabelScheme) -> dict[Subset, Bools]:
    whole = {Subset.TEST: np.ones(len(table), dtype=bool)}
    masks = whole if scheme.polarity is None else subset_masks(table.scores)
    return {s: m for s, m in masks.items() if m.any()}


def _rows(
    found: Sequence[Predictions], truth: Ints, masks: Mapping[Subset, Bools]
) -> list[Measured]:
    """The consensus by subset, then each vote on the clips that have it."""
    rows = [
        Measured(
            CONSENSUS,
            subset,
            int(mask.sum()),
            [_numbers(p.uncalibrated.probabilities[mask], truth[mask]) for p in found],
            [_numbers(p.probabilities[mask], truth[mask]) for p in found],
        )
        for subset, mask in masks.items()
    ]
    for k, name in enumerate(found[0].modalities):
        here = found[0].present[:, k]
        if here.any():
            both = [
                [_numbers(p.vote_probabilities[here, k], truth[here]) for p in each]
                for each in ([p.uncalibrated for p in found], found)
            ]
            rows.append(Measured(name, Subset.TEST, int(here.sum()), *both))
    return rows


def _numbers(probabilities: Floats, truth: Ints) -> Numbers:
    top = top_label(probabilities, truth)
    more = {"aurc": aurc(*top), "excess_aurc": excess_aurc(*top)}
    return {**scores(probabilities, truth), **more}


def _classwise(
    found: Sequence[Predictions], truth: Ints, scheme: LabelScheme
) -> dict[str, tuple[float, float]]:
    before = np.mean([classwise_ece(p.uncalibrated.probabilities, truth) for p in found], axis=0)
    after = np.mean([classwise_ece(p.probabilities, truth) for p in found], axis=0)
    return dict(zip(scheme.classes, zip(before.tolist(), after.tolist(), strict=True), strict=True))


def _answers(seen: _Seen, truth: Ints, threshold: float | None) -> Answers:
    if threshold is None:
        return Answers(seen.seed, None, None, None)
    confidence, right = top_label(seen.there.probabilities, truth)
    answered = confidence > threshold
    count = int(answered.sum())
    wrong = wilson(int((~right[answered]).sum()), count) if count else None
    return Answers(seen.seed, threshold, wilson(count, len(truth)), wrong)


def _sets(seen: _Seen, truth: Ints, threshold: float) -> Sets:
    members = label_sets(seen.there.probabilities, threshold)
    held = wilson(int(members[np.arange(len(truth)), truth].sum()), len(truth))
    return Sets(seen.seed, threshold, held, float(members.sum(axis=1).mean()))


def _detectors(seen: Sequence[_Seen], there: Bools | None, valid: Bools | None) -> list[Detector]:
    """there, valid: which clips of the split and of valid are in D_msi, where that is known."""
    if there is None or valid is None or len(seen[0].there.modalities) < 2:
        return []
    found = [_detector(pair, there, valid) for pair in seen]
    return [d for d in found if d is not None]


def _detector(seen: _Seen, there: Bools, valid: Bools) -> Detector | None:
    """None where all clips of either are in D_msi."""
    score = seen.there.conflict_score
    threshold = youden_threshold(seen.valid.conflict_score, valid)
    area, precision = auroc(score, there), auprc(score, there)
    if threshold is None or area is None or precision is None:
        return None
    flagged = score >= threshold
    return Detector(
        seed=seen.seed,
        auroc=area,
        auprc=precision,
        base=float(there.mean()),
        threshold=threshold,
        sensitivity=float(flagged[there].mean()),
        specificity=float((~flagged[~there]).mean()),
    )
