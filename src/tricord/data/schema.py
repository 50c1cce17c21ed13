"""FeatureTable (one split) and Dataset (the splits of one file): validated, ragged, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.mapped import blocks
from tricord.errors import DataError, SealedSplitError

SPLITS: tuple[str, ...] = ("train", "valid", "test")
UNLABELLED = "unlabelled"  # clips for semi-supervised training, whose labels nobody knows
NAMED_SPLITS = (*SPLITS, UNLABELLED)
UNSPLIT = "all"  # the only split of a source that does not say who is in which
ID_SEPARATOR = "$_$"


@dataclass(frozen=True)
class Ragged:
    """Sequences of different lengths, back to back, without padding.

    values: (F, width) float32 frames, or (F,) int64 token ids.
    offsets: (N + 1,) int64, sequence i is ``values[offsets[i]:offsets[i + 1]]``.
    padded_length: the length that the source file pads every sequence to.
    known_digest: what `digest` returns, where it is known without reading the values.
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64]
    padded_length: int
    known_digest: str | None = None

    @classmethod
    def from_padded(
        cls, padded: NDArray[Any], lengths: NDArray[np.integer], dtype: np.dtype[Any] | None = None
    ) -> Ragged:
        """From (N, L, width) or (N, L) and (N,) lengths, all in 0..L.

        dtype: of the result, that of ``padded`` unless told; what it cannot hold becomes infinite.
        """
        lengths = np.asarray(lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        values = np.empty((offsets[-1], *padded.shape[2:]), dtype or padded.dtype)
        steps = np.arange(padded.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            for rows in blocks(padded):
                real = steps < lengths[rows, None]
                start, *_ = offsets[rows]
                values[start : start + real.sum()] = padded[rows][real]
        return cls(values, offsets, int(padded.shape[1]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) frames per sequence; 0 where there is nothing."""
        return np.diff(self.offsets)

    @property
    def width(self) -> int:
        """Numbers per frame; 1 for tokens."""
        return 1 if self.values.ndim == 1 else int(self.values.shape[1])

    def positions(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Places in ``values`` of the frames of these rows, in order."""
        lengths = self.lengths[rows]
        starts = np.repeat(self.offsets[rows] - (np.cumsum(lengths) - lengths), lengths)
        return np.asarray(starts + np.arange(lengths.sum()), dtype=np.int64)

    def digest(self) -> str:
        """SHA-256 of the frames and where each sequence begins."""
        if self.known_digest is not None:
            return self.known_digest
        digest = hashlib.sha256(f"{self.values.dtype}{self.values.shape}".encode())
        digest.update(np.ascontiguousarray(self.values).data)
        digest.update(np.ascontiguousarray(self.offsets).data)
        return digest.hexdigest()

    def take(self, rows: NDArray[np.integer]) -> Ragged:
        """The given sequences, in the given order."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths[rows])]).astype(np.int64)
        return Ragged(self.values[self.positions(rows)], offsets, self.padded_length)

    def padded(self) -> NDArray[Any]:
        """(N, padded_length, width) or (N, padded_length), zeros at the end."""
        shape = (len(self), self.padded_length, *self.values.shape[1:])
        out = np.zeros(shape, dtype=self.values.dtype)
        out[np.arange(self.padded_length)[None, :] < self.lengths[:, None]] = self.values
        return out


@dataclass(frozen=True)
class LazySequence:
    """A modality of a split that is still in its file.

    name: the modality. lengths: (N,). width: numbers per frame.
    read: gives the frames; called each time they are asked for.
    fresh: whether it makes a new array each time, which whoever asked may change.
    """

    name: str
    lengths: NDArray[np.int64]
    width: int
    read: Callable[[], Ragged]
    fresh: bool = False


class LazySequences(Mapping[str, Ragged]):
    """Sequences read from their file each time one is asked for, and not kept.

    So that going over a large file holds one of them at a time.
    """

    def __init__(self, sequences: Iterable[LazySequence]) -> None:
        self.plans = {plan.name: plan for plan in sequences}

    def __getitem__(self, name: str) -> Ragged:
        return self.plans[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.plans)

    def __len__(self) -> int:
        return len(self.plans)


@dataclass(frozen=True)
class FeatureTable:
    """One split, row-aligned.

    name: the split.
    ids: N different strings, ``video$_$clip`` in the MMSA format.
    sequences: per modality the features, in memory or lazy (`LazySequences`); a sequence of
        length 0 is an absent modality.
    scores: (N, 1 + K) float64, multimodal first, then the modalities in the data set's order;
        NaN where unknown. For nominal labels the class number.
    tokens: token ids of the text, where the file has them (`text_bert`).
    raw_text: N strings, where the file has them.
    label_names: N words, where the labels are words.
    """

    name: str
    ids: tuple[str, ...]
    sequences: Mapping[str, Ragged]
    scores: NDArray[np.float64]
    tokens: Ragged | None = None
    raw_text: tuple[str, ...] | None = None
    label_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for what, length in (
            *((name, len(lengths)) for name, lengths in self.lengths.items()),
            ("scores", len(self.scores)),
            ("tokens", len(self) if self.tokens is None else len(self.tokens)),
            ("raw_text", len(self) if self.raw_text is None else len(self.raw_text)),
            ("label_names", len(self) if self.label_names is None else len(self.label_names)),
        ):
            if length != len(self):
                raise DataError(
                    f"split '{self.name}', key '{what}': {length} rows found, {len(self)} expected"
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> dict[str, NDArray[np.int64]]:
        """(N,) frames per clip of each modality; nothing is read for it."""
        if isinstance(self.sequences, LazySequences):
            return {name: plan.lengths for name, plan in self.sequences.plans.items()}
        return {name: sequence.lengths for name, sequence in self.sequences.items()}

    @property
    def widths(self) -> dict[str, int]:
        """Numbers per frame of each modality; nothing is read for it."""
        if isinstance(self.sequences, LazySequences):
            return {name: plan.width for name, plan in self.sequences.plans.items()}
        return {name: sequence.width for name, sequence in self.sequences.items()}

    @property
    def videos(self) -> NDArray[np.str_]:
        """(N,) the video of each clip: what stands before ``$_$`` in its id."""
        return np.array([i.split(ID_SEPARATOR)[0] for i in self.ids])

    def take(self, rows: NDArray[np.integer]) -> FeatureTable:
        """The given clips, in the given order."""

        def pick(items: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if items is None else tuple(items[i] for i in rows)

        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows),
            sequences={k: s.take(rows) for k, s in self.sequences.items()},
            scores=self.scores[rows],
            tokens=None if self.tokens is None else self.tokens.take(rows),
            raw_text=pick(self.raw_text),
            label_names=pick(self.label_names),
        )


@dataclass(frozen=True)
class Dataset:
    """The splits of one source.

    splits: name -> table; ``train``, ``valid``, ``test`` in this field, and sometimes
        ``unlabelled``.
    source: where it came from, for messages.
    notices: what was found and mended while reading, one line each; with lazy sequences it grows
        as they are read.
    simulation: the simulator's record (parameters, Bayes limit); None for real data.
    recipe: what the source says of how its features were made, as JSON can hold it.
    sealed_splits: splits that may not be looked at (see `seal`).
    """

    splits: Mapping[str, FeatureTable]
    source: str
    notices: Sequence[str] = ()
    simulation: Mapping[str, Any] | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    sealed_splits: frozenset[str] = field(default_factory=frozenset)

    def __getitem__(self, split: str) -> FeatureTable:
        if split in self.sealed_splits:
            raise SealedSplitError(
                f"split '{split}' is sealed: training and selection may not look at it"
            )
        if split not in self.splits:
            raise DataError(
                f"{self.source}: split '{split}' not found, expected one of {list(self.splits)}"
            )
        return self.splits[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self.splits)

    def __contains__(self, split: object) -> bool:
        return split in self.splits

    def seal(self, *splits: str) -> Dataset:
        """The same data with these splits out of reach."""
        return replace(self, sealed_splits=self.sealed_splits | set(splits))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names in order, the same in all splits."""
        return tuple(next(iter(self.splits.values())).sequences)

    @property
    def widths(self) -> dict[str, int]:
        """Feature width per modality."""
        return next(iter(self.splits.values())).widths

    @property
    def simulated(self) -> bool:
        """Whether this is not real data."""
        return self.simulation is not None

    def fingerprint(self) -> str:
        """SHA-256 over ids, features, tokens, words and labels of all splits: same data, same
        string. Labels are the scores, or, where there are none, the label words.
        """
        digest = hashlib.sha256()
        for name, table in sorted(self.splits.items()):
            digest.update(f"{name}\0".encode())
            for words in (table.ids, table.raw_text or ()):
                digest.update("\0".join(words).encode(errors="surrogatepass"))
            sequences = dict(table.sequences)
            if table.tokens is not None:
                sequences["tokens"] = table.tokens
            for key, ragged in sorted(sequences.items()):
                digest.update(f"{key}\0{ragged.digest()}".encode())
            digest.update(np.ascontiguousarray(table.scores).data)
            if table.label_names is not None and np.isnan(table.scores[:, 0]).all():
                digest.update("\0".join(table.label_names).encode(errors="surrogatepass"))
        return digest.hexdigest()
