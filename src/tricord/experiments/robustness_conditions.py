"""What is done to a split before a model meets it: conditions, their levels and repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

from numpy.typing import NDArray

from tricord.data.corrupt import add_noise, lose_frames, remove, shift, shuffle
from tricord.data.schema import FeatureTable
from tricord.errors import ConfigError
from tricord.experiments.robustness_models import Subject
from tricord.features.text import TEXT

FIRST_SEED = 1111  # of the MMSA framework; LNLN's tests go on from it
RATES = tuple(tenths / 10 for tenths in range(1, 10))
RATIOS = (20.0, 10.0, 5.0, 0.0, -5.0)  # decibels, from least noise to most
SHARES = (0.1, 0.25, 0.5)
ALL = "all"

Power = Mapping[str, NDArray[Any]]
Break = Callable[[FeatureTable], FeatureTable]


@dataclass(frozen=True)
class Level:
    """How much of a condition; None where there is no more or less of it.

    breaks: what is done to the table, once a repeat.
    """

    value: float | None
    breaks: Sequence[Break]


@dataclass(frozen=True)
class Series:
    """A condition of one target, a modality or several, at rising levels.

    summed: whether a mean over the levels, the clean split among them, says something.
    """

    condition: str
    target: str
    levels: Sequence[Level]
    summed: bool = False
    note: str = ""


def series(
    subject: Subject, conditions: Iterable[str], repeats: int, power: Callable[[], Power]
) -> list[Series]:
    """All of these conditions that can be met by these models and data, in a fixed order.

    power: of the features' noise-free signal, (width,) by modality. Raises ConfigError for an
    unknown condition, and where there is nothing to do.
    """
    wanted = list(conditions)
    if unknown := [c for c in wanted if c not in CONDITIONS]:
        raise ConfigError(f"condition {unknown[0]!r} does not exist; there is: {_names()}")
    lengths = subject.table.lengths
    names = [n for n in subject.models[0].widths if n in lengths and lengths[n].any()]
    if subject.reads == "words" and TEXT not in names:
        names = [TEXT, *names]
    seeds = range(FIRST_SEED, FIRST_SEED + repeats)
    plan = _Plan(subject, names, seeds, power)
    found = [one for name, make in CONDITIONS.items() if name in wanted for one in make(plan)]
    if not found:
        asked = f"conditions {', '.join(wanted)}" if wanted else "no condition"
        raise ConfigError(
            f"{asked}: nothing that can be done to {', '.join(names)}; there is: {_names()}"
        )
    return found


def _names() -> str:
    return ", ".join(CONDITIONS)


@dataclass(frozen=True)
class _Plan:
    subject: Subject
    names: Sequence[str]
    seeds: Sequence[int]
    power: Callable[[], Power]

    @property
    def others(self) -> list[str]:
        """The modalities besides text."""
        return [name for name in self.names if name != TEXT]


def _frames(plan: _Plan) -> Iterable[Series]:
    unknown = plan.subject.unknown
    targets = {name: [name] for name in plan.names}
    if len(targets) > 1:
        targets[ALL] = list(plan.names)
    for target, names in targets.items():
        levels = [
            Level(
                rate,
                [
                    partial(lose_frames, names=names, rate=rate, seed=seed, unknown=unknown)
                    for seed in plan.seeds
                ],
            )
            for rate in RATES
        ]
        yield Series("frames", target, levels, summed=True)


def _removal(plan: _Plan) -> Iterable[Series]:
    """All subsets but the whole, which is the clean split, and the empty one."""
    unknown, needs_all = plan.subject.unknown, plan.subject.models[0].model.needs_all
    note = "zeros in place of features: the model needs all modalities" if needs_all else ""
    for number in range(1, len(plan.names)):
        for gone in combinations(plan.names, number):
            change: Break = partial(remove, names=gone)
            if needs_all:
                change = partial(lose_frames, names=gone, rate=1.0, seed=0, unknown=unknown)
            yield Series("removal", "+".join(gone), [Level(None, [change])], note=note)


def _noise(plan: _Plan) -> Iterable[Series]:
    for name in plan.names:
        if name == TEXT and plan.subject.reads != "features":
            continue  # there are no numbers that noise could be added to
        power = plan.power()[name]
        levels = [
            Level(
                ratio,
                [
                    partial(add_noise, name=name, snr=ratio, power=power, seed=seed)
                    for seed in plan.seeds
                ],
            )
            for ratio in RATIOS
        ]
        yield Series("noise", name, levels, summed=True)


def _shift(plan: _Plan) -> Iterable[Series]:
    for name in plan.others:
        levels = [Level(share, [partial(shift, name=name, share=share)]) for share in SHARES]
        yield Series("shift", name, levels)


def _shuffle(plan: _Plan) -> Iterable[Series]:
    for name in plan.others:
        yield _exchanged("shuffle", name, plan.seeds)


def _transcript(plan: _Plan) -> Iterable[Series]:
    if TEXT in plan.names:
        yield _exchanged("transcript", TEXT, plan.seeds)


def _exchanged(condition: str, name: str, seeds: Iterable[int]) -> Series:
    breaks = [partial(shuffle, name=name, seed=seed) for seed in seeds]
    return Series(condition, name, [Level(None, breaks)])


CONDITIONS: Mapping[str, Callable[[_Plan], Iterable[Series]]] = {
    "frames": _frames,
    "removal": _removal,
    "noise": _noise,
    "shift": _shift,
    "shuffle": _shuffle,
    "transcript": _transcript,
}
