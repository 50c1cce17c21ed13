"""Kinds of simulated data: each a trap for a different mistake, each with its own Bayes limit."""

from __future__ import annotations

from dataclasses import dataclass

from tricord.data.simulation.sequences import EVEN, Style
from tricord.data.simulation.speakers import SAME, Shift
from tricord.errors import ConfigError
from tricord.types import Modality


@dataclass(frozen=True)
class Kind:
    """What differs from "smooth", the first.

    about: a line for people. shares: of M's classes, negative, neutral and positive; None: as in
    the joint table. useless: modalities whose sequences show a class of their own that has to do
    with nothing. shift: of the speakers of test.
    """

    about: str
    style: Style = EVEN
    shares: tuple[float, float, float] | None = None
    useless: tuple[str, ...] = ()
    shift: Shift = SAME


KINDS: dict[str, Kind] = {
    "smooth": Kind("evidence in every frame, under slow drift"),
    "bursts": Kind(
        "evidence in one marked run of a sixth of the frames, or words, at a random place",
        style=Style(burst=1 / 6),
    ),
    "white": Kind(
        "white noise instead of slow drift, and three times as much of it",
        style=Style(drift=1.5, frame_noise=1.5, memory=0),
    ),
    "balance": Kind(
        "seven clips in ten positive, what modalities show given M as in CH-SIMS",
        shares=(0.2, 0.1, 0.7),
    ),
    "useless": Kind(
        "vision shows a class that has to do with neither its own nor any other label",
        useless=(str(Modality.VISION),),
    ),
    "shift": Kind(
        "speakers of test lean to the positive and differ more than those of train and valid",
        shift=Shift(mean=1.0, spread=1.5),
    ),
}
DEFAULT = "smooth"


def get(name: str) -> Kind:
    """The kind of this name. Raises ConfigError with the names there are."""
    if name not in KINDS:
        raise ConfigError(f"kind: {name!r} found, expected one of {list(KINDS)}")
    return KINDS[name]
