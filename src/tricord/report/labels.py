"""Where pseudo labels moved, whether to the truth, and why where none did."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tricord.inference.recovery import HALF, Agreement, Movement, movements, moves_slowly
from tricord.labels import LabelScheme
from tricord.report import figures
from tricord.report.markup import Html, charts, items, join, section, table, tag
from tricord.report.subject import Subject
from tricord.report.words import ABSENT, counted, percent, ranged, signed

_FIXED = {
    "ground_truth": "Each modality was trained on its own true labels (CMC-GT). "
    "There are no pseudo labels.",
    "multimodal": "Each modality was trained on the multimodal label throughout "
    "(w/o PLGM). No label moves.",
}
_WHEN = {
    True: "where the modality's own model disagrees for long enough",
    False: "before stage 1, where models that were not trained on the clip disagree enough",
}
_ORACLE = ("Oracle, %", "Reached, %")
_ORACLE_WORDS = (
    " Oracle: the likeliest class given the modality's sequence and the multimodal label, known "
    "of simulated data alone; reached: the change as a share of what the oracle gains."
)


def show(subject: Subject) -> Html:
    """The section."""
    return section("Where pseudo labels moved", *_content(subject))


def _content(subject: Subject) -> Sequence[Html]:
    trained = subject.first
    if trained.config.pretrain.labels != "pseudo":
        return [tag("p", _FIXED[trained.config.pretrain.labels])]
    if "train" not in subject.data or not subject.trained_on:
        return [tag("p", "Not shown: this is not the data that the model was trained on.")]
    found = movements(trained, subject.data)
    history = trained.history["pretrain"]
    counts = {m.modality: [row[f"moved_{m.modality}"] for row in history] for m in found}
    moved = Html()
    if any(map(any, counts.values())):
        kept = max(trained.pretrained.epochs.values())
        moved = charts([figures.curves(counts, "Labels moved", kept, "clips of train")])
    return [
        tag(
            "p",
            "Every modality starts from the multimodal label of its clip; PLGM moves that label "
            f"{_WHEN[moves_slowly(trained.config)]}.",
        ),
        items(
            join([tag("b", tag("bdi", m.modality)), ": ", _in_words(m, len(history))])
            for m in found
        ),
        moved,
        tag("div", *(_moves(m, subject.scheme) for m in found if m.moved), class_="tables"),
        _agreements(found),
    ]


def _in_words(found: Movement, epochs: int) -> str:
    if found.moved:
        share = percent(found.moved / found.clips)
        return f"{found.moved} of {found.clips} labels moved ({share} %)."
    if found.must_stay == 0:
        return "no label moved, though nothing keeps one from it."
    least = f"the least mass found at a start class is {percent(found.least)} %."
    stays = f"{math.floor(1000 * found.must_stay) / 10:.1f} %"  # never rounded up
    if found.must_stay < HALF:
        return (
            f"no label moved, though the momentum allows it (at least {stays} of the mass stays "
            f"after {epochs} epochs); {least}"
        )
    needed = (
        "No number of epochs is enough."
        if found.epochs_needed is None
        else f"The first label could move after {found.epochs_needed:,} epochs."
    )
    return (
        f"no label moved, and none can: over {counted(epochs, 'epoch')} its momentum keeps at "
        f"least {stays} of a label's mass at its start class, whatever the model says, and more "
        f"than half must leave; {least} {needed}"
    )


def _moves(found: Movement, scheme: LabelScheme) -> Html:
    rows = [[c, *map(str, row)] for c, row in zip(scheme.classes, found.moves, strict=True)]
    caption = f"{found.modality}: clips of train, multimodal class (rows) to kept label"
    return tag("div", table(["", *scheme.classes], rows, caption))


def _agreements(found: Sequence[Movement]) -> Html:
    parts = [(m.modality, part, a) for m in found for part, a in m.agreement.items()]
    if not parts:
        return tag("p", "Whether labels moved to the true ones cannot be said: none are known.")
    oracle = any(a.oracle is not None for *_, a in parts)
    rows = [
        [tag("bdi", name), f"{part} ({a.clips})", *_agreement(a), *(_oracle(a) if oracle else ())]
        for name, part, a in parts
    ]
    head = ["", "Clips of train", "Moved", "Before, %", "After, %", "Change, points"]
    caption = (
        "Share of labels that are the modality's true label. Before: the multimodal label; after: "
        "the kept pseudo label. In brackets the 95 % interval, whole videos resampled."
    )
    return table(
        [*head, *(_ORACLE if oracle else ())], rows, caption + (_ORACLE_WORDS if oracle else "")
    )


def _agreement(found: Agreement) -> list[object]:
    return [
        str(found.moved),
        percent(found.before),
        percent(found.after),
        ranged(found.change, lambda share: signed(100 * share, 1)),
    ]


def _oracle(found: Agreement) -> list[object]:
    return [ABSENT if share is None else percent(share) for share in (found.oracle, found.reached)]
