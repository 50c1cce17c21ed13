"""Writing a store, one sequence of the source in memory at a time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tricord.data.mapped import blocks
from tricord.data.progress import Steps, Tick
from tricord.data.schema import NAMED_SPLITS, UNSPLIT, Dataset, FeatureTable, Ragged
from tricord.data.store.arrays import ArrayFile
from tricord.data.store.folder import new_folder
from tricord.data.store.format import (
    SCORES,
    SUFFIX,
    TOKENS,
    WORDS,
    FramesDigest,
    array_file,
    check_offsets,
    check_whole,
    scores_shape,
)
from tricord.data.store.manifest import (
    MANIFEST,
    FileRecord,
    Manifest,
    Provenance,
    SequenceRecord,
    SplitRecord,
    file_sha256,
    plain,
    provenance_of,
    write_manifest,
    write_text,
)
from tricord.errors import DataError
from tricord.types import MODALITIES, Polarity

FRAME_TYPES = ("float32", "float16")
_SPARE_BYTES = 1 << 24  # beside the frames: words, labels, the manifest


def write_store(
    dataset: Dataset,
    path: str | Path,
    *,
    dtypes: Mapping[str, str] | None = None,
    overwrite: bool = False,
    tick: Tick | None = None,
    provenance: Provenance | None = None,
    polarity: Polarity | None = None,
) -> None:
    """Write a data set that was admitted (`tricord.data.admit`) as a store, whole or not at all.

    A lazy sequence is read once, written, and let go before the next. What `read_store` gives
    back is the same to the bit, but for frames asked to be float16 and not finite numbers in the
    recipe, which become text.

    path: ``NAME.tricord``; must be new, or a store with ``overwrite``, which then stays until the
    new one is whole. dtypes: modality -> how its frames are kept; float32 unless told, and
    float16 where they are already. provenance: of the source (see `provenance_of`).
    polarity: what a score of 0 counts as.

    Raises DataError, and leaves nothing behind, for frames that are not finite or that float16
    cannot hold, for what a store has no place for, and where the disk does not have the room.
    """
    path = Path(path)
    dtypes = {} if dtypes is None else dtypes
    check_place(path, overwrite)
    _check_content(dataset, dtypes)
    check_whole(dataset)
    total = sum(_frames_bytes(table, dtypes) for table in dataset.splits.values())
    _check_room(path, total)
    progress = Steps(total, tick)
    with new_folder(path, replace=overwrite) as folder:
        writers = {
            name: _SplitWriter(dataset.source, folder, replace(table, name=name), dtypes, progress)
            for name, table in dataset.splits.items()
        }
        records = {name: writer.write() for name, writer in writers.items()}
        progress.finish()
        shortened = dict.fromkeys(line for w in writers.values() for line in w.notices)
        manifest = Manifest(
            provenance=provenance or provenance_of(Path(dataset.source), None),
            recipe=plain(dataset.recipe, f"{dataset.source}: the recipe"),
            label_ranges=_label_ranges(dataset),
            polarity=None if polarity is None else polarity.value,
            splits=records,  # type: ignore[arg-type]
            notices=[*dataset.notices, *shortened],  # these grow as lazy sequences are read
            simulation=None
            if dataset.simulation is None
            else plain(dataset.simulation, f"{dataset.source}: the record of the simulation"),
        )
        write_manifest(folder, manifest)


class _SplitWriter:
    def __init__(
        self,
        source: str,
        folder: Path,
        table: FeatureTable,
        dtypes: Mapping[str, str],
        progress: Steps,
    ) -> None:
        self.source, self.folder, self.table = source, folder, table
        self.dtypes, self.progress = dtypes, progress
        self.notices: list[str] = []

    def write(self) -> SplitRecord:
        table = self.table
        (self.folder / table.name).mkdir()
        words = {"ids": table.ids, "raw_text": table.raw_text, "label_names": table.label_names}
        return SplitRecord(
            clips=len(table),
            words=self._write_words(words),
            scores=self._write_scores(),
            # one after the other: only one of them is in memory
            sequences={name: self._write(name, table.sequences[name]) for name in table.sequences},  # type: ignore[misc]
            tokens=None if table.tokens is None else self._write(TOKENS, table.tokens),
        )

    def _error(self, key: str, problem: str) -> DataError:
        return DataError(f"{self.source}: split '{self.table.name}', key '{key}': {problem}")

    def _write_words(self, words: Mapping[str, tuple[str, ...] | None]) -> FileRecord:
        text = json.dumps(words)
        for key, found in json.loads(text).items():
            if found is not None and tuple(found) != words[key]:
                raise self._error(key, "text that is no Unicode found")
        return write_text(self.folder / self.table.name / WORDS, text)

    def _write_scores(self) -> FileRecord:
        scores, expected = self.table.scores, scores_shape(len(self.table), len(self.table.widths))
        if scores.shape != expected.dimensions:
            raise self._error(SCORES, f"shape {scores.shape} found, expected {expected.dimensions}")
        if np.isinf(scores).any():
            raise self._error(SCORES, "infinite labels found, expected finite ones or NaN")
        place = array_file(self.folder, self.table.name, SCORES)
        with ArrayFile(place, {SCORES: expected}) as file:
            file.write(SCORES, scores)
        return FileRecord(bytes=place.stat().st_size, sha256=file_sha256(place))

    def _write(self, name: str, ragged: Ragged) -> SequenceRecord:
        offsets = ragged.offsets.astype(np.int64, copy=False)
        if ragged.values.ndim != (1 if name == TOKENS else 2):
            raise self._error(name, f"an array of shape {ragged.values.shape} found")
        try:
            check_offsets(offsets, len(ragged.values), ragged.padded_length)
        except ValueError as error:
            raise self._error(name, f"{error} found") from None
        values = ragged.values
        dtype = "int64" if name == TOKENS else _dtype(name, values.dtype, self.dtypes)
        record = SequenceRecord(
            dtype=dtype,
            width=None if name == TOKENS else ragged.width,
            frames=len(values),
            padded_length=int(ragged.padded_length),
            digest="0" * 64,
            offsets_sha256=hashlib.sha256(offsets.data).hexdigest(),
        )
        digest = FramesDigest(np.dtype(dtype), values.shape)
        place = array_file(self.folder, self.table.name, name)
        with ArrayFile(place, record.layout(len(ragged))) as file:
            file.write("offsets", offsets)
            for start, frames in self._converted(name, values, np.dtype(dtype)):
                file.write("values", frames, start)
                digest.update(frames)
                self.progress.add(frames.nbytes)
        if dtype == "float16" != values.dtype:
            self.notices.append(f"{name}: kept as float16")
        return record.model_copy(update={"digest": digest.finish(offsets)})

    def _converted(
        self, name: str, values: NDArray[Any], dtype: np.dtype[Any]
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Blocks of frames and where they begin; raises DataError where a cell is not finite."""
        too_large = np.zeros(values.shape[1:], dtype=np.bool_)
        for rows in blocks(values):
            with np.errstate(over="ignore"):
                frames = values[rows].astype(dtype, copy=False)
            if dtype.kind == "f" and not np.isfinite(frames).all():
                if not np.isfinite(values[rows]).all():
                    raise self._error(name, "NaN or infinite cells found, expected finite numbers")
                too_large |= ~np.isfinite(frames).all(axis=0)
            yield rows.start, frames
        if too_large.any():
            raise self._error(
                name,
                f"{too_large.sum()} of {too_large.size} columns found that {dtype} cannot hold "
                f"(beyond {np.finfo(dtype).max:g})"
                + (f"; keep {name} in float32" if dtype == np.float16 else ""),
            )


