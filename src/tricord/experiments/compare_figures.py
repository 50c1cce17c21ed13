"""Accuracy against what it costs: size and training time, as PNG and SVG."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tricord.experiments.compare_table import Compared, Measured
from tricord.files import write_atomically
from tricord.report.figures import LINES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^DvPX"  # with eight colours, 56 models that can be told apart
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "compare",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def write_figures(compared: Compared, folder: Path) -> None:
    """``accuracy-size`` and ``accuracy-time``, each in both formats."""
    _write(compared, folder / "accuracy-size", "parameters outside the language model", _size)
    _write(compared, folder / "accuracy-time", "training, seconds a seed", _seconds)


def _size(row: Measured) -> float:
    return row.size


def _seconds(row: Measured) -> float:
    return sum(row.seconds) / len(row.seconds)


def _write(compared: Compared, path: Path, label: str, cost: Callable[[Measured], float]) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=(7, 4), layout="constrained", dpi=150)
        _draw(figure.add_subplot(), compared, label, cost)
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            _save(figure, path.with_suffix(f".{kind}"), kind, metadata)


def _save(figure: Figure, path: Path, kind: str, metadata: dict[str, None]) -> None:
    write_atomically(path, lambda p: figure.savefig(p, format=kind, metadata=metadata))


def _draw(axes: Axes, compared: Compared, label: str, cost: Callable[[Measured], float]) -> None:
    """A point a model with its 95 % interval; a cost of zero stands left of the smallest other."""
    for place, row in enumerate(compared.rows):
        interval = row.accuracy
        estimate = 100 * interval.estimate
        axes.errorbar(
            [cost(row)],
            [estimate],
            yerr=[[estimate - 100 * interval.low], [100 * interval.high - estimate]],
            fmt=MARKERS[place % len(MARKERS)],
            color=LINES[place % len(LINES)],
            elinewidth=0.8,
            label=row.name,
        )
    costs = [cost(row) for row in compared.rows]
    axes.set_xscale("symlog", linthresh=min((c for c in costs if c > 0), default=1.0))
    places = ticks(costs)
    axes.set_xticks(places, [_in_words(place) for place in places])
    axes.set_xlabel(label)
    axes.set_ylabel(f"{compared.metric} on {compared.plan.split}, %")
    axes.set_title(f"{'SIMULATED DATA: ' if compared.simulated else ''}{compared.source}")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _in_words(number: float) -> str:
    """``0.05``, ``200``, ``20 k``, ``5 M``."""
    for size, letter in ((1e6, " M"), (1e4, " k")):
        if number >= size:
            return f"{number / (1e3 if letter == ' k' else size):,.7g}{letter}"
    return f"{number:,.7g}"


def ticks(costs: Sequence[float]) -> list[float]:
    """Round numbers from just below the smallest to just above the largest; zero where it is there.

    Powers of ten where they are at least a hundred apart, else 1, 2 and 5 times these.
    """
    above = [math.log10(cost) for cost in costs if cost > 0] or [0.0]
    low, high = math.floor(min(above)), math.ceil(max(above))
    steps = (1,) if high - low > 2 else (1, 2, 5)
    found = [step * 10.0**power for power in range(low, high) for step in steps]
    zero = [0.0] if min(costs) == 0 else []
    return [*zero, *found, 10.0**high]
