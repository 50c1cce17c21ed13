"""How the modalities are weighed, and whether otherwise where labels conflict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tricord.report import figures
from tricord.report.facts import Weights, router_weights
from tricord.report.markup import Html, charts, section, table, tag
from tricord.report.subject import Subject
from tricord.report.words import ABSENT, ranged, signed
from tricord.types import Subset


def show(subject: Subject) -> Html:
    """The section."""
    return section("How the modalities are weighed", *_content(subject))


def _content(subject: Subject) -> Iterable[Html]:
    evidence = subject.first.model.evidence
    if evidence is not None:
        names = subject.first.model.modalities
        scales = zip(names, evidence.scale[-1].tolist(), strict=True)
        return [
            tag(
                "p",
                "The votes are added, each with a scale that was fitted on valid, the same for all "
                "clips that have the same modalities. A scale of 0 leaves a vote out; with all "
                "alike, one over their number is the plain mean.",
            ),
            table(["Vote", "Scale"], [[tag("bdi", n), f"{s:.2f}"] for n, s in scales]),
        ]
    if subject.first.model.router is None:
        return [
            tag(
                "p",
                "There is no MCR in this model: it takes the plain mean, so every modality "
                "present has the same weight in every clip.",
            )
        ]
    subsets = dict(subject.evaluation.masks)
    if Subset.MSI in subsets:
        del subsets[Subset.TEST]
    predictions = subject.predictions
    found = router_weights(predictions, subsets, subject.table.videos)
    top = float(predictions.weights.max())
    drawn = (
        figures.boxes(
            {str(s): v for s, v in w.groups.items() if len(v)}, f"Weight of {w.modality}", top
        )
        for w in found
    )
    legend = (
        "Boxes: quartiles and median; whiskers: the middle 90 % of clips; in brackets how "
        f"many. Without a preference every weight would be {1 / len(found):.3f}."
    )
    return [
        charts(drawn, legend),
        _table(found),
        tag("p", _in_words(found, Subset.MSI in subsets)),
    ]


def _table(found: Sequence[Weights]) -> Html:
    head = ["Mean weight", *map(str, found[0].groups)]
    rows = [[tag("bdi", w.modality), *map(_mean, w.groups.values())] for w in found]
    if any(w.difference for w in found):
        head.append("D_msi minus D_msc")
        for row, w in zip(rows, found, strict=True):
            row.append(ranged(w.difference, signed) if w.difference else ABSENT)
    return table(head, rows, "± is the standard deviation over clips")


def _mean(values: NDArray[np.float64]) -> Html:
    return Html(f"{values.mean():.3f} ±\u00a0{values.std():.3f}") if len(values) else ABSENT


def _in_words(found: Sequence[Weights], split_known: bool) -> str:
    if not split_known:
        return (
            "The weights are over all clips: without a sign for every modality's label, D_msc and "
            "D_msi are not known."
        )
    gaps = {w.modality: w.difference for w in found if w.difference}
    if not gaps:
        return "D_msc or D_msi is empty here, so that the two cannot be compared."
    largest = math.ceil(1000 * max(max(-i.low, i.high) for i in gaps.values())) / 1000
    sure = [
        f"{name} {'more' if i.estimate > 0 else 'less'}"
        for name, i in gaps.items()
        if i.low > 0 or i.high < 0
    ]
    level = f"{100 * next(iter(gaps.values())).level:g} %"
    told = (
        f"On D_msi MCR weighs {', '.join(sure)} than on D_msc"
        if sure
        else "No modality's mean weight can be told apart between D_msc and D_msi"
    )
    return (
        f"{told} ({level} intervals, each by itself, whole videos resampled). Going by the ends "
        f"of the intervals, the two mean weights of a modality do not differ by more than "
        f"{largest:.3f}."
    )
