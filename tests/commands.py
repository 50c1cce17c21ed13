"""What is typed, and what a command said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# of the run that tests of commands share
SETTINGS = {
    "model.d": 8,
    "model.feedforward": 8,
    "pretrain.epochs": 2,
    "finetune.epochs": 1,
    "model.attention_dropout": 0,
}
QUICK = [part for k, v in SETTINGS.items() for part in ("--set", f"{k}={v}")]


@dataclass
class Said:
    code: int
    out: str
    err: str


Type = Callable[..., Said]


def narrow(text: str) -> bool:
    """Whether it fits a terminal of 80 columns."""
    return all(len(line) <= 80 for line in text.splitlines())
