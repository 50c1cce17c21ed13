"""Clips that must go: found twice, in two splits, or without a modality."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tricord.data.derive.fix_log import Change
from tricord.data.derive.join_report import examples
from tricord.data.gather import take
from tricord.data.mapped import blocks
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.errors import DataError
from tricord.types import Modality

Ints = NDArray[np.int64]
Fixed = tuple[Dataset, list[Change]]
Shared = Literal["clip", "video"]
# Which split a clip stays in: never is one taken from test.
_PRECEDENCE = ("test", "valid", "train")


def drop_repeated_ids(dataset: Dataset, *, keep_first: bool = False) -> Fixed:
    """Without clips whose id came before in the same split.

    Only where all that a file says of both is equal, to the bit; with ``keep_first`` also where
    it is not. Raises DataError for an id with two contents otherwise.
    """

    def repeated(table: FeatureTable) -> Ints:
        places: dict[str, list[int]] = {}
        for row, clip in enumerate(table.ids):
            places.setdefault(clip, []).append(row)
        again = {clip: rows for clip, rows in places.items() if len(rows) > 1}
        if not keep_first:
            _check_equal(dataset, table, again)
        return np.array([row for rows in again.values() for row in rows[1:]], dtype=np.int64)

    return _without(dataset, repeated, "repeated-id", "id")


def drop_equal_clips(dataset: Dataset) -> Fixed:
    """Without clips whose frames and tokens are, to the bit, those of a clip with another id.

    Of equal clips the one in test stays, else the one in valid, else the first. A clip of which
    there is nothing but text and zeros is equal to none: the same words are said in many clips.
    """
    gone: dict[str, list[int]] = {name: [] for name in dataset.splits}
    seen: dict[bytes, str] = {}
    for name in _by_precedence(dataset):
        table = dataset.splits[name]
        for row, content in enumerate(_contents(table, labels=False)):
            if content and seen.setdefault(content, table.ids[row]) != table.ids[row]:
                gone[name].append(row)
    return _without(dataset, lambda t: np.array(gone[t.name], np.int64), "equal-clip", "frames")


def drop_overlap(dataset: Dataset, by: Shared = "clip") -> Fixed:
    """Without clips whose id (or video) is in another split too, from the side of training.

    What test has leaves valid and train, what valid has leaves train; test keeps all.
    """
    seen: set[str] = set()
    gone: dict[str, Ints] = {}
    for name in _by_precedence(dataset):
        table = dataset.splits[name]
        names = table.ids if by == "clip" else table.videos.tolist()
        gone[name] = np.array([row for row, key in enumerate(names) if key in seen], np.int64)
        seen |= set(names)
    return _without(dataset, lambda table: gone[table.name], f"shared-{by}", by)


def drop_absent(dataset: Dataset) -> Fixed:
    """Without clips that lack a modality, one with a sequence of length 0."""

    def lacking(table: FeatureTable) -> Ints:
        return np.flatnonzero(np.any([n == 0 for n in table.lengths.values()], axis=0))

    return _without(dataset, lacking, "absent-modality", "clip")


def _by_precedence(dataset: Dataset) -> Sequence[str]:
    known = [name for name in _PRECEDENCE if name in dataset.splits]
    return [*known, *(name for name in dataset.splits if name not in known)]


def _without(
    dataset: Dataset, gone_from: Callable[[FeatureTable], Ints], rule: str, key: str
) -> Fixed:
    splits, changes = {}, []
    for name, table in dataset.splits.items():
        gone = np.unique(gone_from(table))
        if len(gone) == len(table):
            raise DataError(
                f"{dataset.source}: split '{name}': the rule '{rule}' would drop all of its "
                f"{len(table)} clips, expected some to stay"
            )
        splits[name] = table
        if len(gone):
            splits[name] = take(table, np.setdiff1d(np.arange(len(table)), gone))
            ids = tuple(table.ids[row] for row in gone)
            change = Change(rule, name, key, "dropped", len(gone), "clips", ids)
            changes.append(change)
    return replace(dataset, splits=splits), changes


def _check_equal(dataset: Dataset, table: FeatureTable, again: dict[str, list[int]]) -> None:
    if not again:
        return
    contents = _contents(table, labels=True)
    unequal = [clip for clip, rows in again.items() if len({contents[row] for row in rows}) > 1]
    if unequal:
        raise DataError(
            f"{dataset.source}: split '{table.name}', key 'id': {len(unequal)} ids are found "
            f"several times with different content, such as {examples(unequal)}: which one is "
            "right cannot be seen; --keep-first keeps the first"
        )


def _contents(table: FeatureTable, *, labels: bool) -> list[bytes]:
    """A digest of each clip, one modality in memory at a time.

    labels: of all that a file says of the clip; else b"" where only text tells it from others.
    """
    digests = [hashlib.blake2b(digest_size=16) for _ in table.ids]
    told = np.zeros(len(table), np.bool_)

    def add(ragged: Ragged) -> Ragged:
        starts = ragged.offsets.tolist()
        for digest, start, end in zip(digests, starts, starts[1:], strict=False):
            digest.update(f"{end - start}\0".encode())
            digest.update(ragged.values[start:end].tobytes())
        return ragged

    for name in table.sequences:
        filled = content_lengths(add(table.sequences[name])) > 0
        told |= filled & (name != Modality.TEXT)
    if table.tokens is not None:
        add(table.tokens)
    if labels:
        words = table.raw_text or ("",) * len(table)
        names = table.label_names or ("",) * len(table)
        for digest, scores, *text in zip(digests, table.scores, words, names, strict=True):
            digest.update(scores.tobytes())
            digest.update("\0".join(text).encode(errors="surrogatepass"))
        return [digest.digest() for digest in digests]
    return [digest.digest() if n else b"" for digest, n in zip(digests, told, strict=True)]


def content_lengths(ragged: Ragged) -> Ints:
    """(N,) frames up to the last one that is not all zeros."""
    last = np.full(len(ragged), -1, dtype=np.int64)
    for rows in blocks(ragged.values):
        real = rows.start + np.flatnonzero(ragged.values[rows].any(axis=1))
        clips = np.searchsorted(ragged.offsets, real, side="right") - 1
        np.maximum.at(last, clips, real)
    return np.where(last < 0, 0, last + 1 - ragged.offsets[:-1])
