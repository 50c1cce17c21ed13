"""Some of the clips of a data set: a share of the consistent ones, some labels, some ids."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tricord.data.derive.join_report import examples
from tricord.data.gather import take
from tricord.data.schema import Dataset, FeatureTable
from tricord.data.splits import is_consistent
from tricord.errors import ConfigError, DataError

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Part = Literal["msc", "msi"]
SIGN_NAMES = {"negative": -1, "neutral": 0, "positive": 1}
_MOST_BYTES = 1 << 26  # of a file of ids


@dataclass(frozen=True)
class Choice:
    """Which clips stay; a clip must meet everything that is given.

    labels: words of `label_names`, or negative, neutral, positive by the sign of the label.
    low, high: bounds of the multimodal label, ends included. drop_neutral: no label of 0.
    only: D_msc ("msc") or D_msi ("msi"). ids: these clips. clips: at most so many of each split,
    by chance, in the split's order.
    """

    labels: Collection[str] | None = None
    low: float | None = None
    high: float | None = None
    drop_neutral: bool = False
    only: Part | None = None
    ids: Collection[str] | None = None
    clips: int | None = None


def retain_consistent(table: FeatureTable, share: float, seed: int) -> Ints:
    """Rows that stay, in order: all of D_msi, and ``share`` of D_msc (Figures 4 and 5).

    share: in [0, 1]; of n consistent clips the nearest whole number to ``share * n`` stays. Which
    ones depends on ids and seed only, and those of a smaller share are among those of a larger
    one. Clips with an unknown label are in neither part and stay.

    Raises ConfigError for another share, DataError where no clip has all labels.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"share of consistent clips: {share} found, expected a number in 0..1")
    consistent = np.flatnonzero(_agreement(table) == 1)
    retained = round_half_up(share * len(consistent))
    dropped = _by_chance(table, consistent, seed)[retained:]
    return np.setdiff1d(np.arange(len(table)), dropped)


def round_half_up(number: float) -> int:
    """The nearest whole number; 0.5 becomes 1."""
    return int(np.floor(number + 0.5 + 1e-9))


def retained(
    dataset: Dataset, share: float, seed: int, splits: Collection[str] = ("train",)
) -> Dataset:
    """The data set with a share of the consistent clips in these splits (`retain_consistent`)."""
    return _changed(dataset, splits, lambda table: retain_consistent(table, share, seed))


def choose(
    dataset: Dataset, choice: Choice, seed: int = 1, splits: Collection[str] | None = None
) -> Dataset:
    """The data set with only the chosen clips in these splits; all splits by default.

    Raises DataError where a split would be empty, an id or a label is unknown, or a label is
    needed that no clip has; ConfigError where ``clips`` is less than 1.
    """
    if choice.clips is not None and choice.clips < 1:
        raise ConfigError(f"clips: {choice.clips} found, expected at least 1")
    _check_ids(dataset, choice.ids)
    by_word = choice.labels is not None and _are_words(dataset, _plain(choice.labels))
    names = splits or tuple(dataset.splits)
    return _changed(dataset, names, lambda table: _chosen(table, choice, seed, by_word=by_word))


