"""Do the weights tell what a prediction depends on? Shuffling and removal, over a run's seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from tricord.api import Run
from tricord.data.schema import Dataset
from tricord.evaluation.metrics import correlation
from tricord.evaluation.statistics import (
    Interval,
    cluster_bootstrap,
    paired_cluster_bootstrap,
)
from tricord.experiments.compare_table import SIMULATED
from tricord.experiments.reproduce.drawing import write_figure
from tricord.inference.importance import Importance, importance
from tricord.report.figures import LINES
from tricord.training.checkpoint import write_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
REPEATS = 5
RESAMPLES = 1000  # of rank correlations, each of which sorts all clips
CLOSELY = 0.5  # rank correlations and agreement from which weights are said to tell
SAME = 1e-6  # weights that differ by less between clips are constant

Tick = Callable[[int, int], object]  # seeds done, seeds in all


@dataclass(frozen=True)
class OfModality:
    """A modality, means over seeds and clips, whole videos resampled.

    clips: on which it is present. weight: of MCR. accuracy_lost (share), loss_gained (nats): by
    shuffling. change: of the decided class' probability by removal, before - after. size: of that
    change without its sign, which is the occlusion effect. spearman: over clips, between weight
    and effect; None where the weights are the same for all clips.
    """

    name: str
    clips: int
    weight: Interval
    accuracy_lost: Interval
    loss_gained: Interval
    change: Interval
    size: Interval
    spearman: Interval | None


@dataclass(frozen=True)
class Result:
    """Importance against weights, with its provenance.

    agreement: within a clip, pairs of modalities whose order by weight is that by effect, less
    those in the other order, as a share of pairs (-1 to 1). top, chance: share of clips on which
    the heaviest modality has the largest effect, and what guessing would give.
    weights, sizes: (N, K) means over seeds, for drawing.
    """

    model: str
    split: str
    seeds: Sequence[int]
    repeats: int
    clips: int
    accuracy: float
    log_loss: float
    modalities: Sequence[OfModality]
    agreement: Interval | None
    top: Interval | None
    chance: float
    weights: Array
    sizes: Array
    fingerprint: str
    simulated: bool
    about: dict[str, Any]

    @property
    def finding(self) -> str:
        """``tell``, ``tell in part``, ``do not tell`` or ``mislead``."""
        measures = [*self._correlations().values()]
        if self.agreement is None or not measures:
            return "do not tell"
        measures.append(self.agreement)
        if all(i.low > 0 and i.estimate >= CLOSELY for i in measures):
            return "tell"
        if any(i.high < 0 for i in measures) and not any(i.low > 0 for i in measures):
            return "mislead"
        return "tell in part" if any(i.low > 0 for i in measures) else "do not tell"

    @property
    def verdict(self) -> str:
        """Whether the weights tell what the prediction depends on, in sentences."""
        known = self._correlations()
        if self.agreement is None or not known:
            same = "they are the same for every clip"
            return f"The weights do not tell what a prediction depends on: {same}."
        about = "" if self.finding == "mislead" else " what a prediction depends on"
        over = ", ".join(f"{name} {_signed(i)}" for name, i in known.items())
        parts = [
            f"The weights {self.finding}{about}.",
            f"Within a clip, their order agrees with that of the effects by "
            f"{_signed(self.agreement)}; from clip to clip, a modality's weight and effect have "
            f"rank correlations of {over}.",
        ]
        for words, names in (
            ("nothing shown", [n for n, i in known.items() if i.low <= 0 <= i.high]),
            ("the wrong way round", [n for n, i in known.items() if i.high < 0]),
        ):
            parts += [f"For {' and '.join(names)}: {words}."] if names else []
        return " ".join([*parts, self._on_average()])

    @property
    def _present(self) -> list[OfModality]:
        return [m for m in self.modalities if m.clips]

    def _correlations(self) -> dict[str, Interval]:
        """By modality that is there; none where the weights are the same for all clips."""
        known = {m.name: m.spearman for m in self._present}
        found = {name: i for name, i in known.items() if i is not None}
        return found if len(found) == len(known) else {}

    def _on_average(self) -> str:
        heaviest = max(self._present, key=lambda m: m.weight.estimate).name
        needed = max(self._present, key=lambda m: m.loss_gained.estimate).name
        if heaviest == needed:
            return f"On average {heaviest} weighs most, and shuffling it costs most."
        return f"On average {heaviest} weighs most, but shuffling {needed} costs most."

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a result file."""
        return {
            "kind": "importance",
            "head": SIMULATED if self.simulated else None,
            "simulated": self.simulated,
            "model": self.model,
            "split": self.split,
            "seeds": list(self.seeds),
            "repeats": self.repeats,
            "data_fingerprint": self.fingerprint,
            "about": self.about,
            "clips": self.clips,
            "accuracy": self.accuracy,
            "log_loss": self.log_loss,
            "probabilities": "before calibration",
            "modalities": [asdict(one) for one in self.modalities],
            "agreement_within_clips": self.agreement and asdict(self.agreement),
            "heaviest_has_largest_effect": self.top and asdict(self.top),
            "chance": self.chance,
            "finding": self.finding,
            "verdict": self.verdict,
        }


