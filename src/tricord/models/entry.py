"""What the registry says of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tricord.config import CommonConfig
from tricord.models.network import Network


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, ends included; log: evenly by their logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of these values."""

    values: Sequence[Any]


Search = Mapping[str, Range | Choice]


@dataclass(frozen=True)
class Entry:
    """A model: where it comes from, how it is set and built, what it needs.

    name: as typed; title: as in tables; paper: where it is described; licence: what is known of
        the original program's, and so how this one was written.
    config: preset -> its published settings for that data set. build: from settings and feature
        widths, with fresh weights and no language model.
    needs: what a data set must have besides clips with labels, in words. uses: what it makes use
    of where it is there.
    published: preset -> size that Table IV prints. search: setting -> values that tuning tries.
    """

    name: str
    title: str
    paper: str
    year: int
    licence: str
    config: Callable[[str], CommonConfig]
    build: Callable[[Any, Mapping[str, int]], Network]
    search: Search
    needs: Sequence[str] = ()
    uses: Sequence[str] = ()
    published: Mapping[str, int] = field(default_factory=dict)
