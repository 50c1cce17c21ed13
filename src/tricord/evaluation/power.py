"""What a test set can show: the smallest difference that a comparison on it would find.

Two methods meet the same clips, so a comparison looks at those clips alone that exactly one of
them gets right. Few clips, much disagreement, and clips of one video that go the same way make a
difference harder to see.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from tricord.evaluation.statistics import LEVEL, Floats

POWER = 0.8
ASSUMED = 0.1  # of clips that two methods decide differently, where nothing is known of them


@dataclass(frozen=True)
class Power:
    """What can be seen on n clips, and what was taken for known.

    disagreement: share of clips that exactly one of two methods gets right. design_effect: how
    often more the variance is than that of independent clips, at least 1. measured: whether these
    two come from the rows of the table.
    """

    n: int
    disagreement: float = ASSUMED
    design_effect: float = 1.0
    measured: bool = False

    @property
    def detectable(self) -> float:
        """The true difference (0 to 1) that is found with 80 % power at the two-sided 5 % level."""
        return detectable_difference(self.n / self.design_effect, self.disagreement)

    @property
    def note(self) -> str:
        """For below a table."""
        differ = f"{100 * self.disagreement:.0f} % of clips decided rightly by one of the two alone"
        known = f"with {differ}, as here on average" if self.measured else f"assuming {differ}"
        if self.design_effect >= 1.05:
            known += f", and a variance of {self.design_effect:.1f} times that of single clips"
        return (
            f"Power: a difference below {100 * self.detectable:.1f} points cannot be seen on "
            f"these {self.n} clips (two methods compared clip by clip, 80 % power, two-sided 5 %, "
            f"{known})."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "detectable_difference": self.detectable, "note": self.note}


def power_note(n: int, disagreement: float = ASSUMED, design_effect: float = 1.0) -> str:
    """The sentence for n clips, where the disagreement of the methods can only be assumed."""
    return Power(n, disagreement, design_effect).note


def power_of(pairs: Iterable[tuple[ArrayLike, ArrayLike]], clusters: ArrayLike) -> Power:
    """The power of a comparison like those between the rows of a table, on average.

    pairs: of (S, N) right decisions, one row per seed; the first of one meets the first of the
    other, and so on. clusters: (N,) videos. Without a pair, or where no two decisions differ, the
    disagreement is assumed.
    """
    groups = np.unique(np.asarray(clusters), return_inverse=True)[1]
    shares, effects = [], []
    for a, b in pairs:
        for ours, theirs in zip(np.asarray(a, np.float64), np.asarray(b, np.float64), strict=False):
            shares.append(float(np.abs(ours - theirs).mean()))
            effects.append(design_effect(ours - theirs, groups))
    share = float(np.mean(shares)) if shares else 0.0
    if share == 0:
        return Power(len(groups))
    return Power(len(groups), share, max(1.0, float(np.mean(effects))), measured=True)


def design_effect(values: Floats, clusters: ArrayLike) -> float:
    """The variance of the mean of (N,) values with whole videos as units, over that of single ones.

    Kish's design effect, from the sums of residuals within videos; 1 for a single video or values
    that do not vary.
    """
    residuals = values - values.mean()
    groups = np.unique(np.asarray(clusters), return_inverse=True)[1]
    alone = float((residuals**2).sum())
    if groups.max() == 0 or alone == 0:
        return 1.0
    return float((np.bincount(groups, weights=residuals) ** 2).sum() / alone)


def detectable_difference(
    n: float, disagreement: float, power: float = POWER, level: float = LEVEL
) -> float:
    """The true difference in accuracy that a paired test on n clips finds with the given power.

    disagreement: the share of clips that exactly one of the two models gets right. First order
    and for independent clips: divide n by the design effect where clips share videos (Connor 1987,
    for McNemar's test). Above the disagreement it says that no difference can be found.
    """
    z = stats.norm.isf((1 - level) / 2) + stats.norm.ppf(power)
    return float(z * np.sqrt(disagreement / n))