def measure(
    run: Run, data: Dataset, split: str = "test", repeats: int = REPEATS, tick: Tick | None = None
) -> Result:
    """All seeds of a run on a split. Raises as `tricord.inference.importance.importance`."""
    found = []
    for done, trained in enumerate(run.trained):
        found.append(importance(trained, data, split, repeats=repeats))
        if tick is not None:
            tick(done + 1, len(run.trained))
    return summarise(
        found,
        model=run.name,
        split=split,
        seeds=[trained.seed for trained in run.trained],
        repeats=repeats,
        fingerprint=data.fingerprint(),
        simulated=data.simulated,
        about=run.trained[0].about(),
    )


def summarise(found: Sequence[Importance], **provenance: Any) -> Result:
    """One result of the same clips' importances, one a seed; provenance: the fields named so."""
    first = found[0]
    weights = np.stack([one.weights for one in found])
    sizes = np.stack([np.abs(one.change) for one in found])
    names = range(len(first.modalities))
    modalities = [_of_modality(found, weights[..., k], sizes[..., k], k) for k in names]
    constant = any(one.spearman is None for one in modalities if one.clips)
    agreeing, top, chance = _within_clips(weights, sizes)
    several = ~np.isnan(agreeing)
    videos = first.videos[several]
    usable = several.any() and not constant
    return Result(
        clips=len(first.right),
        accuracy=float(np.mean([one.right for one in found])),
        log_loss=float(np.mean([one.log_loss for one in found])),
        modalities=modalities,
        agreement=cluster_bootstrap(agreeing[several], videos) if usable else None,
        top=cluster_bootstrap(top[several], videos) if usable else None,
        chance=float(chance[several].mean()) if usable else 0.0,
        weights=weights.mean(axis=0),
        sizes=sizes.mean(axis=0),
        **provenance,
    )


def _of_modality(found: Sequence[Importance], weights: Array, sizes: Array, k: int) -> OfModality:
    """weights, sizes: (S, N) of modality k."""
    videos, here = found[0].videos, found[0].present[:, k]
    there = ~np.isnan(sizes[0])

    def mean(values: Array, rows: NDArray[np.bool_]) -> Interval:
        if not rows.any():
            return Interval(0.0, 0.0, 0.0, 0.95, "no clip", 0)
        own = values[rows]
        return paired_cluster_bootstrap(own, np.zeros(len(own)), videos[rows]).difference

    def over_seeds(name: str) -> Array:
        return np.asarray(np.mean([getattr(one, name)[:, k] for one in found], axis=0))

    everywhere = np.ones(len(videos), bool)
    return OfModality(
        name=found[0].modalities[k],
        clips=int(here.sum()),
        weight=mean(weights.mean(axis=0), here),
        accuracy_lost=mean(over_seeds("accuracy_lost"), everywhere),
        loss_gained=mean(over_seeds("loss_gained"), everywhere),
        change=mean(over_seeds("change"), there),
        size=mean(sizes.mean(axis=0), there),
        spearman=rank_correlation(weights[:, there], sizes[:, there], videos[there]),
    )


