"""The MMSA layout: row-aligned arrays under fixed keys, one dictionary per split.

Per split of N clips: id, raw_text, text (N, L, width), text_bert (N, 3, L: token ids, attention
mask, token types), audio and vision (N, L, width) with audio_lengths and vision_lengths (N,),
regression_labels (N,) and those of each modality (_T, _A, _V), annotations (N words),
classification_labels (N,). Files differ in many small ways; what is mended is said in
`Dataset.notices`, what cannot be represented is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.mapped import blocks
from tricord.data.schema import UNLABELLED, FeatureTable, LazySequence, LazySequences, Ragged
from tricord.errors import DataError
from tricord.types import MODALITIES

LABEL = "regression_labels"
_TEXT, _TOKENS, _CLASSES, _WORDS = "text", "text_bert", "classification_labels", "annotations"
_SUFFIXES = {"text": "T", "audio": "A", "vision": "V"}
FEATURE_KEYS = (*MODALITIES, _TOKENS)
_LABELS = (LABEL, _CLASSES, _WORDS)
# What one split has, all must have. Labels of one modality are left out: they are dropped from a
# split where one of them is unknown.
_COMMON_KEYS = (*FEATURE_KEYS, "audio_lengths", "vision_lengths", "raw_text", LABEL)
_MOST_DIMENSIONS = 3
_NUMBERS = "biuf"  # kinds of dtype
_TOKEN_ROWS = 3  # ids, mask, types
_MOST_TOKEN = 2**31 - 1
# Characters for a byte of the file, since a pickle may name one string often; and always fine.
_MOST_REPEATED, _ALWAYS_FINE = 100, 1 << 26


def label_key(modality: str) -> str:
    """The key of a modality's own labels: ``regression_labels_T`` for text."""
    return f"{LABEL}_{_SUFFIXES.get(modality, modality)}"


def read_layout(
    path: Path, content: Mapping[str, object]
) -> tuple[dict[str, FeatureTable], tuple[str, ...]]:
    """The splits in ``content``, read from the file ``path``, and what was mended.

    Features are float32, as found, read when asked for (`LazySequences`). Any modality may be
    absent, if it is in all splits. Where only `text_bert` is there, the text has features of
    width 0. Without `regression_labels`, scores are the classification labels, else NaN; words
    are kept as `label_names` for `check_labels` to number.

    Raises DataError naming file, split, key, what was found and what was expected.
    """
    readers = [_Split(path, name, raw) for name, raw in content.items()]
    _check_keys(readers)
    with np.errstate(all="ignore"):  # every number is checked for being finite
        tables = {reader.name: reader.table() for reader in readers}
    return tables, (*_absent(readers), *_merged(readers))


def kind(value: object) -> str:
    """What a value is, in a word for a message."""
    return type(value).__name__.removeprefix("_").lower()


def _merged(readers: list[_Split]) -> list[str]:
    """What was mended, said once where it is the same in several splits."""
    where: dict[str, list[str]] = {}
    for reader in readers:
        for notice in reader.notices:
            where.setdefault(notice, []).append(reader.name)
    return [f"{', '.join(names)}: {notice}" for notice, names in where.items()]


def _check_keys(readers: list[_Split]) -> None:
    """Raises DataError for a key that only some splits have, and where nothing can be used."""
    some = _keys_of_any(readers)
    common = _COMMON_KEYS if LABEL in some else (*_COMMON_KEYS, _CLASSES, _WORDS)
    for reader in readers:
        if "id" not in reader.raw:
            raise reader.error("id", "missing, expected a name for every clip")
        unlabelled = _LABELS if reader.name == UNLABELLED else ()
        for key in common:
            if key in some and key not in reader.raw and key not in unlabelled:
                owner = next(other.name for other in readers if key in other.raw)
                raise reader.error(key, f"missing, expected as in split '{owner}'")
    if not some & set(FEATURE_KEYS):
        raise readers[0].error(_TEXT, f"missing, expected at least one of {list(FEATURE_KEYS)}")


def _absent(readers: list[_Split]) -> list[str]:
    """Notices of keys that no split has."""
    some = _keys_of_any(readers)
    absent = [key for key in (*FEATURE_KEYS, "raw_text", LABEL) if key not in some]
    notices = [f"missing in all splits: {', '.join(absent)}"] if absent else []
    if LABEL not in some and _CLASSES in some:
        notices.append(f"scores are the '{_CLASSES}'")
    return notices


def _keys_of_any(readers: list[_Split]) -> set[Any]:
    return {key for reader in readers for key in reader.raw}


