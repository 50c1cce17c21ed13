"""How the cost of stage 1 grows: seconds of an epoch against one quantity, the others fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tricord import presets
from tricord.bench import machine
from tricord.bench.process import Found, Tick, measure_apart
from tricord.bench.session import Watch
from tricord.bench.sizes import ABOUT, durations, noise
from tricord.bench.timing import epoch_seconds
from tricord.config import RunConfig
from tricord.data.schema import Dataset, FeatureTable
from tricord.data.simulation.sequences import Channel
from tricord.labels import nominal
from tricord.training.trained import versions
from tricord.types import Modality

RUNS, WIDTH = 5, 32
_LONGEST = 2.5  # times the mean, as in CH-SIMS


@dataclass(frozen=True)
class Point:
    """What is trained. frames: the mean length of a sequence."""

    clips: int = 256
    frames: int = 64
    layers: int = 2
    classes: int = 3
    modalities: int = 3


AXES: Mapping[str, tuple[int, ...]] = {
    "clips": (128, 256, 512, 1024, 2048),
    "frames": (16, 32, 64, 128, 256, 512),
    "layers": (1, 2, 4, 8, 16),
    "classes": (2, 4, 8, 16, 32),
    "modalities": (1, 2, 4, 8),
}
QUICK = Point(clips=16, frames=4, layers=1, modalities=1)
QUICK_AXES: Mapping[str, tuple[int, ...]] = {**dict.fromkeys(AXES, (2, 4)), "clips": (16, 32)}


def measure_growth(
    *, quick: bool = False, threads: int | None = None, watch: Watch
) -> dict[str, Any]:
    """Per quantity the points measured, and the exponent fitted to them, as JSON can hold them."""
    base, axes = (QUICK, QUICK_AXES) if quick else (Point(), AXES)
    found, about = {}, {}
    for axis, values in axes.items():
        what = f"growth with {axis}"
        watch(what, 0, 0)
        points = [replace(base, **{axis: value}) for value in values]
        tick = partial(watch, what)
        measured = measure_apart(train_points, points, quick, threads=threads, tick=tick)
        about = measured["machine"]
        exponent, r2 = fit_exponent(values, measured["seconds"])
        found[axis] = {
            "values": list(values),
            "seconds": measured["seconds"],
            "exponent": exponent,
            "r2": r2,
        }
    return {
        "kind": "bench growth",
        "about": ABOUT,
        "simulated": True,
        "quick": quick,
        "machine": about,
        "versions": versions(),
        "base": asdict(base),
        "axes": found,
    }


def train_points(points: Sequence[Point], quick: bool, tick: Tick) -> Found:
    """The median epoch of each point."""
    times = []
    for number, point in enumerate(points, 1):
        times.append(_epoch(point, 1 if quick else RUNS))
        tick(number, len(points))
    return {"seconds": times, "machine": machine.describe()}


def fit_exponent(values: Sequence[float], times: Sequence[float]) -> tuple[float, float]:
    """p of times = a values^p, by least squares of the logarithms, and the share R^2 it explains.

    1 where all times are equal, which p = 0 explains.
    """
    x, y = np.log(values), np.log(times)
    slope, offset = np.polyfit(x, y, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    rest = float(((y - slope * x - offset) ** 2).sum())
    return float(slope), 1.0 - rest / spread if spread > 0 else 1.0


def _epoch(point: Point, runs: int) -> float:
    rng = np.random.default_rng(0)
    clips = {"train": point.clips, "valid": point.clips // 2}
    data = Dataset({name: _table(name, n, point, rng) for name, n in clips.items()}, ABOUT)
    return float(np.median(epoch_seconds(data, _config(point), "pretrain", runs)[0]))


def _config(point: Point) -> RunConfig:
    """CH-SIMS's settings for any number of modalities like audio, and of classes."""
    preset = presets.ch_sims()
    audio = preset.modalities[Modality.AUDIO].model_copy(update={"layers": point.layers})
    modalities = {f"modality {k}": audio for k in range(point.modalities)}
    classes = tuple(f"class {c}" for c in range(point.classes))
    return preset.model_copy(update={"modalities": modalities}).with_labels(nominal(classes))


def _table(name: str, clips: int, point: Point, rng: np.random.Generator) -> FeatureTable:
    channel = Channel(point.frames, 1, round(_LONGEST * point.frames), WIDTH)
    duration = durations(clips, rng)
    scores = rng.integers(0, point.classes, (clips, 1 + point.modalities)).astype(np.float64)
    return FeatureTable(
        name=name,
        ids=tuple(map(str, range(clips))),
        sequences={f"modality {k}": noise(channel, duration, rng) for k in range(point.modalities)},
        scores=scores,
    )
