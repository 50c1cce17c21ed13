"""How well it does: the table with intervals and floors, its drawing, the gap to the limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tricord.evaluation.rows import Cell, Row
from tricord.evaluation.table import BAYES, BAYES_RULE, MAJORITY, Evaluation
from tricord.report import figures
from tricord.report.markup import Html, charts, folded, items, join, section, table, tag
from tricord.report.subject import Subject
from tricord.report.words import ABSENT, decision_rule, percent, points, ranged
from tricord.types import Subset

_MEANING = {
    Subset.TEST: "all",
    Subset.MSC: "labels agree in sign",
    Subset.MSI: "labels differ in sign",
}


def show(subject: Subject) -> Html:
    """The section."""
    evaluation = subject.evaluation
    return section(
        "How well it does",
        _accuracies(subject),
        _forests(evaluation, frozenset(subject.models)),
        _gaps(evaluation, list(subject.models)),
        folded("All metrics, means over seeds", _all_metrics(evaluation)),
    )


def _accuracies(subject: Subject) -> Html:
    evaluation = subject.evaluation
    head = [_noted(str(s), f"{n} clips: {_MEANING[s]}") for s, n in evaluation.clips.items()]
    rows = [
        [_noted(tag("bdi", row.name), row.note), *map(_cell, row.cells.values())]
        for row in evaluation.rows
    ]
    if (limits := evaluation.limits) is not None:
        name = _noted(BAYES, f"of the population, by the rule {BAYES_RULE}")
        rows.insert(1, [name, *(tag("b", percent(limits[s])) for s in evaluation.clips)])
    levels = {c.interval.level for row in evaluation.rows for c in row.cells.values() if c}
    level = " or ".join(f"{100 * level:g} %" for level in sorted(levels))
    spread = " ± is the standard deviation over seeds." if subject.several_seeds else ""
    caption = (
        f"Share of clips decided rightly, %: {decision_rule(subject.scheme)}. In brackets the "
        f"{level} interval, whole videos resampled.{spread}"
    )
    return join([table(["", *head], rows, caption), items(evaluation.notes())])


def _noted(name: str, note: str) -> Html:
    return join([name, tag("span", note, class_="note")])


def _cell(cell: Cell | None) -> Html:
    if cell is None:
        return ABSENT
    spread = "" if cell.spread is None else f" ±\u00a0{percent(cell.spread)}"
    return join([ranged(cell.interval, percent), tag("span", spread, class_="range")])


def _filled(evaluation: Evaluation, subset: Subset) -> list[tuple[Row, Cell]]:
    """The rows that have something there."""
    return [(row, cell) for row in evaluation.rows if (cell := row.cells[subset])]


def _forests(evaluation: Evaluation, marked: frozenset[str]) -> Html:
    limits = evaluation.limits or {}
    cells = {s: [(r.name, c.interval) for r, c in _filled(evaluation, s)] for s in evaluation.clips}
    intervals = [i for rows in cells.values() for _, i in rows]
    ends = [*(i.low for i in intervals), *(i.high for i in intervals), *limits.values()]
    span = max(0.0, min(ends) - 0.03), min(1.0, max(ends) + 0.03)
    drawn = []
    for subset, rows in cells.items():
        if rows:
            lines = {"majority": dict(rows)[MAJORITY].estimate}
            if subset in limits:
                lines["limit"] = limits[subset]
            drawn.append(figures.forest(rows, str(subset), span, marked, lines))
    legend = "Points with their intervals. Dashed: the majority class."
    return charts(drawn, legend + (" Green: the Bayes limit." if limits else ""))


def _gaps(evaluation: Evaluation, names: Sequence[str]) -> Html:
    """How far each model stays below the Bayes limit, in points."""
    limits = evaluation.limits
    if limits is None:
        return Html()
    rows = (
        [tag("bdi", n), *(_gap(limits, s, c) for s, c in evaluation.row(n).cells.items())]
        for n in names
    )
    return tag(
        "div",
        tag("h3", "Gap to the Bayes limit"),
        tag(
            "p",
            "The limit is what the exact posterior of the generator reaches in its population "
            f"when it decides by {BAYES_RULE}, not being told the subset. On D_test nothing beats "
            "it in the long run; on D_msc and D_msi it is what that same classifier gets there. "
            "On few clips an estimate may still lie above it by chance.",
        ),
        table(["Points below the limit", *map(str, evaluation.clips)], rows),
    )


def _gap(limits: Mapping[Subset, float], subset: Subset, cell: Cell | None) -> Html:
    if cell is None:
        return ABSENT
    limit, i = limits[subset], cell.interval
    gap = replace(i, estimate=limit - i.estimate, low=limit - i.high, high=limit - i.low)
    return ranged(gap, points)


def _metric(cell: Cell, name: str) -> Html | str:
    """A model with a score head has metrics that the others lack."""
    return f"{cell.metrics[name]:.3f}" if name in cell.metrics else ABSENT


def _all_metrics(evaluation: Evaluation) -> Html:
    tables = []
    for subset in evaluation.clips:
        if filled := _filled(evaluation, subset):
            names = list(dict.fromkeys(name for _, cell in filled for name in cell.metrics))
            rows = [
                [tag("bdi", row.name), *(_metric(cell, name) for name in names)]
                for row, cell in filled
            ]
            tables.append(table([str(subset), *names], rows))
    return join(tables)
