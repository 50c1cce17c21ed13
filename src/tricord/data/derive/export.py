"""A data set as a pickle in the MMSA layout (section 3.1 of the formats), for other tools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord._version import __version__
from tricord.data.derive.pickle_stream import Rows, dump
from tricord.data.mapped import release
from tricord.data.progress import Steps, Tick
from tricord.data.readers.layout import LABEL, label_key
from tricord.data.schema import NAMED_SPLITS, SPLITS, UNLABELLED, Dataset, FeatureTable, Ragged
from tricord.errors import DataError
from tricord.files import write_atomically
from tricord.types import MODALITIES, Modality

_BLOCK_BYTES = 1 << 23
_CLASS_WORDS = ("negative", "neutral", "positive")
_EXACT = 1 << 24  # token ids up to here are whole numbers in float32


def export_mmsa(dataset: Dataset, path: Path, tick: Tick | None = None) -> tuple[str, ...]:
    """Write a data set that was admitted as an MMSA pickle of protocol 4; returns what to know.

    Arrays are plain (float32 features padded with zeros to the padded length, float64 labels),
    ids and words are lists of strings; `read_mmsa` gives the same data back. The labels of a
    modality are left out of a split where one of them is unknown, as the field's own tool does.
    Beside one sequence as it is kept, only a block of the padded array is in memory.

    Returns one line for each thing that the layout, or the tool it is named after, lacks.
    Raises DataError for splits and modalities that it has no place for, and where the file cannot
    be written.
    """
    _check(dataset)
    progress = Steps(sum(map(_frame_bytes, dataset.splits.values())), tick)
    content: dict[str, Any] = {
        name: _split(table, progress) for name, table in dataset.splits.items()
    }
    content["config"] = {**dataset.recipe, "written_by": f"tricord {__version__}"}
    if dataset.simulation is not None:
        content["config"]["simulation"] = dict(dataset.simulation)

    def write(place: Path) -> None:
        with place.open("wb") as file:
            dump(content, file)

    write_atomically(path, write)
    return tuple(_lacks(dataset))


def _check(dataset: Dataset) -> None:
    unknown = [name for name in dataset.splits if name not in NAMED_SPLITS]
    if unknown:
        raise DataError(
            f"{dataset.source}: split {unknown[0]!r} found, expected only {list(NAMED_SPLITS)}: "
            "make them first (tricord data split)"
        )
    others = [name for name in dataset.modalities if name not in MODALITIES]
    if others:
        raise DataError(
            f"{dataset.source}: key {others[0]!r} found, expected only {list(MODALITIES)}, for "
            "which the MMSA layout has a place"
        )


def _frame_bytes(table: FeatureTable) -> int:
    widths = table.widths
    return sum(int(n.sum()) * widths[name] * 4 for name, n in table.lengths.items())


def _split(table: FeatureTable, progress: Steps) -> dict[str, Any]:
    """The keys of one split; features are made when their turn comes."""
    content: dict[str, Any] = {"id": list(table.ids)}
    if table.raw_text is not None:
        content["raw_text"] = list(table.raw_text)
    if table.tokens is not None:
        content["text_bert"] = _token_rows(table.tokens)
    for name, width in table.widths.items():
        if width:
            content[name] = partial(_padded, table, name, progress)
        if name != Modality.TEXT:
            content[f"{name}_lengths"] = table.lengths[name].astype(np.int64)
    return {**content, **_labels(table)}


def _labels(table: FeatureTable) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    multimodal = table.scores[:, 0]
    if not np.isnan(multimodal).all():
        labels[LABEL] = multimodal.copy()
    for name, column in zip(table.sequences, table.scores.T[1:], strict=True):
        if not np.isnan(column).any():
            labels[label_key(name)] = column.copy()
    words = table.label_names
    if words is not None:
        labels["annotations"] = list(words)
    signed = words is None or {word.lower() for word in words} <= set(_CLASS_WORDS)
    if signed and not np.isnan(multimodal).any():
        labels["classification_labels"] = np.sign(multimodal).astype(np.int64) + 1
    return labels


def _token_rows(tokens: Ragged) -> NDArray[np.generic]:
    """(N, 3, L): ids, attention mask, token types (all 0)."""
    longest = max(1, tokens.padded_length)
    most = int(tokens.values.max(initial=0))
    rows = np.zeros((len(tokens), 3, longest), np.float32 if most < _EXACT else np.int64)
    rows[:, 0, : tokens.padded_length] = tokens.padded()
    rows[:, 1] = np.arange(longest) < tokens.lengths[:, None]
    return rows


def _padded(table: FeatureTable, name: str, progress: Steps) -> Rows:
    """(N, L, width) float32, block by block."""
    ragged = table.sequences[name]
    shape = (len(ragged), max(1, ragged.padded_length), ragged.width)
    return Rows(shape, np.dtype(np.float32), _blocks(ragged, shape, progress))


def _blocks(
    ragged: Ragged, shape: tuple[int, int, int], progress: Steps
) -> Iterator[NDArray[np.float32]]:
    clips, longest, width = shape
    step = max(1, _BLOCK_BYTES // (longest * width * 4))
    for start in range(0, clips, step):
        some = replace(ragged.take(np.arange(start, min(start + step, clips))), known_digest=None)
        release(ragged.values)
        yield replace(some, padded_length=longest).padded().astype(np.float32, copy=False)
        progress.add(some.values.size * 4)


def _lacks(dataset: Dataset) -> Iterator[str]:
    """What other tools will miss, or will read otherwise."""
    first = next(iter(dataset.splits.values()))
    missing = [name for name in SPLITS if name not in dataset]
    missing += [name for name in MODALITIES if not dataset.widths.get(name)]
    missing += ["raw_text"] if first.raw_text is None else []
    missing += ["text_bert"] if first.tokens is None else []
    if missing:
        yield f"not in the data, but expected by MMSA's loader: {', '.join(missing)}"
    for name, table in dataset.splits.items():
        yield from (f"{name}: {line}" for line in _lost(table))


def _lost(table: FeatureTable) -> Iterator[str]:
    unknown = np.isnan(table.scores)
    if unknown[:, 0].any() and table.name != UNLABELLED:
        yield f"{int(unknown[:, 0].sum())} clips without a label, NaN in the file"
    for name, column in zip(table.sequences, unknown.T[1:], strict=True):
        if column.any() and not column.all():
            yield f"{label_key(name)} left out: unknown for {int(column.sum())} clips"
    lengths = table.lengths.get(Modality.TEXT)
    if lengths is None:
        return
    if table.tokens is not None and (other := int((lengths != table.tokens.lengths).sum())):
        yield f"{other} clips whose text is not as long as the attention mask says"
    has_frames = table.tokens is None and table.widths[Modality.TEXT] > 0
    if has_frames and (absent := int((lengths == 0).sum())):
        yield f"{absent} clips without text, which readers take for one frame of zeros"
