"""New splits of which no video, speaker or other group is in two."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tricord.data.derive.balance import (
    ZERO,
    Independence,
    assign,
    classes,
    independence,
    signs,
    strata,
)
from tricord.data.derive.join_report import examples
from tricord.data.gather import gather
from tricord.data.schema import SPLITS, UNLABELLED, Dataset, FeatureTable
from tricord.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
VALID, TEST = SPLITS[1:]
_NAMES = ("id", "clip_id", "clip", "video_id", "video")
_GROUPS = ("group", "speaker", "speaker_id")
_MOST_BYTES = 1 << 26  # of a file of groups: a million clips and their names


@dataclass(frozen=True)
class SplitReport:
    """What a grouped split reached.

    groups, clips: split -> number. wanted, reached: split -> share of the clips.
    labels: class -> split -> share of the split's clips. balance: how far the classes' shares
    differ between the splits.
    """

    groups: Mapping[str, int]
    clips: Mapping[str, int]
    wanted: Mapping[str, float]
    reached: Mapping[str, float]
    labels: Mapping[str, Mapping[str, float]]
    balance: Independence


def read_groups(path: Path) -> dict[str, str]:
    """The group of each clip or video, from a file.

    JSON: one object, id or video -> group. CSV: a header with a column ``id`` (or ``video_id``)
    and a column ``group`` (or ``speaker``); all are read as strings, so that zeros stay.
    Raises DataError where the file says something else, or two groups for one name.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: larger than {_MOST_BYTES >> 20} MiB, expected names only")
        text = path.read_text(encoding="utf-8-sig")
        pairs = _json_pairs(path, text) if path.suffix == ".json" else _csv_pairs(path, text)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0][:100]
        raise DataError(f"{path}: not readable as groups ({reason})") from error
    groups: dict[str, str] = {}
    for name, group in pairs:
        if not group:
            raise DataError(f"{path}: no group for {name!r} found, expected one for every name")
        if groups.setdefault(name, group) != group:
            raise DataError(
                f"{path}: {name!r} is in group {groups[name]!r} and in {group!r}, expected one"
            )
    return groups


def _json_pairs(path: Path, text: str) -> list[tuple[str, str]]:
    content = json.loads(text)
    if not isinstance(content, dict) or not all(isinstance(v, str | int) for v in content.values()):
        raise DataError(f"{path}: expected one JSON object, id or video -> group")
    return [(name, str(group)) for name, group in content.items()]


def _csv_pairs(path: Path, text: str) -> list[tuple[str, str]]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    found = rows.fieldnames or []
    name = next((column for column in _NAMES if column in found), None)
    group = next((column for column in _GROUPS if column in found), None)
    if name is None or group is None:
        raise DataError(
            f"{path}: columns {list(found)[:8]} found, expected 'id' (or 'video_id') and 'group' "
            "(or 'speaker')"
        )
    return [((row[name] or "").strip(), (row[group] or "").strip()) for row in rows]