def rank_correlation(a: Array, b: Array, videos: NDArray[np.str_]) -> Interval | None:
    """Spearman's correlation over clips, the mean of the seeds', whole videos resampled.

    a, b: (S, N). None where a seed's ``a`` is constant, or with fewer than three clips.
    """
    if a.shape[1] < 3 or (np.ptp(a, axis=1) < SAME).any():
        return None
    seeds = len(a)

    def statistic(rows: NDArray[Any]) -> float:
        ranks = rankdata(rows, axis=0).T
        pairs = zip(ranks[:seeds], ranks[seeds:], strict=True)
        return float(np.mean([correlation(x, y) for x, y in pairs]))

    return cluster_bootstrap(
        np.concatenate([a, b]).T, videos, statistic=statistic, resamples=RESAMPLES
    )


def _within_clips(weights: Array, sizes: Array) -> tuple[Array, Array, Array]:
    """(N,) each, means over seeds: agreement of orders, whether the heaviest has the largest
    effect, and the chance of that; NaN where fewer than two modalities can be removed.

    weights, sizes: (S, N, K), sizes NaN where a modality cannot be removed.
    """
    there = ~np.isnan(sizes[0])
    left, right = np.triu_indices(there.shape[1], 1)
    both = there[:, left] & there[:, right]
    steps = np.nan_to_num(sizes)
    same = np.sign(weights[..., left] - weights[..., right]) * np.sign(
        steps[..., left] - steps[..., right]
    )
    pairs = both.sum(axis=1)
    with np.errstate(invalid="ignore"):
        agreeing = (same * both).sum(axis=2).mean(axis=0) / pairs
    heaviest = np.where(there, weights, -1.0).argmax(axis=2)
    largest = np.where(there, steps, -1.0).argmax(axis=2)
    chance = 1 / np.maximum(there.sum(axis=1), 1)
    return agreeing, (heaviest == largest).mean(axis=0), chance


def write(result: Result, folder: Path) -> Path:
    """``importance-SPLIT.json``, and a figure beside it as .png and .svg; returns the first."""
    path = folder / f"importance-{result.split}"
    write_json(path.with_name(f"{path.name}.json"), result.to_json())
    write_figure(path, (8, 5), partial(_draw, result=result))
    return path.with_name(f"{path.name}.json")


def _draw(figure: Figure, result: Result) -> None:
    """Above: weight and both effects by modality; below: weight against effect, clip by clip."""
    panels = {
        "weight": ("mean weight", [m.weight for m in result.modalities]),
        "lost": ("log loss gained by shuffling", [m.loss_gained for m in result.modalities]),
        "size": ("change by removal", [m.size for m in result.modalities]),
    }
    names = [m.name for m in result.modalities]
    axes = figure.subplot_mosaic([list(panels), ["clips"] * 3], height_ratios=[1, 1.6])
    for panel, (label, intervals) in panels.items():
        _intervals(axes[panel], names, intervals, label, named=panel == "weight")
    clips = axes["clips"]
    for k, name in enumerate(names):
        clips.plot(
            *(result.weights[:, k], result.sizes[:, k]),
            "o",
            markersize=2.5,
            alpha=0.6,
            color=LINES[k % len(LINES)],
            label=name,
        )
    clips.set_xlabel("weight")
    clips.set_ylabel("change of the decided\nclass' probability by removal")
    clips.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    title = f"{result.model} on {result.split}: weights and what decisions depend on"
    figure.suptitle(f"SIMULATED DATA. {title}" if result.simulated else title, x=0.01, ha="left")


def _intervals(
    axes: Axes, names: Sequence[str], intervals: Sequence[Interval], label: str, *, named: bool
) -> None:
    for place, i in enumerate(intervals):
        colour = LINES[place % len(LINES)]
        axes.plot([i.low, i.high], [place, place], color=colour, linewidth=1.4)
        axes.plot([i.estimate], [place], "o", color=colour, markersize=4)
    axes.set_yticks(range(len(names)), names if named else [""] * len(names))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(label)


def _signed(interval: Interval) -> str:
    """``+0.31 (+0.20 to +0.42)``."""
    return f"{interval.estimate:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"