class _Split:
    """Reads one split; remembers what it mended."""

    def __init__(self, path: Path, name: str, raw: object) -> None:
        self.path = path
        self.name = name
        self.notices: list[str] = []
        if not isinstance(raw, dict):
            raise DataError(
                f"{path}: split '{name}': {kind(raw)} found, expected a dictionary of arrays"
            )
        self.raw: dict[Any, Any] = raw
        self.rows = 0

    def error(self, key: str, problem: str) -> DataError:
        return DataError(f"{self.path}: split '{self.name}', key '{key}': {problem}")

    def note(self, key: str, what: str) -> None:
        self.notices.append(f"{key}: {what}")

    def table(self) -> FeatureTable:
        ids = self._ids()
        self.rows = len(ids)
        tokens = self._tokens() if _TOKENS in self.raw else None
        plans = [
            self._plan(modality, tokens)
            for modality in MODALITIES
            if modality in self.raw or (modality == _TEXT and tokens is not None)
        ]
        return FeatureTable(
            name=self.name,
            ids=ids,
            sequences=LazySequences(plans),
            scores=self._scores(tuple(plan.name for plan in plans)),
            tokens=tokens,
            raw_text=self._strings("raw_text") if "raw_text" in self.raw else None,
            label_names=self._strings(_WORDS) if _WORDS in self.raw else None,
        )

    # ------------------------------------------------------------------ strings

    def _ids(self) -> tuple[str, ...]:
        ids = self._strings("id")
        if not ids:
            raise self.error("id", "no clip found, expected at least one")
        return ids

    def _strings(self, key: str) -> tuple[str, ...]:
        value = self.raw[key]
        if isinstance(value, np.ndarray) and value.ndim != 1:  # (10**12, 0) would be as many lists
            raise self.error(key, f"shape {value.shape} found, expected a list of strings")
        try:
            items = value.tolist() if isinstance(value, np.ndarray) else value
        except (ValueError, SystemError):  # numpy's way to say so
            raise self.error(key, "text that is no Unicode found") from None
        if not isinstance(items, list | tuple):
            raise self.error(key, f"{kind(value)} found, expected a list of strings")
        for row, item in enumerate(items):
            if not isinstance(item, str):
                raise self.error(key, f"row {row}: {kind(item)} found, expected a string")
        if self.rows:
            self._check_rows(key, len(items))
        if sum(map(len, items)) > max(_ALWAYS_FINE, _MOST_REPEATED * self.path.stat().st_size):
            raise self.error(key, "more text claimed than the file can hold")
        return tuple(items)

    def _check_rows(self, key: str, found: int) -> None:
        if found != self.rows:
            raise self.error(key, f"{found} rows found, expected {self.rows}, one for every id")

    # ------------------------------------------------------------------ numbers

    def _numbers(self, key: str) -> NDArray[Any]:
        """An array of booleans, integers or floats with one row for every clip."""
        value = self.raw[key]
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            array = np.asarray(value)
        else:
            array = self._listed_numbers(key, value)
        if array.dtype.kind not in _NUMBERS:
            raise self.error(key, f"{array.dtype} found, expected numbers")
        self._check_rows(key, array.shape[0] if array.ndim else 0)
        return array

    def _listed_numbers(self, key: str, value: object) -> NDArray[Any]:
        if isinstance(value, np.ndarray) and (not value.ndim or not value.size):
            raise self.error(key, f"shape {value.shape} found, expected a row for every id")
        items = value.tolist() if isinstance(value, np.ndarray) else value
        if not isinstance(items, list | tuple):
            raise self.error(key, f"{kind(value)} found, expected an array of numbers")
        try:
            if _stands_for(items, _MOST_DIMENSIONS, {}) > self.path.stat().st_size:
                raise self.error(key, "more numbers claimed than the file can hold")
            array = np.array(items)
            return array.astype(np.float64) if array.dtype.hasobject else array
        except (ValueError, TypeError, OverflowError):
            raise self.error(
                key, "a list that is no full array of numbers found, expected equal lengths"
            ) from None

    def _column(self, key: str) -> NDArray[np.float64]:
        """(N,) numbers, from (N,) or (N, 1); NaN where unknown."""
        array = self._numbers(key)
        if array.size != self.rows:
            raise self.error(key, f"shape {array.shape} found, expected ({self.rows},)")
        column = array.reshape(self.rows).astype(np.float64)
        if np.isinf(column).any():
            row = int(np.isinf(column).argmax())
            raise self.error(key, f"row {row}: {column[row]} found, expected a finite number")
        return column

    def _scores(self, modalities: tuple[str, ...]) -> NDArray[np.float64]:
        """(N, 1 + K), multimodal first."""
        unknown = np.full(self.rows, np.nan)
        first = next((key for key in (LABEL, _CLASSES) if key in self.raw), None)
        columns = [unknown if first is None else self._column(first)]
        keys = [label_key(modality) for modality in modalities]
        columns += [self._column(key) if key in self.raw else unknown for key in keys]
        missing = [key for key in keys if key not in self.raw]
        if missing:
            self.note(", ".join(missing), "missing, unknown for all clips")
        return np.stack(columns, axis=1)

    # ------------------------------------------------------------------ sequences

    def _tokens(self) -> Ragged:
        """Token ids under the attention mask."""
        array = self._numbers(_TOKENS)
        if array.ndim != 3 or _TOKEN_ROWS not in array.shape[1:] or not array.size:
            raise self.error(_TOKENS, f"shape {array.shape} found, expected (N, 3, L)")
        if _is_transposed(array):
            array = array.transpose(0, 2, 1)
            self.note(_TOKENS, "stored as (N, L, 3), transposed")
        ids, mask = array[:, 0].astype(np.float64), array[:, 1]
        if not _is_mask(mask):
            raise self.error(_TOKENS, "attention mask with other values than 0 and 1")
        gaps = np.any(mask[:, 1:] > mask[:, :-1], axis=1)
        if gaps.any():
            raise self.error(
                _TOKENS,
                f"row {int(gaps.argmax())}: attention mask with 0 before 1 found, expected padding "
                "at the end only",
            )
        valid = (ids >= 0) & (ids <= _MOST_TOKEN) & (ids == np.floor(ids))
        if not valid.all():
            raise self.error(
                _TOKENS, f"token id {ids[~valid][0]:g} found, expected a whole number from 0"
            )
        return Ragged.from_padded(ids.astype(np.int64), mask.sum(axis=1).astype(np.int64))

    def _plan(self, modality: str, tokens: Ragged | None) -> LazySequence:
        """A modality's frames, checked for shape, still to be read."""
        if modality not in self.raw:
            assert tokens is not None
            nothing = np.zeros((len(tokens.values), 0), dtype=np.float32)
            empty = Ragged(nothing, tokens.offsets, tokens.padded_length)
            return LazySequence(modality, tokens.lengths, 0, lambda: empty)
        padded = self._numbers(modality)
        if padded.ndim != 3 or 0 in padded.shape:
            raise self.error(modality, f"shape {padded.shape} found, expected (N, L, width)")
        lengths = self._lengths(modality, padded, tokens)
        read = partial(Ragged.from_padded, padded, lengths, np.dtype(np.float32))
        return LazySequence(modality, lengths, padded.shape[2], read, fresh=True)

    def _lengths(
        self, modality: str, padded: NDArray[Any], tokens: Ragged | None
    ) -> NDArray[np.int64]:
        """(N,) true lengths: given, else the text's where they fit, else what the padding says."""
        key = f"{modality}_lengths"
        if modality != _TEXT and key in self.raw:
            return self._given_lengths(key, padded.shape[1])
        if tokens is not None and padded.shape[1] == tokens.padded_length:
            if modality != _TEXT:
                self.note(key, "missing, those of the text taken (aligned file)")
            return tokens.lengths
        if modality != _TEXT:
            self.note(key, f"missing, all {padded.shape[1]} frames taken as real")
            return np.full(self.rows, padded.shape[1], dtype=np.int64)
        if tokens is not None:
            self.note(_TEXT, "of other length than text_bert, zeros at the end cut")
        real = np.concatenate([np.any(padded[rows], axis=2) for rows in blocks(padded)])
        last: NDArray[np.int64] = padded.shape[1] - real[:, ::-1].argmax(axis=1)
        return np.where(real.any(axis=1), last, 1)

    def _given_lengths(self, key: str, longest: int) -> NDArray[np.int64]:
        column = self._column(key)
        bad = ~((column >= 0) & (column <= longest) & (column == np.floor(column)))
        if bad.any():
            row = int(bad.argmax())
            raise self.error(
                key, f"row {row}: {column[row]:g} found, expected a whole number in 0..{longest}"
            )
        return column.astype(np.int64)


def _stands_for(items: Any, depth: int, known: dict[int, int]) -> int:
    """How many numbers nested lists stand for.

    Lists that a file holds once and names often count every time, but are walked once.
    Raises ValueError where they are nested deeper than ``depth`` or hold something else.
    """
    if isinstance(items, np.ndarray) and items.dtype.kind in _NUMBERS:
        return items.size
    if items is None or isinstance(items, int | float):
        return 1
    if not isinstance(items, list | tuple):
        raise ValueError("something other than numbers")
    if depth == 0:
        raise ValueError("nested too deeply")
    if id(items) not in known:
        known[id(items)] = sum(_stands_for(item, depth - 1, known) for item in items)
    return known[id(items)]


def _is_mask(values: NDArray[Any]) -> bool:
    return bool(np.isin(values, (0, 1)).all())


def _is_transposed(array: NDArray[Any]) -> bool:
    """Whether token rows are (N, L, 3), as in old files; L = 3 is decided by where the mask is."""
    if array.shape[1] != _TOKEN_ROWS:
        return True
    return array.shape[2] == _TOKEN_ROWS and not _is_mask(array[:, 1]) and _is_mask(array[..., 1])
