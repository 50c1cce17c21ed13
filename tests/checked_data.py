"""A data set without a fault, large enough for every rule to speak, and ways to break it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.check import Finding, check
from tricord.data.schema import Dataset, FeatureTable, Ragged

SIZES = {"train": 300, "valid": 150, "test": 150}
WIDTHS = {"text": 4, "audio": 3, "vision": 5}
PADDED = {"text": 60, "audio": 400, "vision": 120}
SPEED = {"text": 1.0, "audio": 6.0, "vision": 2.0}  # frames a token
WORDS = [
    "the",
    "film",
    "was",
    "what",
    "you",
    "and",
    "I",
    "hoped",
    "for",
    "but",
    "it",
    "is",
    "not",
    "good",
]
Values = NDArray[Any]


def _sequence(modality: str, own: Values, tokens: Values, rng: np.random.Generator) -> Ragged:
    """Frames around a point that the modality's own label moves along a direction of its own."""
    lengths = np.maximum(2, np.rint(tokens * SPEED[modality] * rng.uniform(0.8, 1.2, len(own))))
    lengths = np.minimum(lengths, PADDED[modality] - 1).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = rng.standard_normal((lengths.sum(), WIDTHS[modality]))
    values[:, 0] += np.repeat(2 * own + 0.5 * rng.standard_normal(len(own)), lengths)
    return Ragged(values.astype(np.float32), offsets, PADDED[modality])


def clean_table(name: str, rows: int) -> FeatureTable:
    rng = np.random.default_rng([7, len(name), rows])
    shared = rng.standard_normal(rows)
    own = np.clip(shared[:, None] + 0.9 * rng.standard_normal((rows, 3)), -2.9, 2.9)
    scores = np.round(np.column_stack([own.mean(axis=1), own]) * 5) / 5
    tokens = rng.integers(6, 40, rows)
    ids = rng.integers(1000, 20000, tokens.sum())
    offsets = np.concatenate([[0], np.cumsum(tokens)])
    ids[offsets[:-1]], ids[offsets[1:] - 1] = 101, 102
    texts = [" ".join(rng.choice(WORDS, n)) for n in tokens]
    words = np.array(["Negative", "Neutral", "Positive"])[np.sign(scores[:, 0]).astype(int) + 1]
    return FeatureTable(
        name=name,
        ids=tuple(f"{name}_video_{i // 10}$_${i % 10}" for i in range(rows)),
        sequences={m: _sequence(m, scores[:, 1 + k], tokens, rng) for k, m in enumerate(WIDTHS)},
        scores=scores,
        tokens=Ragged(ids, offsets, 60),
        raw_text=tuple(texts),
        label_names=tuple(words.tolist()),
    )


@cache
def clean() -> Dataset:
    """600 clips of an unknown data set: nothing to find."""
    return Dataset({n: clean_table(n, rows) for n, rows in SIZES.items()}, source="clean.pkl")


Change = Callable[[FeatureTable], FeatureTable]


def with_split(dataset: Dataset, name: str, **changes: Any) -> Dataset:
    """One split's fields replaced."""
    table = replace(dataset.splits[name], **changes)
    return replace(dataset, splits={**dataset.splits, name: table})


def everywhere(dataset: Dataset, change: Change) -> Dataset:
    """Every split changed."""
    return replace(dataset, splits={n: change(t) for n, t in dataset.splits.items()})


def with_values(
    table: FeatureTable, modality: str, change: Callable[[Values], Any]
) -> FeatureTable:
    """A split whose frames of one modality are changed in a copy."""
    old = table.sequences[modality]
    values = old.values.copy()
    change(values)
    return replace(
        table,
        sequences={**table.sequences, modality: Ragged(values, old.offsets, old.padded_length)},
    )


def with_scores(table: FeatureTable, change: Callable[[Values], Any]) -> FeatureTable:
    """A split whose scores are changed in a copy, its words left out."""
    scores = table.scores.copy()
    change(scores)
    return replace(table, scores=scores, label_names=None)


def found(dataset: Dataset, **options: Any) -> dict[str, Finding]:
    """Rule -> its first finding."""
    rules: dict[str, Finding] = {}
    for finding in check(dataset, **options).findings:
        rules.setdefault(finding.rule, finding)
    return rules
