"""The label tables of the oldest CH-SIMS release: one file a label, one a split, in ``metadata/``.

``sentiment/label_{M,T,A,V}.csv`` (video_id, clip_id, label), ``{train,val,test}_index.csv`` (index:
row numbers of label_M.csv from 0) and ``Translation.csv`` (video_id, clip_id, Chinese). The layout
is known from programs that read it (MMSA#2, MMSA#16, the CH-SIMS preparation of MERTools), not from
a description by its authors; all but label_M.csv may be missing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tricord.data.readers.delimited import Cells, file_in, read_rows
from tricord.data.readers.label_table import SCORES, LabelTable, names, unknown_scores
from tricord.errors import DataError

METADATA = "metadata/sentiment/label_M.csv"
_LETTERS = "MTAV"  # in the order of SCORES
_INDICES = {"train": "train_index.csv", "valid": "val_index.csv", "test": "test_index.csv"}

_INDEX = "index"

Clip = tuple[str, str]  # video, clip


def read_metadata(folder: Path) -> LabelTable:
    """The rows of label_M.csv, with the other labels and the text joined by video and clip.

    folder: the one that holds ``metadata``. Clips that no index names are left out.

    Raises DataError naming file, line, column, what was found and what was expected; also for a
    clip that two indices name, and for links.
    """
    notices: list[str] = []
    table = _table(folder, METADATA, "label", notices)
    if table is None:
        raise DataError(f"{folder / METADATA}: missing")
    clips = names(table)
    scores = np.full((len(clips), len(SCORES)), np.nan)
    scores[:, 0] = table.numbers("label")
    for place, letter in enumerate(_LETTERS[1:], start=1):
        other = _table(folder, METADATA.replace("_M", f"_{letter}"), "label", notices)
        if other is not None:
            rows, known = _rows(other), other.numbers("label")
            scores[:, place] = [known[rows[c]] if c in rows else np.nan for c in clips]
    notices += unknown_scores(scores, SCORES)
    text = _text(folder, clips, notices)
    modes = _modes(folder, len(clips), notices)
    kept = [row for row, mode in enumerate(modes) if mode] if any(modes) else [*range(len(clips))]
    if len(kept) < len(clips):
        notices.append(f"{len(clips) - len(kept)} clips that no index names left out")
    return LabelTable(
        source=str(folder),
        videos=tuple(clips[row][0] for row in kept),
        clips=tuple(clips[row][1] for row in kept),
        scores=scores[kept],
        text=None if text is None else tuple(text[row] for row in kept),
        modes=tuple(modes[row] for row in kept) if any(modes) else None,
        notices=tuple(notices),
    )


def _table(folder: Path, name: str, column: str, notices: list[str]) -> Cells | None:
    path = file_in(folder, name)
    if path is None:
        return None
    rows, found, _ = read_rows(path)
    notices += [f"{path.name}: {notice}" for notice in found]
    table = Cells(path, rows[0][1], rows[1:])
    table.expect(("video_id", "clip_id", column) if column != _INDEX else (column,))
    return table


def _rows(table: Cells) -> dict[Clip, int]:
    """Clip -> row."""
    rows: dict[Clip, int] = {}
    for row, clip in enumerate(names(table)):
        if clip in rows:
            raise table.error(row, "clip_id", f"clip {clip} found twice, expected once")
        rows[clip] = row
    return rows


def _text(folder: Path, clips: list[Clip], notices: list[str]) -> list[str] | None:
    table = _table(folder, "metadata/Translation.csv", "Chinese", notices)
    if table is None:
        return None
    rows, words = _rows(table), table.column("Chinese")
    missing = sum(clip not in rows for clip in clips)
    if missing:
        notices.append(f"Translation.csv: no text for {missing} of {len(clips)} clips")
    return [words[rows[clip]] if clip in rows else "" for clip in clips]


def _modes(folder: Path, clips: int, notices: list[str]) -> list[str]:
    """The split of each row, "" where no index names it."""
    modes = [""] * clips
    for mode, file in _INDICES.items():
        table = _table(folder, f"metadata/{file}", _INDEX, notices)
        if table is None:
            continue
        for place, number in enumerate(table.numbers(_INDEX).tolist()):
            if not (0 <= number < clips and number.is_integer()):
                raise table.error(
                    place,
                    _INDEX,
                    f"{number:g} found, expected a row of label_M.csv, 0 to {clips - 1}",
                )
            row = int(number)
            if modes[row]:
                raise table.error(
                    place, _INDEX, f"row {row} found, expected one that '{modes[row]}' lacks"
                )
            modes[row] = mode
    return modes
