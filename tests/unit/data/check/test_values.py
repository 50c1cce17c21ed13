"""Cells that are not finite, columns that are constant, values that are enormous."""

from __future__ import annotations

import numpy as np

import checked_data
from checked_data import everywhere, found, with_values
from tricord.data.check import Finding, Severity
from tricord.data.schema import Dataset


def changed(modality: str, split: str | None = None, **cells: float) -> dict[str, Finding]:
    """Findings where columns c0, c1, ... hold one value in every frame, or every 50th (e0, ...)."""

    def change(values: np.ndarray) -> None:
        for name, value in cells.items():
            values[:: 1 if name[0] == "c" else 50, int(name[1:])] = value

    clean = checked_data.clean()
    if split is None:
        return found(everywhere(clean, lambda t: with_values(t, modality, change)))
    table = with_values(clean.splits[split], modality, change)
    return found(Dataset({**clean.splits, split: table}, source="broken.pkl"))


def test_minus_infinity_in_audio_is_explained() -> None:
    rules = changed("audio", "train", e1=-np.inf)
    finding = rules["not-finite"]
    assert finding.severity is Severity.WARNING
    assert finding.where.columns == (1,)
    assert finding.where.splits == ("train",)
    assert finding.where.ids
    assert "-inf" in finding.found
    assert "COVAREP" in finding.means
    assert set(rules) == {"not-finite"}


def test_kinds_columns_and_clips_are_counted() -> None:
    clean = checked_data.clean()

    def change(values: np.ndarray) -> None:
        values[0, 2], values[1, 2], values[0, 0] = np.nan, np.inf, np.nan

    table = with_values(clean.splits["valid"], "vision", change)
    finding = found(Dataset({**clean.splits, "valid": table}, source="x"))["not-finite"]
    assert finding.found.startswith("3 of ")
    assert "2 NaN, 1 +inf; in columns 2 (2), 0 (1); in 1 clips" in finding.found
    assert "COVAREP" not in finding.means


def test_a_modality_of_nothing_finite_is_an_error() -> None:
    finding = changed("audio", c0=np.nan, c1=np.nan, c2=-np.inf)["not-finite"]
    assert finding.severity is Severity.ERROR


def test_constant_columns_say_which_and_how_many_are_zero() -> None:
    finding = changed("vision", c1=0.0, c4=3.0)["constant-columns"]
    assert finding.severity is Severity.WARNING
    assert finding.where.columns == (1, 4)
    assert "2 of 5 columns (1, 4)" in finding.found
    assert "1 of them always 0" in finding.found


def test_a_column_constant_in_one_split() -> None:
    rules = changed("vision", "valid", c3=0.5)
    assert set(rules) == {"constant-in-a-split"}
    assert rules["constant-in-a-split"].where.splits == ("valid",)
    assert "valid 1 of 5 columns (3)" in rules["constant-in-a-split"].found


def test_what_is_rare_need_not_occur_in_a_few_clips() -> None:
    def still(clips: int) -> set[str]:
        clean = checked_data.clean()
        table = clean.splits["valid"].take(np.arange(clips))
        table = with_values(table, "vision", lambda v: v.__setitem__((slice(None), 3), 0))
        return set(found(Dataset({**clean.splits, "valid": table}, source="x")))

    assert "constant-in-a-split" not in still(29)
    assert "constant-in-a-split" in still(30)


def test_a_dead_modality_is_an_error() -> None:
    finding = changed("audio", c0=0.0, c1=0.0, c2=0.0)["constant-columns"]
    assert finding.severity is Severity.ERROR
    assert "all 3 columns" in finding.found


def test_large_values_are_a_note_and_enormous_ones_a_warning() -> None:
    large = changed("vision", e2=512.0)["value-range"]
    assert large.severity is Severity.NOTE
    assert large.where.columns == (2,)
    assert "512" in large.found
    enormous = changed("vision", e2=-4e7)["value-range"]
    assert enormous.severity is Severity.WARNING
    assert "value-range" not in changed("vision", e2=60.0)
