"""Figures as inline SVG: matplotlib's figure objects, no global state, the page's text colour.

Each is drawn small, so that a page can set several side by side or, on a phone, below each other.
Titles differ between the figures of a page.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tricord.evaluation.statistics import Interval
from tricord.report.markup import Html, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
# Middle tones that can be told apart on white and on black, by colour-blind readers as well.
BLUE, ORANGE, GREEN, GREY = "#3a86c8", "#d9772b", "#2a9d6f", "#8a8f98"
LINES = (BLUE, ORANGE, GREEN, "#b06fc4", "#c9a227", "#4fb3bf", "#d1605e", GREY)
INK = "#30343a"  # of letters and axes in a file of its own
# negative, neutral, positive; told apart by colour-blind readers as well
_SIGNS = ("#d9772b", "#a7abb3", "#3a86c8")
# for words that are not in the Latin script; those that are installed are used, in this order
_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC", "SimHei", "Arial Unicode MS"),
)
_INK = "#010203"  # stands for the page's text colour
_WIDTH = 3.5  # inches
_LONGEST = 26  # characters of a row's name, so that it leaves room for the drawing
_TIGHT: Any = {"borderaxespad": 0.2, "borderpad": 0.2, "handlelength": 1, "columnspacing": 1}
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def in_colour(ink: str) -> dict[str, str]:
    """Settings by which letters and axes are of one colour."""
    letters = {f"{part}.color": ink for part in ("text", "xtick", "ytick")}
    return {**letters, **{f"axes.{part}color": ink for part in ("edge", "label", "title")}}


def class_colours(classes: Sequence[str], *, ordered: bool) -> list[str]:
    """One a class: from orange to blue where there are three in order."""
    if ordered and len(classes) == len(_SIGNS):
        return list(_SIGNS)
    return [LINES[i % len(LINES)] for i in range(len(classes))]


def families() -> list[str]:
    """Fonts for words of any script, in the order in which letters are looked for."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["sans-serif", *(name for name in _FONTS if name in installed)]


def forest(
    rows: Sequence[tuple[str, Interval]],
    title: str,
    span: tuple[float, float],
    marked: frozenset[str],
    lines: Mapping[str, float],
) -> Html:
    """Estimates with intervals, in percent, from top to bottom.

    rows: name and interval (0 to 1). span: ends of the axis, the same for all subsets, 0 to 1.
    marked: names to stand out. lines: "majority" and "limit" (0 to 1), where known.
    """

    def draw(axes: Axes) -> None:
        for place, (name, interval) in enumerate(rows):
            colour = BLUE if name in marked else _INK
            ends = [100 * interval.low, 100 * interval.high]
            axes.plot(ends, [place, place], color=colour, linewidth=1.4)
            axes.plot([100 * interval.estimate], [place], "o", color=colour, markersize=4)
        for name, colour, style in (("majority", GREY, "--"), ("limit", GREEN, "-")):
            if name in lines:
                axes.axvline(
                    100 * lines[name], color=colour, linestyle=style, linewidth=1, zorder=0
                )
        axes.set_yticks(range(len(rows)), [_short(name) for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(100 * span[0], 100 * span[1])
        axes.set_xlabel("right, %")

    return _figure(draw, title, height=0.8 + 0.21 * len(rows))


def curves(
    lines: Mapping[str, Sequence[float]], title: str, kept: int | None = None, label: str = "loss"
) -> Html:
    """One line per name over epochs 1, 2, ...; the epoch that was kept is marked."""

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for (name, values), colour in zip(lines.items(), _cycle(len(lines)), strict=True):
            epochs = range(1, len(values) + 1)
            axes.plot(epochs, values, color=colour, label=name, linewidth=1.2, marker=".", ms=3)
        if kept:
            axes.axvline(kept, color=GREY, linestyle=":", linewidth=1.2)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.legend(  # beside the title, where no line can run
            loc="lower right", bbox_to_anchor=(1, 1), ncols=len(lines), **_TIGHT
        )

    return _figure(draw, title, height=2.1)


def boxes(groups: Mapping[str, Array], title: str, top: float) -> Html:
    """A box per name on an axis from 0 to ``top``: quartiles and median, whiskers over 90 %."""

    def draw(axes: Axes) -> None:
        for place, ((_, values), colour) in enumerate(
            zip(groups.items(), _cycle(len(groups)), strict=True)
        ):
            line = {"color": colour, "linewidth": 1.2}
            axes.boxplot(
                [values],
                positions=[place],
                widths=0.5,
                whis=(5, 95),
                showfliers=False,
                manage_ticks=False,
                boxprops=line,
                whiskerprops=line,
                capprops=line,
                medianprops={"color": _INK, "linewidth": 1.4},
            )
        axes.set_xticks(range(len(groups)), [f"{n} ({len(v)})" for n, v in groups.items()])
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.set_ylim(0, 1.05 * top)
        axes.set_ylabel("weight")

    return _figure(draw, title, height=2.1)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _cycle(count: int) -> list[str]:
    return [LINES[i % len(LINES)] for i in range(count)]


def _figure(draw: Callable[[Axes], None], title: str, height: float) -> Html:
    """An axes that ``draw`` fills, as an SVG element."""
    import matplotlib
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    # names inside a drawing are hashes: salted by the title, no two figures share one
    settings: Any = SETTINGS | in_colour(_INK) | {"svg.hashsalt": title}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # the reader's fonts draw the text; matplotlib's own only measure it
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_title(title)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    return tag("figure", _inline(buffer.getvalue(), title))


def _inline(document: str, title: str) -> Html:
    """The drawing of an SVG document, fit to stand in a page with others."""
    drawing = document[document.index("<svg") : document.rindex("</svg>")]
    box = re.search(r'viewBox="([^"]*)"', drawing)
    assert box is not None
    inner = drawing[drawing.index(">") + 1 :]
    for unwanted in (r"<metadata>.*?</metadata>", r"<style[^>]*>.*?</style>", r"<!--.*?-->"):
        inner = re.sub(unwanted, "", inner, flags=re.DOTALL)
    inner = re.sub(r'<g id="[^"]*"', "<g", inner)  # never referred to, and the same in every one
    inner = inner.replace(_INK, "currentColor")
    return tag("svg", Html(inner), viewBox=box[1], role="img", aria_label=title)
