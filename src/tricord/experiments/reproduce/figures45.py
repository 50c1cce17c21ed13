"""Figures 4 and 5: accuracy as more consistent clips stay in train, for CMC and CMC-GT.

The paper's text gives four slopes on D_msc; its curves are drawings without numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tricord.evaluation.power import power_note
from tricord.experiments.reproduce.budget import TOO_SMALL
from tricord.experiments.reproduce.drawing import write_figure
from tricord.experiments.reproduce.page import marked, write
from tricord.experiments.reproduce.plan import Row
from tricord.experiments.reproduce.printed import TEXT
from tricord.experiments.reproduce.retention import LEVELS, Curve, Steepness, measure, row_name
from tricord.experiments.reproduce.table7 import GROUND_TRUTH
from tricord.experiments.reproduce.text import ours
from tricord.experiments.reproduce.work import Context, presets_of
from tricord.report.figures import BLUE, ORANGE
from tricord.report.words import grid, signed
from tricord.types import Subset

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CMC, GT = "CMC", "CMC-GT"
DIFFERENCE = f"{CMC} minus {GT}"
MODELS: Mapping[str, tuple[str, Mapping[str, Mapping[str, Any]]]] = {
    CMC: ("cmc", {}),
    GT: ("cmc-gt", GROUND_TRUTH),
}
COLOURS = {CMC: BLUE, GT: ORANGE}
BESIDE = 0.01  # so that the intervals of two models at one level can be told apart
CAUTION = (
    "Slopes are percentage points from no to all consistent clips of train; the paper does not "
    "print its unit or its levels. A slope's interval is a t interval over seeds and speaks of "
    "these test clips only; the points' intervals resample whole videos. The paper's slopes are "
    "those of one seed. Fewer consistent clips are also fewer clips: the curve cannot tell the "
    "two apart. CMC-GT differs from CMC in layers, heads and dropout too."
)
Curves = Mapping[Subset, Mapping[str, Curve]]


@dataclass(frozen=True)
class Retention:
    """One of the two figures. slopes: the paper's on D_msc, by model."""

    name: str
    title: str
    preset: str
    slopes: Mapping[str, float]

    @property
    def presets(self) -> tuple[str, ...]:
        """The data sets it is about."""
        return (self.preset,)

    def rows(self) -> list[Row]:
        """Both models at every level."""
        return [
            Row(row_name(shown, keep), model, for_preset=own, keep=keep)
            for shown, (model, own) in MODELS.items()
            for keep in LEVELS
        ]

    def run(self, context: Context) -> None:
        """Train, measure and write.

        Raises ConfigError where the data set is not given, TricordError where a model cannot be
        trained.
        """
        presets_of(self.name, self.presets, context.datasets)
        trained = context.train(self.rows(), self.preset)
        self.write(context, measure(trained, MODELS, context.datasets[self.preset]))

    def write(self, context: Context, found: Curves) -> None:
        """All five files."""
        results = {
            "preset": self.preset,
            "levels": list(LEVELS),
            "slopes_in_the_paper": {str(Subset.MSC): dict(self.slopes)},
            "subsets": {str(subset): _plain(own) for subset, own in found.items()},
            "caution": CAUTION,
        }
        records = list(_records(found))
        write(context, self.name, self.title, self._paragraphs(found), results, records)
        title = marked(context, self.title)
        write_figure(context.out / self.name, (9, 4), partial(_draw, found=found, title=title))
        if context.too_small:
            context.say(f"budget {context.budget}: {TOO_SMALL}")
        for name, *slopes in self._slope_lines(found):
            context.say(f"slope on {name}: {CMC} {slopes[0]}, {GT} {slopes[1]}")

    def _paragraphs(self, found: Curves) -> Iterator[str]:
        yield f"![{self.title}]({self.name}.svg)"
        yield "Slopes: the mean over seeds ± the standard deviation, and the 95 % interval."
        yield grid(["", CMC, GT, DIFFERENCE], self._slope_lines(found))
        yield "Points, right in percent: likewise. Dashed lines are those of least squares."
        yield grid(["", "kept", CMC, GT], _point_lines(found))
        yield power_note(max(own[CMC].points[0].interval.n for own in found.values()))
        yield f"{CAUTION} {TEXT}"

    def _slope_lines(self, found: Curves) -> Iterator[list[str]]:
        for subset, own in found.items():
            yield [str(subset), *(_written(slope) for slope in _slopes(own).values())]
        printed = (self.slopes[CMC], self.slopes[GT], self.slopes[CMC] - self.slopes[GT])
        yield [f"{Subset.MSC}, the paper's", *(signed(number, 2) for number in printed)]


