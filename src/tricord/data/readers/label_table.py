"""The label tables of this field: one row a clip, columns by name.

``label.csv`` of MMSA (CH-SIMS, CMU-MOSI, CMU-MOSEI), ``meta.csv`` of CH-SIMS v2 (same columns), and
CMU-MOSI's own ``OpinionLevelSentiment.csv``, which has no header. The oldest CH-SIMS release is
read by `ch_sims_metadata`. What CMU publishes of MOSEI are tables of each annotator's answers and
``.csd`` files: the former are not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from tricord.data.readers.delimited import (
    Cells,
    is_number,
    named,
    number,
    read_rows,
    shown,
    unknown,
)
from tricord.data.schema import (
    ID_SEPARATOR,
    NAMED_SPLITS,
    UNLABELLED,
    UNSPLIT,
    Dataset,
    FeatureTable,
    Ragged,
)
from tricord.types import MODALITIES

SCORES = ("label", "label_T", "label_A", "label_V")  # as the columns of `LabelTable.scores`
MODES = {
    **{name: name for name in NAMED_SPLITS},
    **dict.fromkeys(("val", "dev", "validation"), "valid"),
}
_COLUMNS = ("video_id", "clip_id", "file", "text", *SCORES, "annotation", "mode", "speaker")
_CMU = ("start", "end", "video_id", "clip_id", "label")
_SUFFIX = re.compile(r"\.([A-Za-z][A-Za-z0-9]{1,4}|3g[p2])$", re.IGNORECASE)


@dataclass(frozen=True)
class LabelTable:
    """N clips in the order of the file, as found: an id may be there twice.

    source: the file. videos, clips: N names, as written ("0001" keeps its zeros); where the table
    has a column ``file``, a clip is its name without suffix and a video the folder it is in, or,
    where it is in none, the name, and the clip is "".
    scores: (N, 4) float64, of the clip, its text, audio and vision; NaN where unknown.
    text, words (labels that are words), annotations, modes (train, valid or test), speakers, paths
    (the column ``file``, as written), each N strings or None: not in the file. files: whether
    clips are named by ``file``. lines: of the file, N numbers: where each row begins.
    notices: what was found and mended, one line each.
    """

    source: str
    videos: tuple[str, ...]
    clips: tuple[str, ...]
    scores: NDArray[np.float64]
    text: tuple[str, ...] | None = None
    words: tuple[str, ...] | None = None
    annotations: tuple[str, ...] | None = None
    modes: tuple[str, ...] | None = None
    speakers: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    files: bool = False
    lines: tuple[int, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """``video$_$clip``, N of them."""
        pairs = zip(self.videos, self.clips, strict=True)
        return tuple(f"{video}{ID_SEPARATOR}{clip}" if clip else video for video, clip in pairs)

    def splits(
        self, sequences: Callable[[NDArray[np.intp]], Mapping[str, Ragged]]
    ) -> dict[str, FeatureTable]:
        """A table per split that the modes name, UNSPLIT among them; that one without modes.

        Clips whose label is no word, where others have one, are in that of unlabelled clips.
        sequences: the features of these rows. Scores are those of the modalities it names.
        """
        modes = np.array(self.modes or (UNSPLIT,) * len(self.videos))
        modes = modes if self.words is None else np.where(unknown(self.words), UNLABELLED, modes)
        return {
            name: self._split(name, np.flatnonzero(modes == name), sequences)
            for name in (UNSPLIT, *NAMED_SPLITS)
            if name in modes
        }

    def _split(
        self,
        name: str,
        rows: NDArray[np.intp],
        sequences: Callable[[NDArray[np.intp]], Mapping[str, Ragged]],
    ) -> FeatureTable:
        def pick(items: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if items is None else tuple(items[row] for row in rows)

        features = sequences(rows)
        columns = [0, *(1 + MODALITIES.index(modality) for modality in features)]
        wordless = name == UNLABELLED and self.words is not None  # "" is no word
        return FeatureTable(
            name=name,
            ids=pick(self.ids) or (),
            sequences=features,
            scores=self.scores[rows][:, columns],
            raw_text=pick(self.text),
            label_names=None if wordless else pick(self.words or self.annotations),
        )


def read_label_table(path: Path) -> LabelTable:
    """The rows of a label table, comma, semicolon or tab separated.

    Columns, in any order and case: ``video_id`` and ``clip_id``, or ``file``; all others may be
    absent: ``text``, ``label`` (numbers or words), ``label_T``, ``label_A``, ``label_V``,
    ``annotation``, ``mode`` (train, valid, test; also val, dev, validation for valid), ``speaker``.
    Decimal commas are read where semicolons separate. Notices say what was guessed or mended.

    Raises DataError naming file, line, column, what was found and what was expected.
    """
    rows, notices, separator = read_rows(path)
    if _is_cmu(rows[0][1]):
        header = list(_CMU)
        notices.append("no header: read as CMU-MOSI's start, end, video, segment, score")
    else:
        header = rows.pop(0)[1]
    table = Cells(path, header, rows, separator)
    table.expect(("video_id", "clip_id"), ("file",))
    by_file = "video_id" not in table or "clip_id" not in table
    videos, clips = zip(*(_clip_names(table) if by_file else names(table)), strict=True)
    words = _words(table, notices)
    scores = _scores(table, words, notices)
    modes = _modes(table, notices) if "mode" in table else None
    unused = [name for name in table.header if name.lower() not in map(str.lower, _COLUMNS)]
    if unused:
        notices.append(f"columns not used: {named(unused, 10)}")
    return LabelTable(
        source=str(path),
        videos=videos,
        clips=clips,
        scores=scores,
        text=table.column("text") if "text" in table else None,
        words=words,
        annotations=table.names("annotation") if "annotation" in table else None,
        modes=modes,
        speakers=table.names("speaker") if "speaker" in table else None,
        paths=table.names("file") if "file" in table else None,
        files=by_file,
        lines=tuple(line for line, _ in rows),
        notices=tuple(notices),
    )


def read_label_file(path: Path) -> Dataset:
    """The clips of a label table (see `read_label_table`) as a data set without features."""
    return without_features(read_label_table(path))


def without_features(table: LabelTable) -> Dataset:
    """A data set in which every modality is there and absent for every clip: length 0, width 0.

    So that scores have all four columns and D_msc and D_msi can be told.
    """

    def nothing(rows: NDArray[np.intp]) -> dict[str, Ragged]:
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        return {name: Ragged(np.zeros((0, 0), np.float32), offsets, 0) for name in MODALITIES}

    return Dataset(
        splits=table.splits(nothing),
        source=table.source,
        notices=("labels only, no features", *table.notices),
    )


def names(table: Cells) -> list[tuple[str, str]]:
    """(video, clip) of every row, from ``video_id`` and ``clip_id``.

    Raises DataError for an empty name and for one that holds what joins the two in an id.
    """
    columns = {name: table.names(name) for name in ("video_id", "clip_id")}
    for name, cells in columns.items():
        for row, cell in enumerate(cells):
            if not cell or ID_SEPARATOR in cell:
                raise table.error(
                    row, name, f"{shown(cell)} found, expected a name without '{ID_SEPARATOR}'"
                )
    return list(zip(*columns.values(), strict=True))


def path_within(cell: str) -> PurePosixPath | None:
    """The path that a cell of ``file`` names, below its folder; None where it names none."""
    path = PurePosixPath(cell.replace("\\", "/"))
    leads_out = path.is_absolute() or ".." in path.parts
    return None if leads_out or not _SUFFIX.sub("", path.name) else path


def name_of(path: PurePosixPath) -> tuple[str, str]:
    """(video, clip) of a file: its folder and its name without suffix; its name and "" in none."""
    stem = _SUFFIX.sub("", path.name)
    return (path.parent.name, stem) if path.parent.name else (stem, "")


def _clip_names(table: Cells) -> list[tuple[str, str]]:
    pairs = []
    for row, cell in enumerate(table.names("file")):
        path = path_within(cell)
        if path is None:
            raise table.error(
                row, "file", f"{shown(cell)} found, expected the path of a file in the folder"
            )
        pairs.append(name_of(path))
    return pairs


def _words(table: Cells, notices: list[str]) -> tuple[str, ...] | None:
    """The labels, where those that are known are words; raises DataError where only some are."""
    if "label" not in table:
        return None
    cells = table.names("label")
    bare = unknown(cells)
    known = np.flatnonzero(~bare).tolist()
    # A decimal comma makes no word: it is read, or refused, as a number.
    numbers = [row for row in known if is_number(cells[row].replace(",", ".").rstrip("% "))]
    words = len(known) - len(numbers)
    if len(numbers) >= words:  # a word among them is refused as a number
        return None
    if numbers:
        found = f"{shown(cells[numbers[0]])} found, expected a word as in {words} other rows"
        raise table.error(numbers[0], "label", found)
    notices.append("label: words, taken as names of classes")
    if bare.any():
        notices.append(f"label: unknown for {bare.sum()} of {len(cells)} clips, now '{UNLABELLED}'")
    return cells


def _scores(table: Cells, words: tuple[str, ...] | None, notices: list[str]) -> NDArray[np.float64]:
    scores = np.full((len(table.rows), len(SCORES)), np.nan)
    for place, name in enumerate(SCORES):
        if name in table and (place or words is None):
            scores[:, place] = table.numbers(name)
            if any("," in cell for cell in table.column(name)):
                notices.append(f"{name}: commas read as decimal points")
    expected = SCORES if words is None else SCORES[1:]
    notices += unknown_scores(scores[:, -len(expected) :], expected)
    return scores


def unknown_scores(scores: NDArray[np.float64], columns: Sequence[str]) -> list[str]:
    """Notices of the scores that are not known. scores: (N, number of columns)."""
    missing = dict(zip(columns, np.isnan(scores).sum(axis=0), strict=True))
    absent = [name for name, count in missing.items() if count == len(scores)]
    notices = [f"{', '.join(absent)}: unknown for all clips"] if absent else []
    return notices + [
        f"{name}: unknown for {count} of {len(scores)} clips"
        for name, count in missing.items()
        if 0 < count < len(scores)
    ]


def _modes(table: Cells, notices: list[str]) -> tuple[str, ...] | None:
    cells = table.names("mode")
    if not any(cells):
        notices.append("mode: empty, all clips in one split")
        return None
    other: Counter[str] = Counter()
    for row, cell in enumerate(cells):
        if cell.lower() not in MODES:
            raise table.error(
                row, "mode", f"{shown(cell)} found, expected one of {list(NAMED_SPLITS)}"
            )
        if cell not in NAMED_SPLITS:
            other[cell] += 1
    notices += [
        f"mode: {shown(cell)} read as '{MODES[cell.lower()]}', {n} clips"
        for cell, n in other.items()
    ]
    return tuple(MODES[cell.lower()] for cell in cells)


def _is_cmu(cells: list[str]) -> bool:
    """Whether a first row is one of OpinionLevelSentiment.csv: two times, names, a score."""
    if len(cells) != len(_CMU):
        return False
    start, end, video, segment, score = map(str.strip, cells)
    known = [number(cell) for cell in (start, end, score)]
    return None not in known and bool(video) and segment.isascii() and segment.isdigit()
