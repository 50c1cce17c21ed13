"""Computational sequences of the CMU-MultimodalSDK (`.csd`), joined to their labels by time.

A `.csd` file is HDF5: ``/<root>/data/<video>/features`` (n, ...) and ``/intervals`` (n, 2) in
seconds, and ``/<root>/metadata/<field>``, JSON in a string. One file holds the labels: each row is
a segment of a video, and becomes a clip; what the other files hold while it lasts is its content.

Two rules are the SDK's own. A frame is in a segment if they overlap by more than 1e-5 s. Aligned
means: what overlaps a step of the reference, wholly or in part, is averaged without weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tricord.data.readers.csd_labels import decoded, read_labels, split_by
from tricord.data.readers.csd_sequence import Clip, Survey, read_frames, survey
from tricord.data.schema import (
    Dataset,
    FeatureTable,
    LazySequence,
    LazySequences,
    Ragged,
)
from tricord.errors import DataError
from tricord.types import MODALITIES

WORDS = "words"
_PAUSE = "sp"  # how the forced aligner writes silence


@dataclass(frozen=True)
class ColumnRecipe:
    """Columns, counted from 0, that others chose from features of a known width."""

    columns: tuple[int, ...]
    width: int
    source: str


# What the 5 audio and 20 vision columns of the published CMU-MOSI files are.
COLUMN_RECIPES: Mapping[str, ColumnRecipe] = {
    "mosi-covarep-5": ColumnRecipe((1, 3, 6, 25, 60), 74, "pliang279/MFN#4"),
    "mosi-facet-20": ColumnRecipe(
        (0, 2, 5, 10, 11, 12, 14, 17, 20, 21, 22, 24, 25, 29, 30, 31, 32, 36, 37, 40),
        47,
        "pliang279/MFN#4",
    ),
}


def read_csd(
    labels: Path,
    sequences: Mapping[str, Path],
    *,
    align: str | None = None,
    columns: Mapping[str, str | Sequence[int]] | None = None,
    folds: Mapping[str, Collection[str]] | None = None,
    label_column: str | int | None = None,
    first: int = 0,
) -> Dataset:
    """The clips of a label sequence, with their frames of the other sequences.

    labels: row i of a video's labels becomes the clip ``video$_$i``, i counted from ``first``.
    The SDK counts from 0, the MMSA files of CMU-MOSI from 1. In a file that was aligned to the
    labels, entries are named ``video[i]`` and joined by that name.
    sequences: modality -> file. Words instead of numbers, under ``text`` or ``words``, become the
    clips' `raw_text`, without pauses (``sp``), and no modality.
    align: the key of ``sequences`` whose steps all modalities get; each step of the others is the
    plain mean of the frames that overlap it, zeros where there is none. None: frames as they are.
    columns: modality -> columns counted from 0, or the name of one of COLUMN_RECIPES.
    folds: train, valid, test -> names of videos; clips of other videos are left out. None: one
    split, UNSPLIT.
    label_column: number or name; None: the sentiment (a single column, one that the file calls
    so, or the first of MOSEI_LABELS' seven).

    Features are float32, (n, d, ...) flattened, as found where not finite, and read when asked
    for. A clip without a frame of a modality has length 0 there. Rows whose interval is not
    finite or ends before it starts cover no time and go nowhere. All that is counted in the
    notices. Scores of single modalities are NaN.

    Raises DataError, naming file and video: for what `open_csd` refuses, for rows that do not fit
    each other, and where the columns, folds or keys asked for do not exist.
    """
    _check_request(labels, sequences, align)
    clips, notices = read_labels(labels, label_column, first)
    by_split = split_by(labels, clips, folds, notices)
    kept = [clip for part in by_split.values() for clip in part]
    steps: Mapping[str, NDArray[np.float64]] | None = None
    surveys: dict[str, Survey] = {}
    for name in sorted(sequences, key=lambda name: (name != align, name)):  # the reference first
        surveys[name] = survey(name, sequences[name], kept, steps)
        if name == align:
            steps = surveys[name].steps
        notices += surveys[name].notices
    spoken = _words(labels, surveys)
    numeric = {n: surveys[n] for n in _ordered(surveys) if surveys[n].words is None}
    chosen = {n: _columns(s, (columns or {}).get(n)) for n, s in numeric.items()}
    _check_columns(labels, columns, numeric)
    notices += _empty(numeric, kept)
    tables = {
        split: FeatureTable(
            name=split,
            ids=tuple(clip.id for clip in part),
            sequences=LazySequences(
                _plan(s, part, chosen[n], None if n == align else steps) for n, s in numeric.items()
            ),
            scores=_scores(part, len(numeric)),
            raw_text=None if spoken is None else tuple(spoken.get(c.id, "") for c in part),
        )
        for split, part in by_split.items()
    }
    recipe = {name: _recipe(s, chosen.get(name), align) for name, s in surveys.items()}
    return Dataset(splits=tables, source=str(labels), notices=tuple(notices), recipe=recipe)


def _check_request(labels: Path, sequences: Mapping[str, Path], align: str | None) -> None:
    if not sequences:
        raise DataError(f"{labels}: no sequence named, expected at least one of {list(MODALITIES)}")
    if align is not None and align not in sequences:
        raise DataError(
            f"{labels}: asked to align to {align!r}, expected one of {sorted(sequences)}"
        )


# ------------------------------------------------------------------ modalities


def _ordered(names: Collection[str]) -> list[str]:
    known = [name for name in MODALITIES if name in names]
    return known + [name for name in names if name not in known]


def _words(path: Path, surveys: Mapping[str, Survey]) -> dict[str, str] | None:
    """Clip -> its words, of the one sequence that has words."""
    found = [name for name, s in surveys.items() if s.words is not None]
    wrong = [name for name in found if name not in (MODALITIES[0], WORDS)]
    numbers = [WORDS] if WORDS in surveys and WORDS not in found else []
    for name in wrong + numbers:
        what, expected = ("words", "numbers") if name in wrong else ("numbers", "words")
        raise DataError(f"{surveys[name].path}: {what} found, expected {expected} for {name!r}")
    if len(found) > 1:
        raise DataError(f"{path}: two sequences of words given, {found}, expected one")
    if not found:
        return None
    words = surveys[found[0]].words
    assert words is not None
    return {
        clip: " ".join(w for word in spoken if (w := word.strip("\0 \t\r\n")) and w != _PAUSE)
        for clip, spoken in words.items()
    }


def _columns(found: Survey, wanted: str | Sequence[int] | None) -> tuple[int, ...] | None:
    if wanted is None:
        return None
    where = f"{found.path}: columns for {found.name!r}"
    if isinstance(wanted, str):
        if wanted not in COLUMN_RECIPES:
            raise DataError(f"{where}: {wanted!r} asked for, expected one of {[*COLUMN_RECIPES]}")
        recipe = COLUMN_RECIPES[wanted]
        if found.width != recipe.width:
            raise DataError(f"{where}: {found.width} found, expected {recipe.width} for {wanted!r}")
        return recipe.columns
    bad = [c for c in wanted if not 0 <= c < found.width]
    if bad or not wanted:
        asked = bad[0] if bad else "none"
        raise DataError(f"{where}: {asked} asked for, expected some of 0 to {found.width - 1}")
    if len(set(wanted)) < len(wanted):  # a short list of them could stand for any amount of memory
        raise DataError(f"{where}: one of {len(wanted)} asked for twice, expected each once")
    return tuple(wanted)


def _check_columns(
    path: Path, columns: Mapping[str, object] | None, numeric: Mapping[str, Survey]
) -> None:
    unknown = sorted(set(columns or ()) - set(numeric))
    if unknown:
        raise DataError(f"{path}: columns for {unknown[0]!r} asked for, expected {list(numeric)}")


def _empty(numeric: Mapping[str, Survey], clips: list[Clip]) -> list[str]:
    """A notice for clips that have nothing at all."""
    empty = sum(not any(s.lengths[clip.id] for s in numeric.values()) for clip in clips)
    return [f"{empty} of {len(clips)} clips have no frame in any modality"] if empty else []


def _plan(
    found: Survey,
    clips: list[Clip],
    columns: tuple[int, ...] | None,
    steps: Mapping[str, NDArray[np.float64]] | None,
) -> LazySequence:
    lengths = np.array([found.lengths[clip.id] for clip in clips], dtype=np.int64)
    longest = max(found.lengths.values(), default=0)
    width = found.width if columns is None else len(columns)

    def read() -> Ragged:
        values = read_frames(found, clips, steps, columns)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Ragged(values, offsets, longest)

    return LazySequence(found.name, lengths, width, read)


def _scores(clips: list[Clip], modalities: int) -> NDArray[np.float64]:
    scores = np.full((len(clips), 1 + modalities), np.nan)
    scores[:, 0] = [clip.score for clip in clips]
    return scores


def _recipe(found: Survey, columns: tuple[int, ...] | None, align: str | None) -> dict[str, object]:
    """What JSON can hold of how a modality was made."""
    recipe: dict[str, object] = {"file": found.path.name, "sequence": found.root}
    told = {key: decoded(text) for key, text in found.metadata.items() if key != "root name"}
    recipe |= {key: value for key, value in told.items() if value}
    if columns is not None:
        recipe["columns"] = list(columns)
    if align is not None:
        recipe["aligned to"] = align
    return recipe
