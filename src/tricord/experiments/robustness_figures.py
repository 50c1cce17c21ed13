"""Accuracy under broken data as one figure: curves over the levels, and what has none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tricord.evaluation.statistics import Interval
from tricord.experiments.reproduce.drawing import write_figure
from tricord.experiments.robustness_result import Robustness, Subsets
from tricord.experiments.robustness_text import CLEAN, TITLES, level_name
from tricord.report.figures import GREY, INK, LINES
from tricord.types import Subset

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = ("frames", "noise")
_LINE_HEIGHT = 0.2  # inches
_ASIDE = 0.25  # of the way from one level to the next


def draw_robustness(path: Path, found: Robustness) -> None:
    """As .png and .svg; path without a suffix. Intervals of curves are those of the last level."""
    curves = [condition for condition in CURVES if found.of(condition)]
    single = _single(found)
    panels = len(curves) + bool(single)
    height = max(3.2, 1.4 + _LINE_HEIGHT * len(single))

    def draw(figure: Figure) -> None:
        # two lines, for a single panel is narrow
        title = f"{found.name} on {found.split},\n% right with 95 % intervals"
        figure.suptitle(f"SIMULATED DATA: {title}" if found.simulated else title, x=0, ha="left")
        grid = figure.subplots(1, panels, squeeze=False)[0]
        for axes, condition in zip(grid, curves, strict=False):
            _curves(axes, found, condition)
        if single:
            _forest(grid[-1], found, single)

    write_figure(path, (0.5 + 3.4 * panels, height), draw)


def _whole(found: Subsets) -> Interval:
    whole = found[Subset.TEST]
    assert whole is not None
    return whole.interval


def _single(found: Robustness) -> list[tuple[str, Interval]]:
    """What has no curve: a name and an interval."""
    return [
        (f"{row.condition} {row.target} {level_name(row.condition, p.level)}", _whole(p.found))
        for row in found.rows
        if row.condition not in CURVES
        for p in row.points
    ]


def _curves(axes: Axes, found: Robustness, condition: str) -> None:
    rows = found.of(condition)
    for number, row in enumerate(rows):
        intervals = [_whole(found.clean), *(_whole(point.found) for point in row.points)]
        colour = LINES[number % len(LINES)]
        places = range(len(intervals))
        axes.plot(
            places, [100 * i.estimate for i in intervals], ".-", color=colour, label=row.target
        )
        aside = places[-1] + _ASIDE * (1 + number)  # so that intervals do not lie on each other
        last = intervals[-1]
        axes.plot([aside, aside], [100 * last.low, 100 * last.high], color=colour, linewidth=1.4)
        levels = [level_name(condition, point.level) for point in row.points]
        short = [level.split(" ")[0] for level in levels]
        axes.set_xticks(places, ["0" if condition == "frames" else "none", *short])
    axes.set_title(TITLES[condition])
    axes.set_xlabel("lost, %" if condition == "frames" else "signal to noise, dB")
    axes.legend(loc="lower left")


def _forest(axes: Axes, found: Robustness, rows: Sequence[tuple[str, Interval]]) -> None:
    clean = 100 * _whole(found.clean).estimate
    axes.axvline(clean, color=GREY, linestyle="--", linewidth=1, zorder=0)
    for place, (_, interval) in enumerate(rows):
        axes.plot([100 * interval.low, 100 * interval.high], [place, place], color=INK, linewidth=1)
        axes.plot([100 * interval.estimate], [place], "o", color=LINES[0], markersize=3.5)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("right, %")
    axes.set_title(f"Dashed: {CLEAN}")
