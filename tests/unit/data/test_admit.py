"""What is refused or mended before data is used, for any reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tiny_data import table
from tricord.data import mapped
from tricord.data.admit import admit, finite
from tricord.data.mapped import blocks, release
from tricord.data.schema import Dataset, Ragged
from tricord.errors import DataError

ROWS = 12


def data(**changes: object) -> Dataset:
    return Dataset(
        splits={"train": table("train", ROWS), "test": replace(table("test", 3), **changes)},  # type: ignore[arg-type]
        source="x.pkl",
    )


def test_clean_data_is_left_as_it_is() -> None:
    clean = data()
    assert admit(clean).fingerprint() == clean.fingerprint()
    assert admit(clean).notices == ()


def test_an_id_in_two_splits_or_twice_in_one() -> None:
    train = data()["train"].ids
    with pytest.raises(
        DataError, match=rf"^x\.pkl: split 'test', key 'id': 2 of.*'{train[3]}'".replace("$", r"\$")
    ):
        admit(data(ids=(train[4], train[3], "other")))
    with pytest.raises(DataError, match="'a' found 2 times, expected ids without duplicates"):
        admit(data(ids=("a", "b", "a")))


def test_widths_that_differ_and_nothing_finite() -> None:
    test = data()["test"]
    audio = test.sequences["audio"]
    wide = Ragged(np.ones((len(audio.values), 9), np.float32), audio.offsets, audio.padded_length)
    with pytest.raises(DataError, match="split 'test', key 'audio': width 9 found, expected 3 as"):
        admit(data(sequences={**test.sequences, "audio": wide}))
    empty = replace(audio, values=np.full_like(audio.values, np.nan))
    with pytest.raises(DataError, match="split 'test', key 'audio': every cell is NaN"):
        admit(data(sequences={**test.sequences, "audio": empty}))


@given(
    arrays(np.float32, (40, 3), elements=st.floats(width=32)),
)
def test_every_cell_that_is_not_finite_is_counted_and_zero(values: NDArray[np.float32]) -> None:
    kept = values.copy()
    clean, counts = finite(Ragged(values, np.array([0, 15, 40]), 30))
    bad = ~np.isfinite(values)
    assert sum(counts.values()) == bad.sum()
    assert counts.get("NaN", 0) == np.isnan(values).sum()
    assert counts.get("-inf", 0) == np.isneginf(values).sum()
    assert (clean.values[bad] == 0).all()
    assert (clean.values[~bad] == values[~bad]).all()
    assert np.array_equal(values, kept, equal_nan=True)  # what was given is not changed


def test_blocks_cover_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "BLOCK_BYTES", 100)
    for shape in ((0, 5), (1, 1000), (17, 3), (64,)):
        array = np.zeros(shape, np.float32)
        rows = [i for block in blocks(array) for i in range(*block.indices(len(array)))]
        assert rows == list(range(len(array)))


def resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) << 10


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_mapped_files_pages_are_given_back(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((1 << 14, 512), np.float32))  # 32 MiB
    before = resident()
    array = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert array.sum() == 1 << 23
    held = resident() - before
    release(array[5:, ::2])
    assert held > 24 << 20
    assert resident() - before < 4 << 20
    assert array[77, 5] == 1
    release(np.ones(3))  # nothing to give back


def test_from_padded_by_blocks_is_from_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    padded, lengths = rng.normal(size=(30, 7, 4)), rng.integers(0, 8, 30)
    whole = np.concatenate([row[:n] for row, n in zip(padded, lengths, strict=True)])
    monkeypatch.setattr(mapped, "BLOCK_BYTES", 1000)
    ragged = Ragged.from_padded(padded, lengths)
    assert np.array_equal(ragged.values, whole)
    assert ragged.lengths.tolist() == lengths.tolist()
    narrow = Ragged.from_padded(padded * 1e200, lengths, np.dtype(np.float32))
    assert narrow.values.dtype == np.float32
    assert np.isinf(narrow.values).all()