def _slopes(own: Mapping[str, Curve]) -> dict[str, Steepness]:
    """Of both models, and how much steeper CMC is, seed by seed."""
    first, second = own[CMC].slopes, own[GT].slopes
    found = {CMC: first, GT: second, DIFFERENCE: first - second}
    return {what: Steepness.of(slopes) for what, slopes in found.items()}


def _written(slope: Steepness) -> str:
    if slope.spread is None or slope.interval is None:
        return signed(slope.mean, 2)
    ends = f"[{signed(slope.interval.low, 2)}, {signed(slope.interval.high, 2)}]"
    return f"{signed(slope.mean, 2)} ± {slope.spread:.2f} {ends}"


def _plain(own: Mapping[str, Curve]) -> dict[str, Any]:
    return {
        "points": {model: [p.to_json() for p in curve.points] for model, curve in own.items()},
        "slopes": {what: asdict(slope) for what, slope in _slopes(own).items()},
    }


def _records(found: Curves) -> Iterator[dict[str, Any]]:
    """One row a point, in percent."""
    for subset, own in found.items():
        for model, curve in own.items():
            for keep, point in zip(LEVELS, curve.points, strict=True):
                numbers = point.to_json()
                wanted = ("mean", "spread_over_seeds", "low", "high")
                known = {name: numbers[name] for name in wanted}
                yield {"subset": str(subset), "model": model, "kept": keep, **known}


def _point_lines(found: Curves) -> Iterator[list[str]]:
    for subset, own in found.items():
        for place, keep in enumerate(LEVELS):
            points = (ours(own[model].points[place]) for model in MODELS)
            yield [str(subset), f"{100 * keep:.0f} %", *points]


def _draw(figure: Figure, found: Curves, title: str) -> None:
    """A panel a subset, with the same axis for all."""
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for panel, (subset, own) in zip(panels, found.items(), strict=True):
        for side, (model, curve) in zip((-BESIDE, BESIDE), own.items(), strict=True):
            _draw_curve(panel, model, curve, side)
        panel.set_title(str(subset))
        panel.set_xlabel("consistent clips kept in train, %")
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15))
    panels[0].set_ylabel("right, %")
    figure.suptitle(title)


def _draw_curve(axes: Axes, model: str, curve: Curve, side: float) -> None:
    """Means with their intervals, and the straight line of least squares, dashed."""
    x = 100 * np.array(LEVELS)
    middle = 100 * np.array([point.mean for point in curve.points])
    ends = 100 * np.array([[point.interval.low, point.interval.high] for point in curve.points])
    around = np.abs(ends.T - middle)
    slope = float(curve.slopes.mean())
    colour = COLOURS[model]
    label = f"{model}, slope {signed(slope, 2)}"
    places = x + 100 * side
    axes.errorbar(
        places,
        middle,
        yerr=around,
        fmt="o-",
        color=colour,
        markersize=4,
        linewidth=1.2,
        elinewidth=0.6,
        label=label,
    )
    axes.plot(x, middle.mean() + slope * (x - x.mean()) / 100, "--", color=colour, linewidth=0.9)


FIGURE4 = Retention(
    name="fig4",
    title="Figure 4: CMC and CMC-GT on CH-SIMS as consistent clips are kept",
    preset="ch-sims",
    slopes={CMC: 4.53, GT: 4.30},
)
FIGURE5 = Retention(
    name="fig5",
    title="Figure 5: CMC and CMC-GT on CH-SIMS v2 as consistent clips are kept",
    preset="ch-sims-v2",
    slopes={CMC: 6.77, GT: 4.02},
)