def _dtype(
    name: str, found: np.dtype[Any], dtypes: Mapping[str, str]
) -> Literal["float32", "float16"]:
    return "float16" if dtypes.get(name, str(found)) == "float16" else "float32"


def _frames_bytes(table: FeatureTable, dtypes: Mapping[str, str]) -> int:
    """Bytes of all frames and tokens; nothing is read for it."""
    tokens = 0 if table.tokens is None else table.tokens.values.size * np.dtype(np.int64).itemsize
    widths, lengths = table.widths, table.lengths
    return tokens + sum(
        int(lengths[k].sum()) * widths[k] * np.dtype(dtypes.get(k, "float32")).itemsize
        for k in widths
    )


def _check_content(dataset: Dataset, dtypes: Mapping[str, str]) -> None:
    """That a store has a place for all of it. Raises DataError."""
    if not dataset.splits:
        raise DataError(f"{dataset.source}: no split found, expected at least one")
    known = {
        "split": (dataset.splits, (*NAMED_SPLITS, UNSPLIT)),
        "modality": (dataset.modalities, MODALITIES),
    }
    for what, (names, possible) in known.items():
        for name in names:
            if name not in possible:
                raise DataError(
                    f"{dataset.source}: {what} '{name}' found, expected one of {list(possible)}"
                )
    for name, dtype in dtypes.items():
        if name not in dataset.modalities:
            raise DataError(
                f"a dtype for '{name}' asked for, expected one of {list(dataset.modalities)}"
            )
        if dtype not in FRAME_TYPES:
            raise DataError(
                f"{name}: dtype {dtype!r} asked for, expected one of {list(FRAME_TYPES)}"
            )


def check_place(path: Path, overwrite: bool) -> None:
    """That a store may be written there. Raises DataError."""
    if path.suffix != SUFFIX:
        raise DataError(f"{path}: expected a name that ends in {SUFFIX}")
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise DataError(f"{path}: exists and is no store, expected a new name")
    if path.exists() and not overwrite:
        raise DataError(f"{path}: exists already; name a new store, or overwrite it (--overwrite)")
    if path.exists() and any(path.iterdir()) and not (path / MANIFEST).is_file():
        raise DataError(f"{path}: holds other files than a store's, which are not overwritten")
    there = next(place for place in path.absolute().parents if os.path.lexists(place))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise DataError(f"{path}: nothing can be written to {there}, expected a folder of yours")


def _check_room(path: Path, needed: int) -> None:
    """Raises DataError where the disk is too full for it, before anything is written."""
    place = next((p for p in path.absolute().parents if p.is_dir()), None)
    if place is None:
        return
    free = shutil.disk_usage(place).free
    if needed + _SPARE_BYTES > free:
        raise DataError(
            f"{path}: needs {needed / 1e6:.0f} MB, and the disk has {free / 1e6:.0f} MB left"
        )


def _label_ranges(dataset: Dataset) -> dict[str, list[float] | None]:
    """Least and greatest label of the clip and of each modality, in all splits."""
    scores = np.concatenate([table.scores for table in dataset.splits.values()])
    ranges: dict[str, list[float] | None] = {}
    for name, column in zip(("multimodal", *dataset.modalities), scores.T, strict=True):
        known = column[~np.isnan(column)]
        ranges[name] = [float(known.min()), float(known.max())] if len(known) else None
    return ranges
