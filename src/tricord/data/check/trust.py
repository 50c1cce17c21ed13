"""Whether features know the labels of train and valid in a way that test does not share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tricord.data.check.evidence import Evidence
from tricord.data.check.findings import Finding, Severity, Where
from tricord.data.check.order import MOST_PROBED
from tricord.data.check.statistics import correlations, predict

# Two splits of one population never differ by this much; other speakers cost less than half of it.
CLEAR = 5.0  # standard errors of Fisher's z
LEAST_GAP = 0.2
FEWEST = 100  # clips of valid and of test
_SEED = 0


def findings(evidence: Evidence) -> Iterator[Finding]:
    """A linear probe of each modality, fitted on train, judged on valid and on test."""
    tables = evidence.tables
    if not {"train", "valid", "test"} <= set(tables):
        return
    for modality in evidence.modalities:
        r = {split: _judged(evidence, modality, split) for split in ("valid", "test")}
        if any(found is None for found in r.values()):
            continue
        (valid, n_valid), (test, n_test) = (found for found in r.values() if found is not None)
        error = np.sqrt(1 / (n_valid - 3) + 1 / (n_test - 3))
        z = (np.arctanh(min(valid, 1 - 1e-6)) - np.arctanh(min(max(test, 0), 1 - 1e-6))) / error
        if z < CLEAR or valid - max(test, 0) < LEAST_GAP:
            continue
        yield Finding(
            "feature-leak",
            Severity.WARNING,
            f"a linear probe fitted on train reaches r = {valid:.2f} on valid, {test:.2f} on test "
            f"({z:.0f} standard errors apart)",
            "As with features from a network that was trained on the labels of train and valid, "
            "or with a test split of another kind. Scores on valid, and choices made by them, are "
            "far too good for this modality.",
            "Use other features of this modality, or judge by clips that its extractor never saw.",
            Where.at(("valid", "test"), modality),
        )


def _judged(evidence: Evidence, modality: str, split: str) -> tuple[float, int] | None:
    """Correlation of the probe's guesses with M on a split, and the number of clips."""
    features, targets = _labelled(evidence, modality, "train")
    others, truth = _labelled(evidence, modality, split)
    if min(len(targets), len(truth)) < FEWEST or np.ptp(targets) == 0:
        return None
    if len(targets) > MOST_PROBED:
        rows = np.random.default_rng(_SEED).choice(len(targets), MOST_PROBED, replace=False)
        features, targets = features[rows], targets[rows]
    guess = predict(features, targets, others)
    return float(correlations(guess, truth)[0, 0]), len(truth)


def _labelled(
    evidence: Evidence, modality: str, split: str
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Time means and M of the clips that have both."""
    scores = evidence.tables[split].scores[:, :1]
    found = evidence.scans[split][modality]
    rows = ~np.isnan(scores[:, 0]) & ~found.absent
    return found.means[rows], scores[rows]
