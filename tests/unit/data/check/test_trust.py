"""Features that know the labels of train and valid, but not those of test."""

from __future__ import annotations

import numpy as np

import checked_data
from checked_data import found, with_values
from tricord.data.check import Severity
from tricord.data.schema import Dataset


def test_features_trained_on_the_labels_are_seen() -> None:
    clean = checked_data.clean()
    splits = {}
    for name, table in clean.splits.items():
        told = np.repeat(table.scores[:, 0], table.sequences["vision"].lengths)
        if name == "test":
            told = np.zeros_like(told)
        splits[name] = with_values(
            table, "vision", lambda v, t=told: v.__setitem__((slice(None), 0), v[:, 1] + 3 * t)
        )
    rules = found(Dataset(splits, source="x"))
    assert rules["feature-leak"].severity is Severity.WARNING
    assert rules["feature-leak"].where.modality == "vision"


def test_features_as_good_on_test_are_not() -> None:
    clean = checked_data.clean()
    splits = {}
    for name, table in clean.splits.items():
        told = np.repeat(table.scores[:, 0], table.sequences["vision"].lengths)
        splits[name] = with_values(
            table, "vision", lambda v, t=told: v.__setitem__((slice(None), 0), v[:, 1] + 3 * t)
        )
    assert "feature-leak" not in found(Dataset(splits, source="x"))
