"""What is known of a run's confidence: the numbers, and their provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.evaluation.calibration import Calibration, Method
from tricord.evaluation.statistics import Interval
from tricord.types import Subset

Floats = NDArray[np.float64]
Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """The consensus or one modality's vote on one subset, a dict of numbers a seed."""

    name: str
    subset: Subset
    clips: int
    before: Sequence[Numbers]
    after: Sequence[Numbers]


@dataclass(frozen=True)
class Answers:
    """One seed that answers where it is sure enough.

    threshold: None where valid can promise nothing. answered, wrong: shares of the split's clips,
    and of those answered; Wilson intervals, as if clips were independent.
    """

    seed: int
    threshold: float | None
    answered: Interval | None
    wrong: Interval | None


@dataclass(frozen=True)
class Sets:
    """One seed that gives sets of classes: how many hold the true one, and their mean size."""

    seed: int
    threshold: float
    held: Interval
    size: float


@dataclass(frozen=True)
class Detector:
    """One seed's conflict score as a detector of D_msi.

    base: share of D_msi, the floor of auprc. threshold: chosen on valid by Youden's index.
    """

    seed: int
    auroc: float
    auprc: float
    base: float
    threshold: float
    sensitivity: float
    specificity: float


@dataclass(frozen=True)
class Confidence:
    """All of it, with its provenance.

    classwise: class -> (before, after), means over seeds. detectors: empty where the modalities'
    own labels are not known. truth, before, after: what figures are drawn from; (N,) and
    (seeds, N, c). masks: (N,) by subset.
    """

    name: str
    split: str
    method: Method
    risk: float
    coverage: float
    by_video: bool
    seeds: Sequence[int]
    fitted_on: str
    calibrations: Sequence[Calibration]
    rows: Sequence[Measured]
    classwise: Mapping[str, tuple[float, float]]
    answers: Sequence[Answers]
    sets: Sequence[Sets]
    detectors: Sequence[Detector]
    simulated: bool
    about: Mapping[str, Any]
    truth: NDArray[np.int64]
    before: Floats
    after: Floats
    masks: Mapping[Subset, NDArray[np.bool_]]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a result file."""
        plain = ("name", "split", "method", "risk", "coverage", "fitted_on", "simulated")
        return {
            **{name: getattr(self, name) for name in plain},
            "promised_for": "a clip of a new video" if self.by_video else "a new clip",
            "seeds": list(self.seeds),
            **self.about,
            "scalings": [_scalings(c) for c in self.calibrations],
            "rows": [{**asdict(row), "subset": str(row.subset)} for row in self.rows],
            "classwise_ece": {
                name: {"before": before, "after": after}
                for name, (before, after) in self.classwise.items()
            },
            "answers": [asdict(a) for a in self.answers],
            "sets": [asdict(s) for s in self.sets],
            "conflict": [asdict(d) for d in self.detectors],
        }


def _scalings(calibration: Calibration) -> dict[str, Any]:
    """Without what is kept of each clip of valid."""
    content = calibration.model_dump(mode="json")
    return {name: content[name] for name in ("consensus", "votes")}
