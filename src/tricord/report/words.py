"""Numbers and rules in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tricord.evaluation.statistics import Interval
from tricord.labels import LabelScheme
from tricord.report.markup import Html, join, tag
from tricord.types import Polarity

ABSENT = Html("–")


def percent(share: float) -> str:
    """Of a share (0 to 1)."""
    return f"{100 * share:.1f}"


def points(difference: float) -> str:
    """Percentage points of a difference of shares, with no sign where it is positive."""
    return signed(100 * difference, 1).lstrip("+")


def signed(number: float, digits: int = 3) -> str:
    """With its sign, a true minus, and no sign for what rounds to zero."""
    text = f"{number:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def p_value(p: float) -> str:
    """Never 0: only so many resamples were drawn."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |" for line in lines)


def counted(count: int, noun: str) -> str:
    """The number with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def ranged(interval: Interval, written: Callable[[float], str]) -> Html:
    """The estimate, and in brackets the ends of its interval."""
    ends = f" [{written(interval.low)}, {written(interval.high)}]"
    return join([tag("b", written(interval.estimate)), tag("span", ends, class_="range")])


def decision_rule(scheme: LabelScheme) -> str:
    """What counts as right."""
    if scheme.polarity is None:
        return "the most probable class is the true one"
    sides = {
        Polarity.NON_POSITIVE: "positive (score above 0) against all else",
        Polarity.NON_NEGATIVE: "negative (score below 0) against all else",
    }[scheme.polarity]
    if scheme.head == "regression":
        return f"{sides}, by the sign of the score"
    if scheme.decision == "sides":
        return f"{sides}, by which side is likelier, all its classes together"
    return f"{sides}, by whether '{scheme.classes[-1]}' beats '{scheme.classes[0]}'"
