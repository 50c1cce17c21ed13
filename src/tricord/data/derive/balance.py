"""Groups into parts of given sizes that resemble each other: no group is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from tricord.data.splits import is_consistent

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEVELS = 7  # bins of a label that has more values than this: Acc_7's number of classes
_STARTS = 32  # orders that are tried where groups are few; the best result stays
_MOST_PASSES = 20
_MOST_PARTNERS = 256  # groups that one group is tried in exchange with
_MOST_STEPS = 2000  # groups times starts: one start is near the best where groups are many


def strata(scores: Floats, words: Sequence[str] | None = None) -> Floats:
    """(N, C) of 0 and 1: what should be as frequent in every part as in the whole.

    The classes of the multimodal label (words, else the sign), its levels (its values, or 7 bins
    of equal width), and whether the modalities agree (D_msc, D_msi, unknown).

    scores: (N, 1 + K), multimodal first, NaN unknown.
    """
    label = scores[:, 0]
    families = [_classes(label) if words is None else np.array(words), _levels(label)]
    if scores.shape[1] > 1:
        known = ~np.isnan(scores).any(axis=1)
        agree = np.full(len(scores), -1)
        agree[known] = is_consistent(scores[known])
        families.append(agree)
    return np.hstack([_one_hot(family) for family in families])


def _classes(label: Floats) -> Floats:
    """-1, 0, 1 by sign; NaN is a class of its own."""
    return np.nan_to_num(np.sign(label), nan=2.0)


def _levels(label: Floats) -> Floats:
    values = np.unique(label[~np.isnan(label)])
    if len(values) <= _LEVELS:
        return np.nan_to_num(label, nan=np.inf)
    inner = np.linspace(values[0], values[-1], _LEVELS + 1)[1:-1]
    return np.where(np.isnan(label), _LEVELS, np.digitize(label, inner))


def _one_hot(family: NDArray[np.generic]) -> Floats:
    return np.asarray(family[:, None] == np.unique(family), dtype=np.float64)


def assign(counts: Floats, shares: Sequence[float], seed: int) -> Ints:
    """(G,) the part of each group, so that every part has its share of every column.

    counts: (G, C) members of each group in each stratum; shares: (S,) positive, sum 1.
    Minimises the sum over parts and columns of (found - wanted)^2 / wanted: groups are laid where
    they help most, then moved and exchanged as long as that helps. Each part
    gets at least one group. The same numbers and seed give the same parts.
    Raises ValueError for fewer groups than parts.
    """
    wanted = np.outer(np.asarray(shares), counts.sum(axis=0))
    if len(counts) < len(wanted):
        raise ValueError(f"{len(counts)} groups for {len(wanted)} parts")
    starts = max(1, min(_STARTS, _MOST_STEPS // len(counts)))
    found = [_Search(counts, wanted, np.random.default_rng([seed, n])) for n in range(starts)]
    tried = [search.run(largest_first=not n) for n, search in enumerate(found)]
    return min(tried, key=lambda pair: pair[0])[1]


class _Search:
    """One start: greedy, then improved step by step."""

    def __init__(self, counts: Floats, wanted: Floats, rng: np.random.Generator) -> None:
        self.counts, self.wanted, self.rng = counts, wanted, rng
        self.weight = 1.0 / np.maximum(wanted, 1e-9)
        self.part = np.full(len(counts), -1, dtype=np.int64)
        self.found = np.zeros_like(wanted)
        self.groups = np.zeros(len(wanted), dtype=np.int64)

    def run(self, *, largest_first: bool) -> tuple[float, Ints]:
        """(loss, parts)."""
        self._lay(largest_first)
        for _ in range(_MOST_PASSES):
            order = self.rng.permutation(len(self.counts))
            moved = [self._move(group) for group in order]
            swapped = [self._swap(group) for group in order]
            if not any(moved) and not any(swapped):
                break
        gap = self.found - self.wanted
        return float((gap**2 * self.weight).sum()), self.part

    def _cost(self, gap: Floats, part: Ints | int) -> Floats:
        return np.asarray((gap**2 * self.weight[part]).sum(axis=-1))

    def _put(self, group: int, part: int) -> None:
        old = self.part[group]
        if old >= 0:
            self.found[old] -= self.counts[group]
            self.groups[old] -= 1
        self.found[part] += self.counts[group]
        self.groups[part] += 1
        self.part[group] = part

    def _lay(self, largest_first: bool) -> None:
        order = self.rng.permutation(len(self.counts))
        if largest_first:
            order = order[np.argsort(-self.counts[order].sum(axis=1), kind="stable")]
        for place, group in enumerate(order):
            empty = self.groups == 0
            must_fill = len(order) - place <= empty.sum()
            gain = self._gains(group)
            self._put(group, int(np.argmin(np.where(empty | (not must_fill), gain, np.inf))))

    def _gains(self, group: int) -> Floats:
        """(S,) change of each part's cost when it receives the group."""
        gap, parts = self.found - self.wanted, np.arange(len(self.wanted))
        return self._cost(gap + self.counts[group], parts) - self._cost(gap, parts)

    def _move(self, group: int) -> bool:
        old = int(self.part[group])
        if self.groups[old] == 1:
            return False
        gap = self.found[old] - self.wanted[old]
        left = self._cost(gap - self.counts[group], old) - self._cost(gap, old)
        change = left + self._gains(group)
        change[old] = 0.0
        best = int(np.argmin(change))
        if change[best] > -1e-9:
            return False
        self._put(group, best)
        return True

    def _swap(self, group: int) -> bool:
        old = int(self.part[group])
        others = np.flatnonzero(self.part != old)
        if len(others) > _MOST_PARTNERS:
            others = self.rng.choice(others, _MOST_PARTNERS, replace=False)
        parts = self.part[others]
        gap = self.found - self.wanted
        step = self.counts[others] - self.counts[group]
        here = self._cost(gap[old] + step, old) - self._cost(gap[old], old)
        there = self._cost(gap[parts] - step, parts) - self._cost(gap[parts], parts)
        best = int(np.argmin(here + there))
        if here[best] + there[best] > -1e-9:
            return False
        self._put(int(others[best]), old)
        self._put(group, int(parts[best]))
        return True


@dataclass(frozen=True)
class Independence:
    """Pearson's test of a table parts x classes; cramers_v: 0 alike, 1 nothing in common."""

    chi_square: float
    degrees: int
    p: float
    cramers_v: float


def independence(table: ArrayLike) -> Independence:
    """How far the classes' shares differ between the parts; table: (S, C) counts.

    Empty classes are left out; with one class or one part nothing can differ (p = 1).
    The p-value takes clips as independent, which clips of one group are not: read it as a measure.
    """
    counts = np.asarray(table, dtype=np.float64)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    degrees = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    if degrees <= 0:
        return Independence(0.0, 0, 1.0, 0.0)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    v = np.sqrt(statistic / (counts.sum() * (min(counts.shape) - 1)))
    return Independence(statistic, degrees, float(chi2.sf(statistic, degrees)), float(v))
