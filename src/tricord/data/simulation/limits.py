"""What can at best be known of simulated clips: the Bayes limit, and each modality's oracle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tricord.data.simulation.model import GenerativeModel, Statistics
from tricord.data.simulation.speakers import Floats, Ints
from tricord.types import MODALITIES, Subset

Accuracies = dict[str, dict[str, float | int | None]]
Limits = dict[str, Accuracies]

RULES: tuple[str, ...] = ("pos>neg", "pos>neg+neutral", "three classes")


def accuracies(posterior: Floats, classes: Ints) -> Accuracies:
    """What a classifier with these (N, 3) probabilities gets on D_test, D_msc and D_msi.

    Per subset its size ``clips``; per rule of RULES the accuracy, None where the subset is empty;
    ``standard_error``, the largest of theirs, clips taken as independent. The rules: "pos>neg"
    ignores the neutral mass, ties are negative; "pos>neg+neutral" is the best decision between
    non-positive and positive; "three classes" takes the likeliest.
    """
    truth, (negative, neutral, positive) = classes[:, 0], posterior.T
    decisions = (
        (positive > negative) == (truth == 2),
        (positive > negative + neutral) == (truth == 2),
        posterior.argmax(axis=1) == truth,
    )
    right = np.stack(decisions, axis=1)
    consistent = (classes == classes[:, :1]).all(axis=1)
    members = {
        Subset.TEST: np.ones_like(consistent),
        Subset.MSC: consistent,
        Subset.MSI: ~consistent,
    }
    return {str(subset): _rates(right[rows]) for subset, rows in members.items()}


def _rates(right: NDArray[np.bool_]) -> dict[str, float | int | None]:
    if not len(right):
        return {"clips": 0, **dict.fromkeys(RULES), "standard_error": None}
    rates = right.mean(axis=0)
    error = float(np.sqrt(rates * (1 - rates) / len(right)).max())
    return {
        "clips": len(right),
        **dict(zip(RULES, rates.tolist(), strict=True)),
        "standard_error": error,
    }


def limits(
    model: GenerativeModel, statistics: Statistics, classes: Ints, *, shifted: bool = False
) -> Limits:
    """`accuracies` of the posterior: "all" modalities (the Bayes limit), then each one's oracle.

    shifted: of one that knows the shift of test's speakers.
    """
    likelihoods = model.likelihoods(statistics, shifted=shifted)
    known: dict[str, tuple[str, ...]] = {"all": MODALITIES, **{k: (k,) for k in MODALITIES}}
    return {
        name: accuracies(model.posterior(likelihoods, modalities), classes)
        for name, modalities in known.items()
    }
