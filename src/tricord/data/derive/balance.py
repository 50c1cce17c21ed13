"""Groups into parts of given sizes that resemble each other: no group is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from tricord.data.splits import is_consistent
from tricord.presets import MOST_GRADES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEVELS = 7  # bins of a label that has more values than this: Acc_7's number of classes
_STARTS = 32  # orders that are tried where groups are few; the best result stays
_MOST_PASSES = 20
_MOST_PARTNERS = 256  # groups that one group is tried in exchange with
_MOST_STEPS = 2000  # groups times starts: one start is near the best where groups are many
_ROOM = 0.1  # of all clips, or half of a part: how far its size may move so that none lacks a class
ZERO = "zero"
_SIGNS = {-1.0: "below 0", 0.0: ZERO, 1.0: "above 0"}


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


def classes(scores: Floats, words: Sequence[str] | None = None) -> NDArray[np.str_]:
    """(N,) the class of each clip as training will see it; "" where there is none.

    A word, where there are no scores; the sign, where one is below 0; or a grade, where they are
    whole and few. Other numbers have no classes until a user cuts them.

    scores: (N, 1 + K), multimodal first, NaN unknown.
    """
    if words is not None and np.isnan(scores[:, 0]).all():
        return np.array(words, dtype=np.str_)
    known = scores[~np.isnan(scores)]
    if (known < 0).any():
        return signs(scores[:, 0])
    grades = len(known) and (known == np.floor(known)).all() and np.ptp(known) < MOST_GRADES
    names = [f"{n:g}" if grades and not np.isnan(n) else "" for n in scores[:, 0].tolist()]
    return np.array(names, dtype=np.str_)


def signs(label: Floats) -> NDArray[np.str_]:
    """(N,) the sign in words; "" where the label is unknown."""
    return np.array([_SIGNS.get(sign, "") for sign in np.sign(label).tolist()], dtype=np.str_)


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


def assign(
    counts: Floats, shares: Sequence[float], seed: int, prices: Floats | None = None
) -> Ints:
    """(G,) the part of each group, so that every part has its share of every column.

    counts: (G, C) members of each group in each stratum; shares: (S,) positive, sum 1.
    Minimises the sum over parts and columns of (found - wanted)^2 / wanted: groups are laid where
    they help most, then moved and exchanged as long as that helps. Each part
    gets at least one group. The same numbers and seed give the same parts.

    prices: (S, K) what it costs that a part has no member of one of the last K columns of counts,
    which are not balanced. Where the best parts cost something, cheaper ones of about their sizes
    are taken instead if such are found; else the result is as without prices.

    Raises ValueError for fewer groups than parts.
    """
    columns = counts if prices is None else counts[:, : counts.shape[1] - prices.shape[1]]
    wanted = np.outer(np.asarray(shares), columns.sum(axis=0))
    if len(counts) < len(wanted):
        raise ValueError(f"{len(counts)} groups for {len(wanted)} parts")
    best = _best(_Search(columns, wanted, rng) for rng in _starts(len(counts), seed))
    rule = None if prices is None or not prices.any() else _Rule(counts, prices, best, shares)
    if rule is None or not rule.of_parts(best):
        return best
    other = _best(_Covering(counts, wanted, rng, rule) for rng in _starts(len(counts), seed))
    return other if rule.of_parts(other) < rule.of_parts(best) else best


def _starts(groups: int, seed: int) -> list[np.random.Generator]:
    count = max(1, min(_STARTS, _MOST_STEPS // groups))
    return [np.random.default_rng([seed, n]) for n in range(count)]


def _best(searches: Iterable[_Search]) -> Ints:
    tried = [search.run(largest_first=not n) for n, search in enumerate(searches)]
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
        return self._loss(), self.part

    def _loss(self) -> float:
        gap = self.found - self.wanted
        return float((gap**2 * self.weight).sum())

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


class _Rule:
    """What parts cost that lack a class, or are not about as large as the best ones."""

    def __init__(self, counts: Floats, prices: Floats, best: Ints, shares: Sequence[float]) -> None:
        self.counts, self.classes = counts, prices.shape[1]
        most = counts.sum() / min(shares)  # that any balance is worth
        self.prices = prices * most
        self.outside = self.prices.sum() + most
        self.sizes = self._shares(self._found(best))
        self.room = np.minimum(_ROOM, self.sizes / 2)

    def __call__(self, found: Floats, part: Ints | int) -> Floats:
        """found: (..., C) members of these parts in each column."""
        lacking = (found[..., -self.classes :] < 0.5) * self.prices[part]
        off = np.abs(self._shares(found) - self.sizes[part]) > self.room[part]
        return np.asarray(lacking.sum(axis=-1) + off * self.outside)

    def of_parts(self, part: Ints) -> float:
        found = self._found(part)
        return float(self(found, np.arange(len(found))).sum())

    def _found(self, part: Ints) -> Floats:
        found = np.zeros((len(self.prices), self.counts.shape[1]))
        np.add.at(found, part, self.counts)
        return found

    def _shares(self, found: Floats) -> Floats:
        """Of all members, each of whom is in equally many strata."""
        members = found[..., : -self.classes].sum(axis=-1)
        return np.asarray(members / self.counts[:, : -self.classes].sum())


class _Covering(_Search):
    """A search that keeps to the rule before it balances."""

    def __init__(
        self, counts: Floats, wanted: Floats, rng: np.random.Generator, rule: _Rule
    ) -> None:
        unbalanced = np.zeros((len(wanted), rule.classes))
        super().__init__(counts, np.hstack([wanted, unbalanced]), rng)
        self.weight[:, -rule.classes :] = 0.0
        self.rule = rule

    def _cost(self, gap: Floats, part: Ints | int) -> Floats:
        return super()._cost(gap, part) + self.rule(gap + self.wanted[part], part)

    def _loss(self) -> float:
        return super()._loss() + self.rule.of_parts(self.part)


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