def read_ids(path: Path) -> tuple[str, ...]:
    """Ids of a file, one a line; of a CSV file the column ``id``.

    Raises DataError where the file cannot be read or has none.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: larger than {_MOST_BYTES >> 20} MiB, expected ids only")
        text = path.read_text(encoding="utf-8-sig")
        found = _csv_ids(path, text) if path.suffix.lower() == ".csv" else text.splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise DataError(f"{path}: no UTF-8 text found, expected one id a line") from None
    except csv.Error as error:
        raise DataError(f"{path}: not readable as CSV ({error})") from None
    ids = tuple(dict.fromkeys(line.strip() for line in found if line.strip()))
    if not ids:
        raise DataError(f"{path}: no id found, expected one a line")
    return ids


def _csv_ids(path: Path, text: str) -> list[str]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if "id" not in (rows.fieldnames or ()):
        found = list(rows.fieldnames or ())[:8]
        raise DataError(f"{path}: columns {found} found, expected 'id' among them")
    return [row["id"] or "" for row in rows]


def _changed(
    dataset: Dataset, splits: Collection[str], rows_of: Callable[[FeatureTable], Ints]
) -> Dataset:
    changed = dict(dataset.splits)
    for name in splits:
        table = dataset[name]
        try:
            rows = rows_of(table)
        except DataError as error:
            raise DataError(f"{dataset.source}: split '{name}': {error}") from None
        if not len(rows):
            raise DataError(
                f"{dataset.source}: split '{name}': none of its {len(table)} clips is chosen, "
                "expected at least one"
            )
        if len(rows) < len(table):
            changed[name] = take(table, rows)
    return replace(dataset, splits=changed)


def _chosen(table: FeatureTable, choice: Choice, seed: int, *, by_word: bool) -> Ints:
    label = table.scores[:, 0]
    masks: list[Mask] = [np.ones(len(table), dtype=np.bool_)]
    if choice.labels is not None:
        masks.append(_labelled(table, _plain(choice.labels), by_word=by_word))
    if choice.low is not None:
        masks.append(label >= choice.low)
    if choice.high is not None:
        masks.append(label <= choice.high)
    if choice.drop_neutral:
        masks.append((label != 0) & ~np.isnan(label))
    if choice.only is not None:
        masks.append(_agreement(table) == (choice.only == "msc"))
    if choice.ids is not None:
        wanted = frozenset(choice.ids)
        masks.append(np.array([clip in wanted for clip in table.ids]))
    rows = np.flatnonzero(np.all(masks, axis=0))
    if choice.clips is None:
        return rows
    return np.sort(_by_chance(table, rows, seed)[: choice.clips])


def _agreement(table: FeatureTable) -> Ints:
    """(N,) 1 in D_msc, 0 in D_msi, -1 where a label is unknown."""
    known = ~np.isnan(table.scores).any(axis=1)
    if not known.any() or table.scores.shape[1] < 2:
        raise DataError(
            "no clip has a label of its own for every modality, which D_msc and D_msi need"
        )
    found = np.full(len(table), -1, dtype=np.int64)
    found[known] = is_consistent(table.scores[known])
    return found


def _plain(labels: Collection[str]) -> frozenset[str]:
    return frozenset(label.strip().casefold() for label in labels)


def _are_words(dataset: Dataset, wanted: frozenset[str]) -> bool:
    """Whether these are words of the data, in whatever split, and not names of signs.

    Raises DataError where they are neither.
    """
    words = {word for table in dataset.splits.values() for word in table.label_names or ()}
    if wanted <= _plain(words):
        return True
    scored = any(not np.isnan(table.scores[:, 0]).all() for table in dataset.splits.values())
    if wanted <= set(SIGN_NAMES) and scored:
        return False
    known = sorted(words) or list(SIGN_NAMES)
    raise DataError(
        f"{dataset.source}: labels {sorted(wanted)} asked for, expected some of {known}"
    )


def _labelled(table: FeatureTable, wanted: frozenset[str], *, by_word: bool) -> Mask:
    if by_word:
        words = table.label_names or ("",) * len(table)
        return np.array([word.strip().casefold() in wanted for word in words])
    signs = [SIGN_NAMES[name] for name in wanted]
    return np.isin(np.sign(table.scores[:, 0]), signs)


def _by_chance(table: FeatureTable, rows: Ints, seed: int) -> Ints:
    """The rows in an order that is a function of their ids and the seed."""
    ordered = rows[np.argsort(np.array([table.ids[row] for row in rows], dtype=object))]
    return ordered[np.random.default_rng(seed).permutation(len(ordered))]


def _check_ids(dataset: Dataset, ids: Collection[str] | None) -> None:
    known = {clip for table in dataset.splits.values() for clip in table.ids}
    unknown = [clip for clip in ids or () if clip not in known]
    if unknown:
        raise DataError(
            f"{dataset.source}: {len(unknown)} of the ids asked for not found, such as "
            f"{examples(unknown)}, expected ids of its clips"
        )
