"""Each label by itself: missing, out of range, off the grid, against its word."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tricord.data.check.evidence import Evidence, signs_of
from tricord.data.check.findings import Finding, Severity, Where, of_many
from tricord.data.check.known import Known
from tricord.data.schema import UNLABELLED, UNSPLIT

# float32 holds steps of 0.2 to within 1e-7; scores averaged anew are far off.
GRID_TOLERANCE = 1e-4
RANGE_TOLERANCE = 1e-6
_BOUNDS = (1.0, 3.0)  # of the CH-SIMS and of the CMU family
_CLASS_NUMBERS = (0.0, 1.0, 2.0)
_WORDS = {
    "negative": -1.0, "neutral": 0.0, "positive": 1.0,
    "消极": -1.0, "中性": 0.0, "积极": 1.0,
}  # fmt: skip
MULTIMODAL = "M"


def names_of(evidence: Evidence) -> tuple[str, ...]:
    """M, then the modalities, as the columns of the scores."""
    return (MULTIMODAL, *evidence.dataset.modalities)


def findings(evidence: Evidence) -> Iterator[Finding]:
    """Of the labels."""
    scores = {split: table.scores for split, table in evidence.tables.items()}
    columns = np.concatenate(list(scores.values())) if scores else np.zeros((0, 1))
    if np.isnan(columns[:, 0]).all():
        yield from _no_scores(evidence)
        return
    yield from _missing(evidence)
    if _are_class_numbers(columns[:, 0]):
        yield _class_numbers()
        return
    yield from _out_of_range(evidence)
    if evidence.known is not None and evidence.known.grid is not None:
        yield from _off_grid(evidence, evidence.known.grid, evidence.known.title)
    yield from _copies(evidence, columns)
    yield from _words(evidence)


def _no_scores(evidence: Evidence) -> Iterator[Finding]:
    if any(table.label_names for table in evidence.tables.values()):
        yield Finding(
            "labels-are-words",
            Severity.NOTE,
            "labels are words, there are no scores",
            "Fine for nominal classes; there is no sign, so no D_msc and D_msi.",
            "Train without --preset: the words are the classes.",
        )
        return
    to_predict = set(evidence.tables) == {UNSPLIT}
    yield Finding(
        "label-missing",
        Severity.NOTE if to_predict else Severity.ERROR,
        "no clip has a label",
        "Nothing can be learned or measured; predicting works.",
        "Fill in the label table, and extract or convert again; in a pickle, add "
        "regression_labels.",
    )


def _missing(evidence: Evidence) -> Iterator[Finding]:
    known = evidence.known
    for column, name in enumerate(names_of(evidence)):
        unknown = {
            s: np.isnan(t.scores[:, column]) for s, t in evidence.tables.items() if s != UNLABELLED
        }
        count, total = (sum(f(m) for m in unknown.values()) for f in (np.sum, len))
        if not count:
            continue
        ids = (evidence.tables[s].ids[r] for s, m in unknown.items() for r in np.flatnonzero(m))
        where = Where.at((s for s, m in unknown.items() if m.any()), _modality(name), ids=ids)
        if name != MULTIMODAL and count == total:
            if known is not None and known.modality_labels:
                yield _no_modality_labels(known, name, where)
            continue
        yield Finding(
            "label-missing",
            Severity.WARNING,
            f"label {name} is unknown in {of_many(int(count), total)}",
            "Unlabelled clips are left out of scores and of D_msc and D_msi; the extraction "
            "toolkit drops a whole label where one value of it is missing.",
            "Complete the labels from the data set's label.csv, joined by id.",
            where,
        )


def _no_modality_labels(known: Known, name: str, where: Where) -> Finding:
    return Finding(
        "label-missing",
        Severity.WARNING,
        f"no clip has a label of {name}; {known.title} has them",
        "The extraction toolkit drops a label where one value is missing. Without it there is no "
        "D_msc, no D_msi, and no training on true labels of the modalities.",
        "Take the labels from the data set's label.csv, joined by id.",
        where,
    )


def _modality(name: str) -> str | None:
    return None if name == MULTIMODAL else name


def _are_class_numbers(scores: NDArray[np.float64]) -> bool:
    values = np.unique(scores[~np.isnan(scores)])
    return bool(
        np.isin(values, _CLASS_NUMBERS).all() and values.max(initial=0) == max(_CLASS_NUMBERS)
    )


def _class_numbers() -> Finding:
    return Finding(
        "class-numbers",
        Severity.WARNING,
        "all multimodal labels are 0, 1 or 2",
        "These look like numbers of classes (negative, neutral, positive), not like scores with a "
        "sign: read as scores, no clip would be negative.",
        "Use regression_labels, or classes of your own; see docs/extend.md.",
    )


def _out_of_range(evidence: Evidence) -> Iterator[Finding]:
    known = evidence.known
    greatest = max(
        float(np.nanmax(np.abs(t.scores), initial=0.0)) for t in evidence.tables.values()
    )
    bound = known.bound if known is not None else next((b for b in _BOUNDS if greatest <= b), None)
    if bound is None:
        yield Finding(
            "label-range",
            Severity.WARNING,
            f"scores reach {greatest:g} from zero",
            "CH-SIMS scores lie in -1..1, CMU scores in -3..3; no preset admits these.",
            "Rescale them, or set labels.low and labels.high.",
        )
        return
    for column, name in enumerate(names_of(evidence)):
        bad = {
            s: np.abs(t.scores[:, column]) > bound + RANGE_TOLERANCE
            for s, t in evidence.tables.items()
        }
        count = sum(int(mask.sum()) for mask in bad.values())
        if count:
            ids = (evidence.tables[s].ids[r] for s, m in bad.items() for r in np.flatnonzero(m))
            yield Finding(
                "label-range",
                Severity.ERROR,
                f"label {name} lies outside -{bound:g}..{bound:g} in {count} clips",
                "No annotator could give this score; classes and errors are wrong there.",
                "Compare with the official label.csv.",
                Where.at((s for s, m in bad.items() if m.any()), _modality(name), ids=ids),
            )


def _off_grid(evidence: Evidence, step: float, title: str) -> Iterator[Finding]:
    for column, name in enumerate(names_of(evidence)):
        off = {}
        for split, table in evidence.tables.items():
            steps = table.scores[:, column] / step
            off[split] = np.abs(steps - np.round(steps)) > GRID_TOLERANCE
        count = sum(int(mask.sum()) for mask in off.values())
        if not count:
            continue
        total = sum(len(mask) for mask in off.values())
        ids = (evidence.tables[s].ids[r] for s, m in off.items() for r in np.flatnonzero(m))
        yield Finding(
            "label-grid",
            Severity.WARNING,
            f"label {name} is no multiple of {step:g} in {of_many(count, total)}",
            f"Scores of {title} are means of five annotators, steps of {step:g}. Others were "
            "computed, rescaled or smoothed.",
            "Compare with the official label.csv.",
            Where.at((s for s, m in off.items() if m.any()), _modality(name), ids=ids),
        )


def _copies(evidence: Evidence, columns: NDArray[np.float64]) -> Iterator[Finding]:
    names = names_of(evidence)
    known = ~np.isnan(columns).any(axis=1)
    if len(names) < 3 or not known.any() or np.ptp(columns[known, 0]) == 0:
        return
    if (columns[known] == columns[known, :1]).all():
        yield Finding(
            "label-copies",
            Severity.WARNING,
            f"labels of {', '.join(names[1:])} equal M in all {int(known.sum())} clips",
            "They are copies, not annotations: D_msi is empty and training on 'true' labels of "
            "the modalities means nothing.",
            "Leave them out.",
        )


def _words(evidence: Evidence) -> Iterator[Finding]:
    wrong: list[tuple[str, str]] = []
    total = 0
    for split, table in evidence.tables.items():
        if table.label_names is None:
            continue
        words = [_WORDS.get(word.strip().lower(), np.nan) for word in table.label_names]
        expected, found = np.array(words), signs_of(table.scores[:, 0])
        both = ~np.isnan(expected) & ~np.isnan(found)
        total += int(both.sum())
        wrong += [(split, table.ids[r]) for r in np.flatnonzero(both & (expected != found))]
    if wrong:
        yield Finding(
            "label-word",
            Severity.WARNING,
            f"the word (annotations) and the sign of the score differ in "
            f"{of_many(len(wrong), total)}",
            "One of the two is wrong, or they were made from different versions of the labels. We "
            "use the scores.",
            "Compare these clips with the official label.csv.",
            Where.at((s for s, _ in wrong), ids=(clip for _, clip in wrong)),
        )
