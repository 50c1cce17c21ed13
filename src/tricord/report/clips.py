"""The clips where the modalities disagree most, a card each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tricord.evaluation.calibration import described
from tricord.inference.predictor import Predictions
from tricord.labels import LabelScheme
from tricord.report.facts import disagreement, furthest_apart
from tricord.report.figures import BLUE, GREY, LINES, ORANGE
from tricord.report.markup import Html, join, section, table, tag
from tricord.report.subject import Subject
from tricord.report.words import counted, decision_rule, percent, signed

Array = NDArray[np.float64]
_CARDS = 10
_WORDS = 240  # characters of a clip's words


def show(subject: Subject) -> Html:
    """The section."""
    distances = disagreement(subject.predictions)
    rows = furthest_apart(distances, subject.predictions.ids, _CARDS).tolist()
    regression = subject.scheme.head == "regression"
    rule = (
        "the largest vote minus the smallest"
        if regression
        else "0 to 1: Jensen-Shannon divergence of the votes' probabilities, weighted as the votes"
    )
    number = "Ten clips" if len(rows) == _CARDS else counted(len(rows), "clip")
    return section(
        f"{number} where the modalities disagree",
        tag(
            "p",
            f"Not picked by hand: the clips of {subject.split} with the largest disagreement "
            f"({rule}), ties by id. Right or wrong as in the table: "
            f"{decision_rule(subject.scheme)}.",
        ),
        tag("p", _conflict_in_words(subject)),
        Html() if regression else _legend(subject.scheme),
        Html() if regression else tag("p", f"{described(subject.predictions.calibration)}."),
        *(_card(subject, i, f"{distances[i]:.3f}") for i in rows),
    )


def _conflict_in_words(subject: Subject) -> str:
    conflict, right = subject.predictions.conflict, subject.right
    number = int(conflict.sum())
    text = f"The votes' classes differ in {number} of {len(conflict)} clips."
    if not 0 < number < len(conflict):
        return text
    return (
        f"{text} The consensus is right on {percent(right[conflict].mean())} % of these and on "
        f"{percent(right[~conflict].mean())} % of the others."
    )


def _legend(scheme: LabelScheme) -> Html:
    keys = (
        tag("span", _shares_bar([1.0], [colour], name), tag("bdi", name), class_="key")
        for name, colour in zip(scheme.classes, _class_colours(scheme), strict=True)
    )
    return tag("p", *keys)


def _card(subject: Subject, row: int, distance: str) -> Html:
    predictions, clips = subject.predictions, subject.table
    words = Html()
    if clips.raw_text is not None:
        words = tag("blockquote", tag("bdi", _shortened(clips.raw_text[row])))
    consensus, shares = predictions.outputs[row], predictions.probabilities[row]
    outcome = "right" if subject.right[row] else "wrong"
    votes: list[list[object]] = [
        *(_vote_row(predictions, row, k) for k in range(len(predictions.modalities))),
        ["consensus", *_vote(predictions, consensus, shares), tag("span", outcome, class_=outcome)],
    ]
    return tag(
        "article",
        tag("h3", tag("bdi", clips.ids[row])),
        words,
        tag("p", _true_labels(subject, row)),
        table(["", "vote", "class", "weight"], votes),
        tag(
            "p",
            f"Disagreement {distance}. {_in_numbers(subject.scheme, consensus, shares)}",
            class_="soft",
        ),
        class_="case",
    )


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _WORDS else f"{words[:_WORDS]}…"


def _true_labels(subject: Subject, row: int) -> Html:
    classes = subject.scheme.to_class(subject.table.scores[row]).tolist()
    names = ("multimodal", *subject.table.sequences)
    known = [
        join([name, " ", tag("b", tag("bdi", subject.scheme.classes[c]))])
        for name, c in zip(names, classes, strict=False)
        if c >= 0
    ]
    rest = "" if len(known) > 1 else "; the modalities' own labels are not known"
    return join(["True labels: ", join(known, ", "), rest, "."])


def _vote_row(predictions: Predictions, row: int, k: int) -> list[object]:
    name = tag("bdi", predictions.modalities[k])
    if not predictions.present[row, k]:
        return [name, "absent", "", ""]
    weight = f"{predictions.weights[row, k]:.3f}"
    vote, shares = predictions.votes[row, k], predictions.vote_probabilities[row, k]
    return [name, *_vote(predictions, vote, shares), weight]


def _vote(predictions: Predictions, output: Array, shares: Array) -> tuple[Html, Html]:
    """The bar, and the class in words."""
    scheme = predictions.scheme
    name = tag("bdi", scheme.classes[int(predictions.classes(output))])
    if scheme.head == "regression":
        score = float(output[0])
        return _score_bar(score, scheme), join([name, f" ({signed(score, 2)})"])
    spoken = ", ".join(f"{n} {v:.2f}" for n, v in zip(scheme.classes, shares, strict=True))
    return _shares_bar(shares, _class_colours(scheme), spoken), join([name, f" {shares.max():.2f}"])


def _in_numbers(scheme: LabelScheme, output: Array, shares: Array) -> str:
    if scheme.head == "regression":
        return f"Consensus: score {signed(float(output[0]))}."
    pairs = zip(scheme.classes, shares, strict=True)
    return f"Consensus: {', '.join(f'{name} {p:.3f}' for name, p in pairs)}."


def _class_colours(scheme: LabelScheme) -> list[str]:
    """One colour a class: orange over grey to blue where classes are ordered."""
    c = scheme.num_classes
    if scheme.nominal:
        return [LINES[i % len(LINES)] for i in range(c)]
    ends = np.array([[int(e[i : i + 2], 16) for i in (1, 3, 5)] for e in (ORANGE, GREY, BLUE)])
    places = np.linspace(0, 2, c)
    mixed = np.stack([np.interp(places, [0, 1, 2], channel) for channel in ends.T], axis=1)
    return ["#{:02x}{:02x}{:02x}".format(*row) for row in np.rint(mixed).astype(int).tolist()]


def _shares_bar(shares: Iterable[float], colours: Sequence[str], spoken: str) -> Html:
    """Shares (0 to 1, one in sum) side by side."""
    start, parts = 0.0, []
    for share, colour in zip(shares, colours, strict=True):
        width = 100 * float(share)
        parts.append(_rect(start, width, colour))
        start += width
    return _strip(parts, spoken)


def _score_bar(score: float, scheme: LabelScheme) -> Html:
    """From zero to the score, on the range of valid scores."""
    places = np.clip([0.0, score], scheme.low, scheme.high)
    zero, end = (100 * (places - scheme.low) / (scheme.high - scheme.low)).tolist()
    filled = _rect(min(zero, end), abs(end - zero), BLUE if end > zero else ORANGE)
    ground = tag("rect", x=0, y=0, width=100, height=10, fill=GREY, opacity=0.25)
    place = f"{zero:.1f}"
    axis = tag("line", x1=place, x2=place, y1=0, y2=10, stroke="currentColor", stroke_width=0.4)
    return _strip([ground, filled, axis], f"score {score:.2f}")


def _rect(x: float, width: float, colour: str) -> Html:
    return tag("rect", x=f"{x:.1f}", y=0, width=f"{width:.1f}", height=10, fill=colour)


def _strip(parts: Iterable[Html], spoken: str) -> Html:
    return tag(
        "svg",
        tag("title", spoken),
        *parts,
        class_="bar",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=spoken,
    )
