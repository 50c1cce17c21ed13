"""What Figure 7 shows of one data set: clips of test, chosen by a rule, before and after MCR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from tricord.data.schema import FeatureTable
from tricord.data.splits import subset_masks
from tricord.evaluation.metrics import correct
from tricord.experiments.reproduce.figure6_cases import true_classes
from tricord.features.text import TEXT
from tricord.inference.predictor import Predictions
from tricord.labels import LabelScheme
from tricord.types import Subset

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
KINDS = ("consistent", "inconsistent, text's vote right", "inconsistent, text's vote overruled")
RULE = (
    "Of the clips of test that the consensus decides rightly: the one whose weights' entropy is "
    "nearest to the median over these clips, ties by id. Three times: among the consistent clips "
    "(D_msc), and among the inconsistent ones (D_msi) whose text vote by itself would be right and "
    "would be wrong."
)


@dataclass(frozen=True)
class Case:
    """A chosen clip of test.

    kind: which rule chose it, out of how many candidates. votes: (K, c) class probabilities of
    the modalities before MCR; weights: (K,); consensus: (c,) class probabilities after it.
    present: (K,). truth: modality, or "multimodal" -> true class.
    """

    kind: str
    candidates: int
    id: str
    words: str
    votes: Floats
    weights: Floats
    consensus: Floats
    present: Bools
    truth: Mapping[str, str]


@dataclass(frozen=True)
class Decided:
    """One data set, by one model.

    seed: of the model that is shown. inconsistent: clips of D_msi. saved: of these, how many the
    text's vote decides wrongly and the consensus rightly; lost: the other way round.
    """

    preset: str
    fingerprint: str
    scheme: LabelScheme
    seed: int
    modalities: Sequence[str]
    inconsistent: int
    saved: int
    lost: int
    cases: Sequence[Case]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {k: v for k, v in vars(self).items() if k not in ("scheme", "cases")}
        return {
            **plain,
            "modalities": list(self.modalities),
            "classes": list(self.scheme.classes),
            "cases": [self._case(case) for case in self.cases],
        }

    def _case(self, case: Case) -> dict[str, Any]:
        rows = zip(self.modalities, case.votes, case.weights, case.present, strict=True)
        return {
            "kind": case.kind,
            "candidates": case.candidates,
            "id": case.id,
            "words": case.words,
            "true": dict(case.truth),
            "modalities": {
                name: {
                    "vote": np.round(vote, 6).tolist() if here else None,
                    "weight": round(float(weight), 6),
                }
                for name, vote, weight, here in rows
            },
            "consensus": np.round(case.consensus, 6).tolist(),
        }


def decide(
    predictions: Predictions, test: FeatureTable, preset: str, fingerprint: str, seed: int
) -> Decided | None:
    """Of a model's predictions for test; None where D_msc and D_msi are not known."""
    scheme = predictions.scheme
    masks = subset_masks(test.scores)
    if Subset.MSI not in masks:
        return None
    labels = scheme.to_class(test.scores[:, 0])
    right = correct(predictions.outputs, labels, scheme)
    k = predictions.modalities.index(TEXT)
    text_right = correct(predictions.votes[:, k], labels, scheme)
    inconsistent = masks[Subset.MSI]
    saved = inconsistent & right & ~text_right
    spoken = predictions.present[:, k]
    groups = (
        masks[Subset.MSC] & right,
        inconsistent & right & text_right & spoken,
        saved & spoken,
    )
    cases = []
    for kind, candidates in zip(KINDS, groups, strict=True):
        row = most_usual(predictions.weights, candidates, predictions.ids)
        if row is not None:
            cases.append(_case(predictions, test, kind, int(candidates.sum()), row))
    return Decided(
        preset=preset,
        fingerprint=fingerprint,
        scheme=scheme,
        seed=seed,
        modalities=predictions.modalities,
        inconsistent=int(inconsistent.sum()),
        saved=int(saved.sum()),
        lost=int((inconsistent & ~right & text_right).sum()),
        cases=cases,
    )


def most_usual(weights: Floats, candidates: Bools, ids: Sequence[str]) -> int | None:
    """The candidate whose weights' entropy is nearest to their median, ties by id; None of none."""
    rows = np.flatnonzero(candidates)
    if not len(rows):
        return None
    entropy = entr(weights[rows]).sum(axis=1)
    distance = np.round(np.abs(entropy - np.median(entropy)), 9)
    return int(rows[np.lexsort((np.array(ids)[rows], distance))[0]])


def _case(
    predictions: Predictions, test: FeatureTable, kind: str, candidates: int, row: int
) -> Case:
    return Case(
        kind=kind,
        candidates=candidates,
        id=predictions.ids[row],
        words="" if test.raw_text is None else " ".join(test.raw_text[row].split()),
        votes=predictions.uncalibrated.vote_probabilities[row],  # as the paper has them
        weights=predictions.weights[row],
        consensus=predictions.uncalibrated.probabilities[row],
        present=predictions.present[row],
        truth=true_classes(test, predictions.scheme, row),
    )
