"""Labels that are missing, out of range, off the grid, copied, or that contradict their word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import checked_data
from checked_data import everywhere, found, with_scores, with_split
from tricord.data.check import Finding, Severity
from tricord.data.schema import UNLABELLED, UNSPLIT, Dataset


def changed(change: Callable[[np.ndarray], object], known: str | None = None) -> dict[str, Finding]:
    clean = checked_data.clean()
    return found(everywhere(clean, lambda t: with_scores(t, change)), known=known)


def put(rows: object, column: object, value: object) -> Callable[[np.ndarray], None]:
    def change(scores: np.ndarray) -> None:
        scores[rows, column] = value  # type: ignore[index]

    return change


def test_some_unknown_labels() -> None:
    rules = changed(put(slice(3), 0, np.nan))
    assert set(rules) == {"label-missing"}
    finding = rules["label-missing"]
    assert finding.severity is Severity.WARNING
    assert "label M is unknown in 9 of 600 clips" in finding.found
    one = changed(put(0, 2, np.nan))["label-missing"]
    assert one.where.modality == "audio"


def test_no_label_at_all_is_an_error() -> None:
    rules = changed(put(slice(None), slice(None), np.nan))
    assert rules["label-missing"].severity is Severity.ERROR
    assert set(rules) == {"label-missing"}


def test_data_to_predict_need_no_label() -> None:
    table = with_scores(checked_data.clean().splits["test"], put(slice(None), slice(None), np.nan))
    rules = found(Dataset({UNSPLIT: replace(table, name=UNSPLIT)}, source="x"))
    assert rules["label-missing"].severity is Severity.NOTE


def test_words_alone_are_nominal() -> None:
    clean = everywhere(
        checked_data.clean(),
        lambda t: replace(t, scores=np.full_like(t.scores, np.nan)),
    )
    assert set(found(clean)) == {"labels-are-words"}


def test_modalities_without_labels_are_usual_but_not_in_ch_sims() -> None:
    without = put(slice(None), slice(1, None), np.nan)
    assert not changed(without)
    finding = changed(lambda s: (np.clip(s, -1, 1, out=s), without(s)), known="ch-sims-v2")
    assert "no clip has a label of text" in finding["label-missing"].found


def test_numbers_of_classes_are_no_scores() -> None:
    rules = changed(lambda scores: scores.__setitem__(slice(None), np.sign(scores) + 1))
    assert set(rules) & {"class-numbers", "label-range", "label-word"} == {"class-numbers"}


def test_scores_beyond_every_range() -> None:
    finding = changed(put(0, 1, 7.0))["label-range"]
    assert finding.severity is Severity.WARNING
    assert "7" in finding.found


def test_scores_beyond_the_data_sets_range_are_an_error() -> None:
    finding = changed(put([0, 4], 3, -3.2), known="mosi")["label-range"]
    assert finding.severity is Severity.ERROR
    assert "label vision lies outside -3..3 in 6 clips" in finding.found
    assert "label-range" not in changed(put(0, 3, -3.0), known="mosi")


def test_scores_off_the_grid_of_ch_sims() -> None:
    def small(scores: np.ndarray) -> None:
        scores[:] = np.round(np.clip(scores, -1, 1) * 5).astype(np.float32) / np.float32(5)

    def off(scores: np.ndarray) -> None:
        small(scores)
        scores[2, 1] = 0.3

    assert "label-grid" not in changed(small, known="ch-sims")
    finding = changed(off, known="ch-sims")["label-grid"]
    assert "label text is no multiple of 0.2 in 3 of 600 clips" in finding.found


def test_copies_of_m_are_no_labels() -> None:
    rules = changed(lambda scores: scores.__setitem__(slice(None), scores[:, :1]))
    assert rules["label-copies"].severity is Severity.WARNING


@pytest.mark.parametrize("words", [("negative", "positive"), ("消极", "积极")])
def test_words_against_signs(words: tuple[str, str]) -> None:
    clean = checked_data.clean()
    test = clean.splits["test"]
    signs = np.sign(test.scores[:, 0])
    names = [*np.array([words[0], "NEUTRAL", words[1]])[signs.astype(int) + 1]]
    assert not found(with_split(clean, "test", label_names=tuple(map(str, names))))
    wrong = int(np.flatnonzero(signs > 0)[0])
    names[wrong] = words[0]
    rules = found(with_split(clean, "test", label_names=tuple(map(str, names))))
    assert set(rules) == {"label-word"}
    assert "1 of 600 clips" in rules["label-word"].found
    assert rules["label-word"].where.ids == (test.ids[wrong],)


def test_other_words_are_not_judged() -> None:
    clean = checked_data.clean()
    assert not found(everywhere(clean, lambda t: replace(t, label_names=("angry",) * len(t))))


def test_a_split_that_is_meant_to_have_no_labels() -> None:
    clean = checked_data.clean()
    table = replace(clean["train"].take(np.arange(20)), name=UNLABELLED)
    table = replace(table, scores=np.full_like(table.scores, np.nan))
    assert "label-missing" not in found(replace(clean, splits={**clean.splits, UNLABELLED: table}))
