"""Order of the labels M, T, A, V, as far as numbers can tell.

Three tests, each silent unless the margin is clear. With a known joint distribution of signs
(CH-SIMS): which order of the columns fits it. Otherwise: M, given last by annotators who saw all,
goes with the others at least as well as they go with each other; and a modality's features predict
its own label better than features of the others do.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from tricord.data.check.evidence import Evidence, signs_of
from tricord.data.check.findings import Finding, Severity, Where
from tricord.data.check.labels import names_of
from tricord.data.check.statistics import correlations, groups_of, out_of_fold, standard_error
from tricord.data.simulation.model import ch_sims_joint

Floats = NDArray[np.float64]

FEWEST = 200  # clips; below, no margin is ever clear
CLEAR = 4.0  # standard errors, resampling videos
# Another order must leave under a third of the clips in wrong cells, and these must be more than a
# few corrected labels.
WRONG_CELLS = 0.03
BETTER_BY = 3.0
# The gain of another order in mean correlation: less is not worth a word.
LEAST_GAIN = 0.05
MOST_PROBED = 4000  # clips; a correlation is then known to .016
_SEED = 0


def findings(evidence: Evidence) -> Iterator[Finding]:
    """Where M and the labels of at least two modalities are known."""
    names = names_of(evidence)
    scores = np.concatenate([table.scores for table in evidence.tables.values()])
    rows = np.flatnonzero(~np.isnan(scores).any(axis=1))
    if len(names) < 3 or len(rows) < FEWEST or (scores[rows] == scores[rows, :1]).all():
        return
    if evidence.known is not None and evidence.known.name == "ch-sims" and len(names) == 4:
        found = list(_against_known(scores[rows], names))
        if found:
            yield from found
            return
    videos = np.concatenate([table.videos for table in evidence.tables.values()])
    yield from _multimodal(scores[rows], groups_of(videos[rows]), names)
    yield from _probe(evidence, rows)


def _against_known(scores: Floats, names: tuple[str, ...]) -> Iterator[Finding]:
    cells = (signs_of(scores) + 1).astype(np.int64)
    found = np.zeros((3, 3, 3, 3))
    np.add.at(found, tuple(cells.T), 1 / len(cells))
    joint = ch_sims_joint()
    distance = {
        order: float(np.abs(found.transpose(order) - joint).sum() / 2)
        for order in permutations(range(4))
    }
    stored, best = distance[0, 1, 2, 3], min(distance, key=lambda order: distance[order])
    if stored < WRONG_CELLS or stored < BETTER_BY * distance[best]:
        return
    holds = ", ".join(
        f"column {names[column]} holds {name}"
        for column, name in zip(best, names, strict=True)
        if names[column] != name
    )
    yield Finding(
        "label-order",
        Severity.ERROR,
        f"{100 * stored:.0f} % of the clips stand in the wrong cell of signs of CH-SIMS; "
        f"{100 * distance[best]:.0f} % if {holds}",
        "The label columns are exchanged: models are trained and judged on the label of another "
        "modality. Their order is M, T, A, V.",
        "Rename the columns, or take the labels from the official label.csv by name.",
    )


def _multimodal(
    scores: Floats, groups: NDArray[np.int64], names: tuple[str, ...]
) -> Iterator[Finding]:
    """Whether another label goes with the others better than M does."""
    matrix = correlations(scores, scores)

    def lead(r: Floats) -> Floats:
        """How much better each label goes with the others than M does."""
        mean = (np.abs(r).sum(axis=0) - 1) / (len(r) - 1)
        return np.asarray(mean - mean[0])

    other = int(lead(matrix)[1:].argmax()) + 1
    gain = float(lead(matrix)[other])
    if gain < LEAST_GAIN:
        return
    error = standard_error(scores, scores, groups, lambda r: float(lead(r)[other]))
    if gain < CLEAR * error:
        return
    yield Finding(
        "label-order",
        Severity.WARNING,
        f"label {names[other]} goes with the others better than M does: mean |r| "
        f"{gain:.2f} higher ({gain / max(error, 1e-9):.0f} standard errors)",
        "M was given with all modalities in view and usually goes with them best. Suspicious: M "
        f"may stand in the column of {names[other]}. Their order is M, T, A, V.",
        "Compare some clips with the official label.csv.",
        Where.at(modality=names[other]),
    )


def _probe(evidence: Evidence, rows: NDArray[np.int64]) -> Iterator[Finding]:
    """Whether the features of one modality predict the label of another one clearly better."""
    modalities = [m for m in evidence.modalities if m in evidence.dataset.modalities]
    if len(modalities) < 2 or any(m not in s for m in modalities for s in evidence.scans.values()):
        return
    if len(rows) > MOST_PROBED:
        rows = np.sort(np.random.default_rng(_SEED).choice(rows, MOST_PROBED, replace=False))
    names = names_of(evidence)
    columns = [names.index(m) for m in modalities]
    scores = np.concatenate([table.scores for table in evidence.tables.values()])[rows][:, columns]
    videos = np.concatenate([table.videos for table in evidence.tables.values()])[rows]
    groups = groups_of(videos)
    if groups.max() < 1:
        return
    guesses = []
    for modality in modalities:
        means = np.concatenate([s.means for _, s in evidence.of_modality(modality)])[rows]
        guesses.append(out_of_fold(means, scores, groups))
    yield from _best_order(np.concatenate(guesses, axis=1), scores, groups, tuple(modalities))


def _best_order(
    guesses: Floats, scores: Floats, groups: NDArray[np.int64], names: tuple[str, ...]
) -> Iterator[Finding]:
    """guesses: (N, K * K), those of the first modality for all labels, then the next one's."""
    k = len(names)

    def matrix(r: Floats) -> Floats:
        """(K, K): how well the features of the row predict the label of the column."""
        return np.array([[r[row * k + column, column] for column in range(k)] for row in range(k)])

    def mean(r: Floats, order: tuple[int, ...]) -> float:
        return float(np.mean([r[row, column] for row, column in enumerate(order)]))

    r = matrix(correlations(guesses, scores))
    stored = tuple(range(k))
    best = max(permutations(stored), key=lambda order: mean(r, order))
    gain = mean(r, best) - mean(r, stored)
    if gain < LEAST_GAIN:
        return
    error = standard_error(
        guesses, scores, groups, lambda c: mean(matrix(c), best) - mean(matrix(c), stored)
    )
    if gain < CLEAR * error:
        return
    fits = ", ".join(
        f"{names[row]} features predict label {names[column]}"
        for row, column in enumerate(best)
        if row != column
    )
    yield Finding(
        "label-order",
        Severity.WARNING,
        f"{fits}: a linear probe's mean r is {mean(r, best):.2f} in this order, "
        f"{mean(r, stored):.2f} as stored ({gain / max(error, 1e-9):.0f} standard errors)",
        "A modality usually tells its own label best. Suspicious: the label columns may be "
        "exchanged. Their order is M, T, A, V.",
        "Compare some clips with the official label.csv.",
    )
