"""What `tricord robustness` found: points, rows, and the whole as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tricord.evaluation.statistics import Interval
from tricord.types import Subset

UNITS = {
    "frames": "share of frames lost",
    "noise": "signal to noise ratio, dB",
    "shift": "share of the clip",
}


@dataclass(frozen=True)
class Found:
    """Over seeds of the run and repeats, on one subset.

    interval: share of clips decided rightly, whole videos resampled. per_seed: the same by seed of
    the run. drop: how much less than on the clean split, the same videos; None for the clean one.
    """

    interval: Interval
    per_seed: tuple[float, ...]
    drop: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "accuracy": asdict(self.interval),
            "per_seed": list(self.per_seed),
            "drop": None if self.drop is None else asdict(self.drop),
        }


Subsets = Mapping[Subset, Found | None]  # None where the subset is empty


@dataclass(frozen=True)
class Point:
    """One level of a condition; None where it has no levels."""

    level: float | None
    found: Subsets


@dataclass(frozen=True)
class Row:
    """A condition of one target at rising levels.

    mean: over the levels and the clean split, each counted once: the area under the curve of evenly
    spaced rates. None where it says nothing.
    """

    condition: str
    target: str
    points: Sequence[Point]
    mean: Subsets | None
    note: str = ""


@dataclass(frozen=True)
class Robustness:
    """All conditions with their provenance. about: settings, versions and data of training."""

    name: str
    split: str
    metric: str
    clean: Subsets
    rows: Sequence[Row]
    clips: Mapping[Subset, int]
    seeds: Sequence[int]
    repeats: int
    about: Mapping[str, Any]
    source: str
    fingerprint: str
    simulated: bool
    notes: Sequence[str]

    @property
    def clips_in_all(self) -> int:
        """Clips of the split that have a label."""
        return self.clips[Subset.TEST]

    def of(self, condition: str) -> list[Row]:
        """The rows of a condition."""
        return [row for row in self.rows if row.condition == condition]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a result file."""
        return {
            "model": self.name,
            "split": self.split,
            "metric": self.metric,
            "simulated": self.simulated,
            "seeds": list(self.seeds),
            "repeats": self.repeats,
            "source": self.source,
            "data_fingerprint": self.fingerprint,
            "trained": dict(self.about),
            "clips": {str(s): n for s, n in self.clips.items()},
            "notes": list(self.notes),
            "clean": _plain(self.clean),
            "rows": [
                {
                    "condition": row.condition,
                    "target": row.target,
                    "unit": UNITS.get(row.condition),
                    "note": row.note,
                    "points": [{"level": p.level, **_plain(p.found)} for p in row.points],
                    "mean": None if row.mean is None else _plain(row.mean),
                }
                for row in self.rows
            ],
        }


def _plain(found: Subsets) -> dict[str, Any]:
    return {str(s): None if f is None else f.to_json() for s, f in found.items()}
