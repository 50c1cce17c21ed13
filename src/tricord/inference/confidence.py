"""Calibrating a trained model, and what follows from it for single clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import Dataset, FeatureTable
from tricord.errors import ModelError
from tricord.evaluation.calibration import Calibration, Method, described, fit
from tricord.evaluation.selective import abstain_threshold, label_sets, label_threshold
from tricord.features.text import Tick
from tricord.inference.predictor import Predictions, predict
from tricord.training.trained import TrainedModel

Bools = NDArray[np.bool_]


def calibrate(
    trained: TrainedModel,
    data: Dataset,
    split: str = "valid",
    method: Method = "temperature",
    tick: Tick | None = None,
) -> Calibration | None:
    """Fitted on the labelled clips of a split that no weight was fitted to; test is sealed.

    data: labels checked. None where there is nothing to calibrate: a head that gives a score, or
    no label in the split.
    """
    scheme = trained.config.labels
    if scheme.head == "regression":
        return None
    data = data.seal("test")
    known = np.flatnonzero(scheme.to_class(data[split].scores[:, 0]) >= 0)
    if not len(known):
        return None
    data = replace(data, splits={**data.splits, split: data[split].take(known)})
    return calibration_of(predict(trained, data, split, tick), data[split], method)


def calibration_of(
    predictions: Predictions, table: FeatureTable, method: Method = "temperature"
) -> Calibration:
    """Fitted on predictions of classes for these very clips, all with a label."""
    return fit(
        predictions.outputs,
        predictions.scheme.to_class(table.scores[:, 0]),
        votes=predictions.votes,
        present=predictions.present,
        modalities=predictions.modalities,
        videos=table.videos,
        method=method,
        split=table.name,
    )


def standing(predictions: Predictions) -> tuple[str, ...]:
    """On what the probabilities stand, in lines.

    One scaling is fitted to all clips of the split as they are, whatever they lack: after the
    first, a line for each modality that some of these clips lack says how many of those lacked it.
    """
    calibration, first = predictions.calibration, described(predictions.calibration)
    if calibration is None or calibration.method == "none":
        return (first,)
    lines = []
    for k, name in enumerate(predictions.modalities):
        if predictions.present[:, k].all():
            continue
        had = calibration.votes[name].clips
        said = "unchecked, all clips of the calibration had it"
        if had < calibration.clips:
            said = f"{calibration.clips - had} clips of the calibration lacked it, too"
        lines.append(f"without {name}: {said}")
    return (first, *lines)


def answer_above(calibration: Calibration, risk: float, by_video: bool = True) -> float | None:
    """The confidence that promises this risk, or None; see `abstain_threshold`.

    by_video: promised for a clip of a new video, else for a new clip of the same videos.
    """
    groups = calibration.videos if by_video else None
    return abstain_threshold(calibration.confidence, calibration.right, risk, groups=groups)


def belong_from(calibration: Calibration, coverage: float, by_video: bool = True) -> float:
    """The probability from which a class is in a clip's set; see `label_threshold`."""
    groups = calibration.videos if by_video else None
    return label_threshold(calibration.own, coverage, groups=groups)


def abstains(predictions: Predictions, risk: float, by_video: bool = True) -> Bools:
    """(N,) whether to say nothing, so that at most this share of the answers is wrong.

    All of them where no confidence promises that. Raises ModelError without a calibration.
    """
    threshold = answer_above(_of(predictions), risk, by_video)
    confidence = predictions.probabilities.max(axis=1)
    return np.asarray(confidence <= (np.inf if threshold is None else threshold))


def sets(predictions: Predictions, coverage: float, by_video: bool = True) -> Sequence[str]:
    """N sets of classes, ``negative|neutral``, that hold the true one with this probability.

    Raises ModelError without a calibration.
    """
    threshold = belong_from(_of(predictions), coverage, by_video)
    names = np.array(predictions.scheme.classes)
    return ["|".join(names[row]) for row in label_sets(predictions.probabilities, threshold)]


def _of(predictions: Predictions) -> Calibration:
    if predictions.calibration is None:
        raise ModelError(
            "this model is not calibrated: it gives scores, valid had no label, or it is from "
            "before calibration; resume its training to add it"
        )
    return predictions.calibration
