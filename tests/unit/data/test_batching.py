"""From tables to batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from builders import repeatable
from tricord import presets
from tricord.data.batching import Loader, TensorTable, row_order
from tricord.data.schema import FeatureTable, Ragged

SCHEME = presets.tiny().labels
SEEDS = st.integers(0, 2**31)
FILE_LENGTH = 7
WIDTHS = {"text": 0, "audio": 3, "vision": 2}  # text: tokens


def make_table(lengths: np.ndarray, seed: int = 0) -> FeatureTable:
    """lengths: (N, 3), in 0..7."""
    rng = np.random.default_rng(seed)
    sequences = {}
    for (name, width), column in zip(WIDTHS.items(), lengths.T, strict=True):
        total = int(column.sum())
        values = (
            rng.normal(size=(total, width)).astype(np.float32)
            if width
            else rng.integers(1, 30000, total)
        )
        sequences[name] = Ragged(values, np.concatenate([[0], np.cumsum(column)]), FILE_LENGTH)
    scores = rng.choice([-1, -0.4, 0, 0.6, 1], size=(len(lengths), 4))
    scores[rng.random(scores.shape) < 0.2] = np.nan
    ids = tuple(f"v$_${i}" for i in range(len(lengths)))
    return FeatureTable("train", ids, sequences, scores)


def random_lengths(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, FILE_LENGTH + 1, (rows, 3))


@repeatable
@given(st.integers(0, 40), SEEDS, st.integers(0, 100))
def test_row_order_is_a_permutation(rows: int, seed: int, epoch: int) -> None:
    assert sorted(row_order(rows, seed, epoch)) == list(range(rows))


@repeatable
@given(st.integers(1, 40), SEEDS, st.integers(0, 100), st.integers(1, 6))
def test_ranks_partition_the_one_order(rows: int, seed: int, epoch: int, world: int) -> None:
    parts = [row_order(rows, seed, epoch, rank, world) for rank in range(world)]
    assert {len(part) for part in parts} == {-(-rows // world)}
    together = np.stack(parts, axis=1).ravel()  # rank r has every world-th row, from r on
    whole = row_order(rows, seed, epoch)
    np.testing.assert_array_equal(together[:rows], whole)
    # where they do not divide, the first ones of the order come again
    np.testing.assert_array_equal(together[rows:], np.resize(whole, len(together))[rows:])


def test_row_order_depends_on_seed_and_epoch_alone() -> None:
    first = row_order(50, 1, 2)
    np.random.default_rng().random(9)
    torch.manual_seed(3)
    np.testing.assert_array_equal(row_order(50, 1, 2), first)
    for other in ((50, 1, 3), (50, 2, 2), (50, 2, 1)):
        assert (row_order(*other) != first).any()


@repeatable
@given(SEEDS, st.booleans(), st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_fetch_is_naive_padding(seed: int, full: bool, rows: list[int]) -> None:
    lengths = random_lengths(10, seed)
    table = make_table(lengths, seed)
    batch = TensorTable(table, SCHEME, full_length=full).fetch(np.array(rows))
    assert all((f.real is not None) is full for f in batch.frames.values())
    for k, (name, ragged) in enumerate(table.sequences.items()):
        longest = FILE_LENGTH if full else max(1, lengths[rows, k].max())
        expected = np.zeros((len(rows), longest, *ragged.values.shape[1:]), ragged.values.dtype)
        mask = np.zeros((len(rows), longest), dtype=bool)
        for i, row in enumerate(rows):
            frames = ragged.values[ragged.offsets[row] : ragged.offsets[row + 1]]
            expected[i, : len(frames)] = frames
            mask[i, : len(frames)] = True
        found = batch.frames[name]
        padded, real = found.pad()
        np.testing.assert_array_equal(padded, expected)
        assert found.values.numpy().dtype == ragged.values.dtype
        np.testing.assert_array_equal(real, np.ones_like(mask) if full else mask)
        np.testing.assert_array_equal(
            found.lengths if found.real is None else found.real, mask.sum(axis=1)
        )
        np.testing.assert_array_equal(batch.present[:, k], lengths[rows, k] > 0)
    np.testing.assert_array_equal(batch.index, rows)
    np.testing.assert_array_equal(batch.scores, table.scores[rows].astype(np.float32))
    np.testing.assert_array_equal(batch.labels, SCHEME.to_class(table.scores[rows]))
    np.testing.assert_array_equal(batch.label, batch.labels[:, 0])
    assert len(batch) == len(rows)


def test_tokens_stay_integers() -> None:
    batch = TensorTable(make_table(random_lengths(4)), SCHEME).fetch(torch.tensor([2, 0]))
    assert batch.frames["text"].values.dtype == torch.int64
    assert batch.frames["text"].values.ndim == 1
    assert batch.frames["audio"].values.dtype == torch.float32


@pytest.mark.parametrize("full", [True, False])
def test_a_modality_that_no_clip_has(full: bool) -> None:
    lengths = np.array([[2, 0, 1], [1, 0, 0]])
    batch = TensorTable(make_table(lengths), SCHEME, full_length=full).fetch(np.array([0, 1]))
    audio = batch.frames["audio"]
    assert audio.values.shape == (2 * FILE_LENGTH if full else 0, 3)
    assert not audio.values.any()
    assert not (audio.lengths if audio.real is None else audio.real).any()
    assert batch.present.tolist() == [[True, False, True], [True, False, False]]


def test_other_sequences_than_the_tables_own() -> None:
    table = make_table(random_lengths(5))
    only = {"vision": table.sequences["vision"]}
    batch = TensorTable(table, SCHEME, sequences=only).fetch(np.array([1, 3]))
    assert list(batch.frames) == ["vision"]
    assert batch.present.shape == (2, 1)
    assert batch.scores.shape == (2, 2)


def test_without_sequences_the_rest_stays() -> None:
    whole = TensorTable(make_table(random_lengths(5)), SCHEME)
    bare = whole.without_sequences()
    batch, expected = bare.fetch(np.array([4, 1])), whole.fetch(np.array([4, 1]))
    assert batch.frames == {}
    assert torch.equal(batch.labels, expected.labels)
    assert torch.equal(batch.present, expected.present)
    assert whole.sequences


@repeatable
@given(st.integers(1, 30), st.integers(1, 12), st.one_of(st.none(), SEEDS), st.integers(0, 9))
def test_an_epoch_visits_each_row_once(rows: int, size: int, seed: int | None, epoch: int) -> None:
    table = TensorTable(make_table(random_lengths(rows)), SCHEME)
    loader = Loader(table, size, seed=seed)
    batches = [batch.index.tolist() for batch in loader.epoch(epoch)]
    assert len(batches) == len(loader)
    assert all(len(batch) == size for batch in batches[:-1])
    visited = [row for batch in batches for row in batch]
    expected = list(range(rows)) if seed is None else row_order(rows, seed, epoch).tolist()
    assert visited == expected


@repeatable
@given(st.integers(1, 30), st.integers(1, 12), st.integers(2, 4), SEEDS)
def test_ranks_share_an_epoch(rows: int, size: int, world: int, seed: int) -> None:
    table = TensorTable(make_table(random_lengths(rows)), SCHEME)
    visited: set[int] = set()
    for rank in range(world):
        loader = Loader(table, size, seed=seed, rank=rank, world=world)
        batches = list(loader.epoch(1))
        assert len(batches) == len(loader)
        visited |= {row for batch in batches for row in batch.index.tolist()}
    assert visited == set(range(rows))


def test_a_loader_in_order_keeps_the_batch_size() -> None:
    table = TensorTable(make_table(random_lengths(7)), SCHEME)
    loader = Loader(table, 3, seed=5, rank=1, world=2).in_order()
    assert [batch.index.tolist() for batch in loader.epoch()] == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(loader) == 3


def test_batches_move_between_devices() -> None:
    batch = TensorTable(make_table(random_lengths(3)), SCHEME).fetch(np.array([0]))
    moved = batch.to("meta")
    assert moved.index.device.type == moved.frames["audio"].values.device.type == "meta"
    assert {moved.labels.device.type, moved.scores.device.type, moved.present.device.type} == {
        "meta"
    }
    assert moved.frames["text"].lengths.device.type == "cpu"


def test_labels_follow_the_order_of_the_modalities_and_extras_are_none() -> None:
    table = make_table(random_lengths(9))
    sequences = {n: table.sequences[n] for n in ("vision", "text")}
    extra = {**sequences, "vision.kept": table.sequences["audio"]}
    batch = TensorTable(table, SCHEME, sequences=extra).fetch(np.arange(9))
    scores = table.scores[:, [0, 3, 1]]  # the table has text, audio, vision
    np.testing.assert_array_equal(batch.scores, scores.astype(np.float32))
    np.testing.assert_array_equal(batch.labels, SCHEME.to_class(scores))
    lengths = [s.lengths for s in sequences.values()]
    np.testing.assert_array_equal(batch.present, np.stack(lengths, axis=1) > 0)
    assert set(batch.frames) == {"vision", "text", "vision.kept"}
