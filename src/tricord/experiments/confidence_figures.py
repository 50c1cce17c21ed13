"""Reliability before and after, and what is wrong among what is answered, as PNG and SVG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tricord.evaluation.calibration import equal_mass, reliability, top_label
from tricord.evaluation.selective import risk_coverage
from tricord.experiments.reproduce.drawing import write_figure
from tricord.report.figures import BLUE, GREY, LINES
from tricord.types import Subset

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tricord.experiments.confidence_result import Confidence

_BINS = 10


def draw_confidence(path: Path, found: Confidence) -> None:
    """Three drawings side by side, as .png and .svg; path without a suffix."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, 3)
        _reliability(axes[0], found, found.before, "as trained")
        _reliability(axes[1], found, found.after, f"calibrated ({found.method})")
        _risk(axes[2], found)
        simulated = "SIMULATED DATA: " if found.simulated else ""
        figure.suptitle(f"{simulated}{found.name} on {found.split}", x=0.01, ha="left")

    write_figure(path, (10, 3.6), draw)


def _reliability(
    axes: Axes, found: Confidence, probabilities: NDArray[np.float64], title: str
) -> None:
    """A point a bin of as many clips as the others, all seeds together; the diagonal is right."""
    seeds, n, classes = probabilities.shape
    pooled = probabilities.reshape(seeds * n, classes)
    top = top_label(pooled, np.tile(found.truth, seeds))
    points = reliability(*top, equal_mass, _BINS)
    low = 1 / classes
    axes.plot([low, 1], [low, 1], color=GREY, linestyle="--", linewidth=1)
    axes.plot(points.probability, points.frequency, color=BLUE, marker="o", markersize=4)
    axes.set_xlim(low, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("probability of the answer")
    axes.set_ylabel("share of answers that are right")
    axes.set_title(title)


def _risk(axes: Axes, found: Confidence) -> None:
    """A line a subset, the mean over seeds."""
    for (subset, mask), colour in zip(found.masks.items(), LINES, strict=False):
        truth = found.truth[mask]
        curves = [risk_coverage(*top_label(p[mask], truth)) for p in found.after]
        name = "all" if subset is Subset.TEST else str(subset)
        risk = 100 * np.mean([curve.risk for curve in curves], axis=0)
        axes.plot(100 * curves[0].coverage, risk, color=colour, label=name, linewidth=1.3)
    axes.axhline(100 * found.risk, color=GREY, linestyle="--", linewidth=1)
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("answered, surest clips first, %")
    axes.set_ylabel("wrong among these, %")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(found.masks), borderpad=0)
