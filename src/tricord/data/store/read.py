"""The store: a data set as a folder of mapped arrays, without padding.

``NAME.tricord/`` holds ``manifest.json`` (`tricord.data.store.manifest`) and per split a folder
with ``clips.json`` (ids, words), ``scores.safetensors``, and for each modality and the tokens
``NAME.safetensors``: int64 offsets (N + 1,) and values (F, width), back to back. Which files there
are follows from the manifest; their names are fixed, and a link is not followed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tricord.data.mapped import blocks
from tricord.data.progress import Tick
from tricord.data.regular import read_regular
from tricord.data.schema import Dataset, FeatureTable, Ragged
from tricord.data.store.arrays import map_arrays
from tricord.data.store.folder import PARTIAL
from tricord.data.store.format import (
    SCORES,
    SUFFIX,
    TOKENS,
    WORDS,
    FramesDigest,
    array_file,
    check_offsets,
    check_whole,
    parts_of,
    scores_shape,
)
from tricord.data.store.manifest import (
    MANIFEST,
    FileRecord,
    Manifest,
    SequenceRecord,
    SplitRecord,
    Words,
    parse,
    read_manifest,
    validated,
)
from tricord.errors import DataError


def is_store(path: Path) -> bool:
    """Whether this is meant as a store: a folder with its suffix, or with a manifest."""
    return path.is_dir() and (path.suffix == SUFFIX or (path / MANIFEST).exists())


def read_store(path: str | Path, *, verify: bool = False) -> Dataset:
    """The data set in a store, fit for use; its frames and tokens are mapped, and read-only.

    All but frames and tokens is checked against the manifest. verify: these too, which reads them.
    float16 frames stay so. Raises DataError, one line, where anything does not fit.
    """
    path = Path(path)
    manifest = manifest_of(path)
    splits = {
        str(name): _read_split(path, str(name), record) for name, record in manifest.splits.items()
    }
    dataset = Dataset(
        splits=splits,
        source=str(path),
        notices=tuple(manifest.notices),
        simulation=manifest.simulation,
        recipe=manifest.recipe,
    )
    check_whole(dataset)
    if verify:
        for problem in _damage(dataset):
            raise DataError(problem)
    return dataset


def verify_store(path: str | Path, tick: Tick | None = None) -> list[str]:
    """All that is wrong with a store, one line each; reads all of it.

    tick: told of the bytes of frames and tokens compared, and of all of them.
    """
    try:
        return list(_damage(read_store(path), tick))
    except DataError as error:
        return [str(error)]


def manifest_of(path: Path) -> Manifest:
    """What a store says of itself; raises DataError where there is none, or a broken one."""
    if path.name.endswith(PARTIAL):
        raise DataError(f"{path}: was never finished, expected a store")
    if not path.is_dir():
        raise DataError(f"{path}: no such folder, expected a store")
    return read_manifest(path)


def _read_split(path: Path, name: str, record: SplitRecord) -> FeatureTable:
    folder = path / name
    if folder.is_symlink():
        raise DataError(f"{folder}: is a link, expected a folder")
    place = folder / WORDS
    words = validated(Words, parse(_checked(place, record.words), place), place)
    if len(words.ids) != record.clips:
        raise DataError(f"{place}: {len(words.ids)} ids found, expected {record.clips}")
    sequences = {
        str(modality): _read_sequence(path, name, modality, sequence, record.clips)
        for modality, sequence in record.sequences.items()
    }
    tokens = record.tokens
    return FeatureTable(
        name=name,
        ids=tuple(words.ids),
        sequences=sequences,
        scores=_read_scores(path, name, record),
        tokens=None if tokens is None else _read_sequence(path, name, TOKENS, tokens, record.clips),
        raw_text=None if words.raw_text is None else tuple(words.raw_text),
        label_names=None if words.label_names is None else tuple(words.label_names),
    )


def _checked(path: Path, record: FileRecord) -> bytes:
    """All of a small file, as it was written."""
    data = read_regular(path, record.bytes)
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise DataError(f"{path}: its checksum does not fit, expected it as it was written")
    return data


def _read_scores(path: Path, split: str, record: SplitRecord) -> NDArray[np.float64]:
    place = array_file(path, split, SCORES)
    layout = {SCORES: scores_shape(record.clips, len(record.sequences))}
    scores = map_arrays(place, layout)[SCORES].copy()
    _checked(place, record.scores)
    return scores


def _read_sequence(path: Path, split: str, name: str, record: SequenceRecord, clips: int) -> Ragged:
    place = array_file(path, split, name)
    is_tokens = (record.dtype == "int64", record.width is None)
    if is_tokens != (name == TOKENS,) * 2:
        raise DataError(f"{place}: {record.dtype} of width {record.width} does not belong there")
    arrays = map_arrays(place, record.layout(clips))
    offsets = arrays["offsets"].copy()
    if hashlib.sha256(offsets.data).hexdigest() != record.offsets_sha256:
        raise DataError(f"{place}: the checksum of its offsets does not fit")
    try:
        check_offsets(offsets, record.frames, record.padded_length)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from None
    return Ragged(arrays["values"], offsets, record.padded_length, record.digest)


def _damage(dataset: Dataset, tick: Tick | None = None) -> Iterator[str]:
    """A line for each file whose frames are not what was written."""
    parts = [(t.name, name, part) for t in dataset.splits.values() for name, part in parts_of(t)]
    done, total = 0, sum(part.values.nbytes for _, _, part in parts)
    for split, name, part in parts:
        digest = FramesDigest(part.values.dtype, part.values.shape)
        for rows in blocks(part.values):
            digest.update(part.values[rows])
            done += part.values[rows].nbytes
            if tick is not None:
                tick(done, total)
        if digest.finish(part.offsets) != part.known_digest:
            place = array_file(Path(dataset.source), split, name)
            yield f"{place}: its checksum does not fit, expected it as it was written"
