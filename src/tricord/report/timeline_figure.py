"""The time line of a whole file: what each piece of it is predicted as, and by what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tricord.inference.timeline import Span, Timeline
from tricord.report.clip_figure import WIDTH, check_place, save
from tricord.report.figures import GREY, INK, class_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
_MINUTES = 300.0  # seconds from which an axis counts minutes
_FAINTEST = 0.15  # of a vote without weight


def draw_timeline(path: Path, name: str, found: Timeline, calibrated: str) -> None:
    """Probabilities (or the score) over time, and below them the votes; kind by the suffix.

    Drawn at the middle of each window. calibrated: on what the probabilities stand, in words.
    """
    check_place(path)
    voting = found.predictions.modalities

    def draw(figure: Figure) -> None:
        figure.suptitle(f"{name}: {_pieces(found)} ({calibrated})", x=0.01, ha="left", fontsize=11)
        heights = [2.6, 0.3 + 0.27 * len(voting)] if voting else [2.6]
        axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        _says(axes[0], found)
        if voting:
            _votes(axes[1], found)
            axes[1].set_title("votes; the stronger the colour, the larger the weight")
        for place in axes:
            _time_axis(place, found.spans)

    save(path, (WIDTH, 4.4 + 0.27 * len(voting)), draw)


def _pieces(found: Timeline) -> str:
    lengths = {round(span.end - span.start, 3) for span in found.spans}
    size = f"of {lengths.pop():g} s" if len(lengths) == 1 else "of its subtitles or windows"
    return f"{len(found.spans)} pieces {size}"


def _says(axes: Axes, found: Timeline) -> None:
    predictions = found.predictions
    if predictions.scheme.head == "regression":
        axes.plot(*_line(found, predictions.outputs[:, 0]), color=INK, marker=".", linewidth=1.2)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.set_ylabel("score")
        return
    for k, (name, colour) in enumerate(_coloured(found)):
        line = _line(found, predictions.probabilities[:, k])
        axes.plot(*line, color=colour, label=name, marker=".", markersize=4, linewidth=1.4)
    axes.set_ylim(0, 1)
    axes.set_ylabel("probability")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=min(6, len(_coloured(found))))


def _line(found: Timeline, values: Array) -> tuple[Array, Array]:
    """(S,) middles and values of all spans; NaN, a gap, where there is no prediction."""
    every = np.full(len(found.spans), np.nan)
    every[found.places] = values
    return np.array([span.middle for span in found.spans]), every


def _votes(axes: Axes, found: Timeline) -> None:
    """A row a modality: the class it votes for, where it is present."""
    predictions = found.predictions
    starts, ends = _edges(found.spans)
    colours = [colour for _, colour in _coloured(found)]
    classes = predictions.classes(predictions.votes)
    for k, _ in enumerate(predictions.modalities):
        here = predictions.present[:, k]
        places = found.places[here]
        strength = _FAINTEST + (1 - _FAINTEST) * predictions.weights[here, k]
        axes.bar(
            starts[places],
            np.full(len(places), 0.86),
            width=(ends - starts)[places],
            bottom=k - 0.43,
            align="edge",
            color=[(colours[c], float(a)) for c, a in zip(classes[here, k], strength, strict=True)],
            linewidth=0,
        )
    axes.set_yticks(range(len(predictions.modalities)), predictions.modalities)
    axes.set_ylim(len(predictions.modalities) - 0.5, -0.5)


def _edges(spans: Sequence[Span]) -> tuple[Array, Array]:
    """Where windows that overlap stop being the nearest one."""
    starts, ends = (np.array([getattr(s, what) for s in spans]) for what in ("start", "end"))
    middles = (starts + ends) / 2
    between = (middles[:-1] + middles[1:]) / 2
    overlap = starts[1:] < ends[:-1]
    left, right = starts.copy(), ends.copy()
    left[1:][overlap] = between[overlap]
    right[:-1][overlap] = between[overlap]
    return left, right


def _coloured(found: Timeline) -> list[tuple[str, str]]:
    """(class, colour)."""
    scheme = found.predictions.scheme
    colours = class_colours(scheme.classes, ordered=not scheme.nominal)
    return list(zip(scheme.classes, colours, strict=True))


def _time_axis(axes: Axes, spans: Sequence[Span]) -> None:
    end = max(span.end for span in spans)
    axes.set_xlim(min(span.start for span in spans), end)
    if end < _MINUTES:
        axes.set_xlabel("seconds")
        return
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{int(s) // 60}:{int(s) % 60:02}"))
    axes.set_xlabel("minutes:seconds")
