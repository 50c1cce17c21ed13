"""The drawing of Figure 6: a line a modality and class over the epochs, and a cell a word."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tricord.experiments.reproduce.drawing import RED, shortened, write_rows
from tricord.experiments.reproduce.figure6_cases import Case, Followed
from tricord.report.figures import INK, class_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_ROW = 2.15  # inches
_IN_LINE = 7  # words
_LONGEST = 10  # columns of a word
_STRONGEST = 0.8  # so that a word can still be read


def draw_followed(found: Sequence[Followed], path: Path, head: str) -> None:
    """A row a clip: what its labels did, and its words. head: above all, such as SIMULATED."""
    rows = [
        partial(_row, followed=followed, case=case) for followed in found for case in followed.cases
    ]
    write_rows(path, 11, _ROW, head, rows)


def _row(figure: SubFigure, followed: Followed, case: Case) -> None:
    classes, choice = followed.scheme.classes, case.choice
    figure.suptitle(
        f"{followed.preset}, {case.id}: text label {_went(classes, case)}"
        + (f", truly {case.truth['text']}" if "text" in case.truth else ""),
        x=0.005,
        ha="left",
        fontsize=9,
    )
    axes = figure.subplots(1, len(case.paths) + 1, width_ratios=[*[1] * len(case.paths), 2.6])
    for place, (panel, (name, _)) in enumerate(zip(axes, case.paths.items(), strict=False)):
        _path(panel, followed, case, name)
        if place:
            panel.set_yticklabels([])
    axes[0].set_ylabel("soft label")
    lines, names = axes[0].get_legend_handles_labels()
    # beside the title, where no line can run
    figure.legend(lines, names, loc="upper right", ncols=len(names), handlelength=1, borderpad=0)
    _words(axes[-1], case, classes[choice.target])


def _went(classes: Sequence[str], case: Case) -> str:
    choice = case.choice
    if choice.left is None:
        return f"stayed {classes[choice.start]}, nearest to {classes[choice.target]}"
    return f"{classes[choice.start]} to {classes[choice.target]} in epoch {choice.left}"


def _path(axes: Axes, followed: Followed, case: Case, name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    scheme = followed.scheme
    colours = class_colours(scheme.classes, ordered=not scheme.nominal)
    for label, colour, mass in zip(scheme.classes, colours, case.paths[name].T, strict=True):
        axes.plot(mass, color=colour, label=label, linewidth=1.6, marker=".", markersize=4)
    axes.axvline(followed.kept, color=INK, linestyle=":", linewidth=1)
    axes.set_ylim(-0.04, 1.04)
    axes.set_title(name)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))


def _words(axes: Axes, case: Case, target: str) -> None:
    """From left to right and top to bottom; the stronger the colour, the larger the number."""
    from matplotlib.patches import Rectangle

    axes.set_axis_off()
    kind = "words" if case.named else "frames"
    axes.set_title(f"{kind} of the text by gradient times input for {target}")
    lines = -(-len(case.words) // _IN_LINE)
    axes.set_xlim(0, _IN_LINE)
    axes.set_ylim(max(lines, 4), 0)
    for place, (word, share) in enumerate(zip(case.words, case.shares.tolist(), strict=True)):
        y, x = divmod(place, _IN_LINE)
        axes.add_patch(
            Rectangle(
                (x + 0.03, y + 0.08),
                0.94,
                0.84,
                facecolor=RED,
                alpha=_STRONGEST * share,
                linewidth=0,
            )
        )
        axes.text(x + 0.5, y + 0.5, shortened(word, _LONGEST), ha="center", va="center", fontsize=7)
