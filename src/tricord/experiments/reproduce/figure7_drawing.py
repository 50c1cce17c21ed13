"""The drawing of Figure 7: a bar a vote, a bar a weight, and the consensus below them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tricord.experiments.reproduce.drawing import shortened, write_rows
from tricord.experiments.reproduce.figure7_cases import Case, Decided, Floats
from tricord.report.figures import INK, class_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_ROW = 1.75  # inches
_WORDS = 84  # columns of a clip's words
_LEAST = 0.08  # share whose number still has room in its bar


def draw_decided(found: Sequence[Decided], path: Path, head: str) -> None:
    """A row a clip: its votes, weights and consensus. head: above all, such as SIMULATED."""
    rows = [
        partial(_row, decided=decided, case=case) for decided in found for case in decided.cases
    ]
    write_rows(path, 8.5, _ROW, head, rows)


def _row(figure: SubFigure, decided: Decided, case: Case) -> None:
    figure.suptitle(
        f"{decided.preset}, {case.kind}: {case.id}, truly {case.truth['multimodal']}"
        + (f"\n{shortened(case.words, _WORDS)}" if case.words else ""),
        x=0.005,
        ha="left",
        fontsize=9,
    )
    votes, weights = figure.subplots(1, 2, width_ratios=[2.4, 1])
    names = [
        f"{name} ({case.truth[name]})" if name in case.truth else name
        for name in decided.modalities
    ]
    bars = [*(p if h else None for p, h in zip(case.votes, case.present, strict=True))]
    _shares(votes, decided, [*names, "consensus"], [*bars, case.consensus])
    votes.set_title("class probabilities (true class)")
    _weights(weights, case)
    lines, classes = votes.get_legend_handles_labels()
    figure.legend(
        lines, classes, loc="upper right", ncols=len(classes), handlelength=1, borderpad=0
    )


def _shares(
    axes: Axes, decided: Decided, names: Sequence[str], bars: Sequence[Floats | None]
) -> None:
    """Shares side by side, a line a name; the last, below a gap, is what came of the others."""
    scheme = decided.scheme
    colours = class_colours(scheme.classes, ordered=not scheme.nominal)
    places = _places(len(names))
    known = [bar if bar is not None else np.zeros(len(colours)) for bar in bars]
    shares = np.stack(known)
    starts = np.cumsum(shares, axis=1) - shares
    for c, (label, colour) in enumerate(zip(scheme.classes, colours, strict=True)):
        axes.barh(places, shares[:, c], left=starts[:, c], color=colour, label=label, height=0.8)
    for place, bar, start in zip(places, shares, starts, strict=True):
        for share, left in zip(bar.tolist(), start.tolist(), strict=True):
            if share > _LEAST:
                axes.text(left + share / 2, place, f"{share:.2f}", ha="center", va="center")
    axes.set_yticks(places, names)
    axes.set_ylim(places[-1] + 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(left=False)


def _weights(axes: Axes, case: Case) -> None:
    """Beside the votes; the line is where all would be equal."""
    places = _places(len(case.weights) + 1)
    axes.barh(places[:-1], case.weights, color="#b9bec7", height=0.8)
    for place, weight in zip(places, case.weights.tolist(), strict=False):
        axes.text(0.02, place, f"{weight:.3f}", ha="left", va="center")
    axes.axvline(1 / max(1, int(case.present.sum())), color=INK, linestyle=":", linewidth=1)
    axes.set_ylim(places[-1] + 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_yticks([])
    axes.set_xticks([0, 0.5, 1])
    axes.set_title("weight of MCR")


def _places(count: int) -> list[float]:
    return [*map(float, range(count - 1)), count - 0.7]