def groups_of(dataset: Dataset, named: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """Split -> the group of each clip: its video, or what ``named`` says of its id or video.

    Raises DataError where ``named`` does not know a clip.
    """
    groups: dict[str, list[str]] = {}
    for name, table in dataset.splits.items():
        videos = table.videos.tolist()
        if named is None:
            groups[name] = videos
            continue
        found = [named.get(c, named.get(v)) for c, v in zip(table.ids, videos, strict=True)]
        groups[name] = [group for group in found if group is not None]
        unknown = [c for c, group in zip(table.ids, found, strict=True) if group is None]
        if unknown:
            raise DataError(
                f"{dataset.source}: split '{name}': no group is given for {len(unknown)} clips, "
                f"such as {examples(unknown)}, expected one for each id or video"
            )
    return groups


def split_by_group(
    dataset: Dataset,
    groups: Mapping[str, Sequence[str]],
    shares: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 1,
    *,
    keep_test: bool = False,
) -> tuple[Dataset, SplitReport]:
    """The same clips in new train, valid and test splits; no group is in two of them.

    All splits but that of unlabelled clips, which stays as it is, are pooled, then groups are laid
    into splits so that sizes, label classes, levels and the shares of D_msc and D_msi come out as
    wanted (see `tricord.data.derive.balance`). Where train or valid would lack a class so that
    another has, they are laid in the next best way in which train has it, and then valid (of signs
    all but 0), as long as sizes stay about the same and such a way is found.

    groups: split -> the group of each clip (`groups_of`). shares: of train, valid and test, any
    positive numbers in these proportions. keep_test: the test split stays as it is, and the rest
    is split in the proportion of the first two shares.

    The same clips, groups and seed give the same splits, in whatever order the clips come.
    Raises ConfigError for shares that are not three positive numbers, DataError for fewer groups
    than splits, and with keep_test for a group of the test split that is in another one too.
    """
    if len(shares) != len(SPLITS) or not all(0 < share < np.inf for share in shares):
        raise ConfigError(f"shares: {list(shares)} found, expected three positive numbers")
    kept = (UNLABELLED, TEST) if keep_test else (UNLABELLED,)
    free = [name for name in dataset.splits if name not in kept]
    parts = list(SPLITS[:2] if keep_test else SPLITS)
    if keep_test:
        _check_test(dataset, groups)
    wanted = np.array(shares[: len(parts)]) / sum(shares[: len(parts)])
    tables = [dataset.splits[name] for name in free]
    pooled = [group for name in free for group in groups[name]]
    part = _parts(dataset.source, tables, pooled, wanted, seed)
    owner = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    rows = np.concatenate([np.arange(len(table)) for table in tables])
    splits = {
        name: gather(name, tables, owner[part == i], rows[part == i])
        for i, name in enumerate(parts)
    }
    found = {
        name: len({pooled[i] for i in np.flatnonzero(part == n)}) for n, name in enumerate(parts)
    }
    if keep_test:
        splits[TEST] = dataset.splits[TEST]
        found[TEST] = len(set(groups[TEST]))
    total = sum(map(len, splits.values()))
    free_share = 1 - (len(splits[TEST]) / total if keep_test else 0)
    goal = dict(zip(parts, (wanted * free_share).tolist(), strict=True))
    goal.setdefault(TEST, 1 - free_share)
    report = _report(splits, found, goal)
    if UNLABELLED in dataset:
        splits[UNLABELLED] = dataset.splits[UNLABELLED]
    return replace(dataset, splits=splits), report


def lacking(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Train and valid -> classes (`balance.classes`) that others have, and it has no clip of.

    Nothing of what `split_by_group` does not look for.
    """
    names = [name for name in SPLITS if name in dataset]
    tables = [dataset.splits[name] for name in names]
    scores, words = _labels(tables)
    found = classes(scores, words)
    of_split = np.split(found, np.cumsum([len(table) for table in tables])[:-1])
    every = set(found.tolist()) - {""}
    return {
        name: tuple(sorted(every - set(here.tolist()) - _spared(scores, name)))
        for name, here in zip(names, of_split, strict=True)
        if name != TEST
    }


def _spared(scores: Floats, split: str) -> set[str]:
    """Of signs valid need not have 0: it may be rare, and an epoch is chosen without it."""
    return {ZERO} if split == VALID and bool((scores < 0).any()) else set()


def _check_test(dataset: Dataset, groups: Mapping[str, Sequence[str]]) -> None:
    if TEST not in dataset.splits:
        raise DataError(f"{dataset.source}: no split 'test' found, expected one to keep")
    for name in dataset.splits:
        shared = sorted(set(groups[name]) & set(groups[TEST])) if name != TEST else []
        if shared:
            raise DataError(
                f"{dataset.source}: {len(shared)} groups of split 'test' are in split '{name}' "
                f"too, such as {examples(shared)}: split without keeping the test split, or drop "
                "them from training first (tricord data fix --drop-overlap video)"
            )


def _parts(
    source: str, tables: Sequence[FeatureTable], groups: Sequence[str], wanted: Floats, seed: int
) -> Ints:
    """(N,) the part of each pooled clip."""
    names, number = np.unique(np.array(groups), return_inverse=True)
    if len(names) < len(wanted):
        raise DataError(
            f"{source}: {len(names)} groups found ({examples(names.tolist())}), expected at least "
            f"{len(wanted)}, one for each split"
        )
    scores, words = _labels(tables)
    found = classes(scores, words)
    needed = np.unique(found[found != ""])
    columns = np.hstack([strata(scores, words), found[:, None] == needed])
    counts = np.zeros((len(names), columns.shape[1]))
    np.add.at(counts, number, columns)
    prices = np.zeros((len(wanted), len(needed)))
    prices[0] = 1 + len(needed)  # to lack one in train is worse than to lack all others in valid
    prices[1] = [name not in _spared(scores, VALID) for name in needed]
    return assign(counts, wanted.tolist(), seed, prices)[number]


def _labels(tables: Sequence[FeatureTable]) -> tuple[Floats, list[str] | None]:
    """Scores and, where all tables have them, words of all clips."""
    words = [table.label_names for table in tables]
    every = [word for column in words if column is not None for word in column]
    scores = np.concatenate([table.scores for table in tables])
    return scores, every if None not in words else None


def _report(
    splits: Mapping[str, FeatureTable], groups: Mapping[str, int], wanted: Mapping[str, float]
) -> SplitReport:
    counts = {name: class_counts(table) for name, table in splits.items()}
    clips = {name: len(table) for name, table in splits.items()}
    classes = sorted({label for found in counts.values() for label in found})
    return SplitReport(
        groups=groups,
        clips=clips,
        wanted=wanted,
        reached={name: n / sum(clips.values()) for name, n in clips.items()},
        labels={
            label: {name: counts[name][label] / clips[name] for name in splits} for label in classes
        },
        balance=independence([[counts[name][label] for label in classes] for name in splits]),
    )


def class_counts(table: FeatureTable) -> Counter[str]:
    """Clips of each label word, or else of each sign of the multimodal label."""
    if table.label_names is not None:
        return Counter(table.label_names)
    return Counter(sign or "unknown" for sign in signs(table.scores[:, 0]).tolist())
