"""Data sets of any odd form: the check says something of each, and never fails."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checked_data
from checked_data import found
from tricord.data.check import KNOWN, Severity, check
from tricord.data.check.evidence import gather
from tricord.data.schema import (
    SPLITS,
    UNSPLIT,
    Dataset,
    FeatureTable,
    LazySequence,
    LazySequences,
    Ragged,
)
from tricord.errors import DataError

CELLS = np.array([0, 0, 1, -1, 0.2, 500, 1e30, -1e38, np.nan, np.inf, -np.inf], dtype=np.float32)
SCORES = np.array([np.nan, -3, -1, -0.3, 0, 0, 0.2, 1, 2, 9])
WORDS = ("", "negative", "Positive", "angry", "的", "THE FILM", "x" * 50, "\x1b[31m", "\ud800")


def table(rng: np.random.Generator, name: str, widths: dict[str, int]) -> FeatureTable:
    rows = int(rng.integers(1, rng.choice([3, 250])))
    ids = [f"v{rng.integers(4)}$_${rng.integers(rows)}" for _ in range(rows)]
    if rng.random() < 0.5:
        ids = [f"{name}{rng.integers(9)}$_${i}" for i in range(rows)]
    sequences = {}
    for modality, width in widths.items():
        lengths = rng.integers(0, rng.choice([1, 2, 6]), rows)
        values = rng.choice(CELLS[: rng.integers(1, len(CELLS) + 1)], (lengths.sum(), width))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        sequences[modality] = Ragged(values, offsets, int(rng.integers(6, 9)))
    some = SCORES[rng.integers(0, len(SCORES) - 1) :]
    lengths = rng.integers(0, 4, rows)
    tokens = Ragged(
        rng.choice([0, 2, 101, 102, 40000], lengths.sum()),
        np.concatenate([[0], np.cumsum(lengths)]),
        4,
    )

    def words() -> tuple[str, ...] | None:
        return tuple(map(str, rng.choice(WORDS, rows))) if rng.random() < 0.5 else None

    return FeatureTable(
        name=name,
        ids=tuple(ids),
        sequences=sequences,
        scores=rng.choice(some, (rows, 1 + len(widths))),
        tokens=tokens if rng.random() < 0.5 else None,
        raw_text=words(),
        label_names=words(),
    )


def odd(seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    names = [(UNSPLIT,), SPLITS, SPLITS[:1], SPLITS[1:], ("other",)][rng.integers(5)]
    modalities = ["text", "audio", "vision", "gaze"][: rng.integers(0, 5)]
    widths = {m: int(rng.integers(0, 4)) for m in modalities}
    splits = {}
    for name in names:
        other = {m: w + (rng.random() < 0.1) for m, w in widths.items()}
        splits[name] = table(rng, name, {m: int(w) for m, w in other.items()})
    simulation = {"about": "x"} if rng.random() < 0.1 else None
    return Dataset(splits, source="odd.pkl", simulation=simulation)


def try_seed(seed: int) -> None:
    dataset = odd(seed)
    told = [None, *KNOWN][seed % (1 + len(KNOWN))]
    report = check(dataset, known=told)
    json.dumps(report.to_json(), allow_nan=False)
    assert report.fingerprint
    for finding in report.findings:
        assert finding.rule
        assert finding.found
        assert finding.means
        assert finding.do


@settings(deadline=None, max_examples=80, derandomize=True)
@given(seed=st.integers(0, 2**31))
def test_it_never_fails(seed: int) -> None:
    try_seed(seed)


@pytest.mark.slow
def test_it_never_fails_ten_thousand_times() -> None:
    for seed in range(10_000):
        try_seed(seed)


def test_widths_that_differ_between_splits() -> None:
    clean = checked_data.clean()
    audio = clean.splits["test"].sequences["audio"]
    wide = replace(audio, values=np.hstack([audio.values, audio.values[:, :1]]))
    sequences = {**clean.splits["test"].sequences, "audio": wide}
    rules = found(checked_data.with_split(clean, "test", sequences=sequences))
    assert set(rules) == {"split-widths"}
    assert rules["split-widths"].severity is Severity.ERROR
    assert "train 3, valid 3, test 4" in rules["split-widths"].found


def test_splits_of_other_modalities_are_refused() -> None:
    clean = checked_data.clean()
    test = clean.splits["test"]
    less = replace(test, sequences={"text": test.sequences["text"]}, scores=test.scores[:, :2])
    with pytest.raises(DataError, match=r"split 'test': modalities \['text'\] found"):
        check(Dataset({**clean.splits, "test": less}, source="x"))
    with pytest.raises(DataError, match="no split"):
        check(Dataset({}, source="x"))


def test_frames_are_let_go_of_before_the_next_are_read() -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def read() -> Ragged:
        nonlocal most
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))
        values = np.random.default_rng(len(alive)).standard_normal((4, 2)).astype(np.float32)
        alive.append(weakref.ref(values))
        return Ragged(values, np.array([0, 2, 4]), 2)

    plans = [LazySequence(m, np.array([2, 2]), 2, read) for m in ("text", "audio", "vision")]
    lazy = FeatureTable("train", ("a", "b"), LazySequences(plans), np.zeros((2, 4)))
    gather(Dataset({"train": lazy}, source="x"))
    assert len(alive) == 3
    assert most == 0
