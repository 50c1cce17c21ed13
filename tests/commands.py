"""What a command said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Said:
    code: int
    out: str
    err: str


Type = Callable[..., Said]


def narrow(text: str) -> bool:
    """Whether it fits a terminal of 80 columns."""
    return all(len(line) <= 80 for line in text.splitlines())
