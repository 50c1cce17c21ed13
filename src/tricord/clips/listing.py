"""Which clips there are: the media files of a folder, and the rows of a label table that name them.

The table has a column ``file`` (path in the folder, with or without suffix), or ``video_id`` and
``clip_id``, whose file is one of ``v/c.*``, ``Raw/v/c.*``, ``v_c.*``, ``v$_$c.*``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from tricord.clips.clip import Clip
from tricord.clips.finding import Index, shortened, walk
from tricord.clips.notices import (
    in_lines,
    look_alikes,
    of_clips,
    of_labels,
    of_missing,
    of_the_table,
    of_videos,
)
from tricord.data.readers.delimited import named, read_rows, shown, unknown
from tricord.data.readers.label_table import LabelTable, path_within, read_label_table
from tricord.data.schema import ID_SEPARATOR, UNLABELLED, UNSPLIT
from tricord.errors import DataError
from tricord.words.transcripts import one_line, read, sidecar

_RAW = "Raw"  # the folder of MMSA's releases in which the videos lie


@dataclass(frozen=True)
class ClipTable:
    """N clips, in the order of the table's rows.

    table: the labels; its text is that of the clips. groups: the speaker of each clip, None where
    the table names none. missing: rows whose file is not there; their clips cannot be opened.
    labelled: (N,) whether a row has a label; where only some have one, the modes of the table put
    the others into the split "unlabelled".
    notices: what was found and decided, one line each.
    """

    clips: tuple[Clip, ...]
    table: LabelTable
    groups: tuple[str, ...] | None
    missing: tuple[int, ...]
    labelled: NDArray[np.bool_]
    notices: tuple[str, ...]


def find_media(folder: Path) -> list[Path]:
    """The media files of a folder and its sub-folders, by their suffix, in natural order.

    Hidden files and symbolic links are left out. Raises DataError where a folder cannot be read.
    """
    return list(walk(folder).media)


def read_clips(folder: Path, labels: Path) -> ClipTable:
    """The clips that a label table names, with their files in the folder.

    What is said in a clip is the table's ``text``, or else the transcript beside the file.
    Raises DataError where the table cannot be used (see `read_label_table`), has no column
    ``label``, names a clip or file twice, a place outside the folder or a link, where a name fits
    several files, and where no file is found.
    """
    found = walk(folder)
    table = read_label_table(labels)
    labelled = _labelled(table)
    if not labelled.any():
        _expect_labels(labels)
    _expect_different(table, table.ids, "the same clip")
    index = Index(folder, found.media)
    paths = [_file_of(index, table, row) for row in range(len(table.videos))]
    missing = tuple(row for row, path in enumerate(paths) if not path.is_file())
    _expect_some(table, folder, found.media, paths, missing)
    _expect_different(table, [str(path) for path in paths], "the same file")
    texts, notices = _texts(table, paths, missing)
    clips = tuple(map(Clip, table.ids, paths, texts))
    groups, about_groups = _groups(table)
    if any(texts):
        table = replace(table, text=tuple(text or "" for text in texts))
    if 0 < labelled.sum() < len(labelled):
        table = replace(table, modes=_modes(table, labelled))
    return ClipTable(
        clips=clips,
        table=table,
        groups=groups,
        missing=missing,
        labelled=labelled,
        notices=(
            *of_the_table(table),
            *of_missing(table, folder, paths, missing),
            *of_labels(table, labelled),
            *notices,
            *about_groups,
        ),
    )


def _file_of(index: Index, table: LabelTable, row: int) -> Path:
    """The file of a row, or where it should be."""
    cell = "" if table.paths is None else table.paths[row]
    try:
        names = [_checked(cell)] if cell else _places(table.videos[row], table.clips[row])
        return index.find(names)
    except DataError as error:
        raise DataError(f"{table.source}: line {table.lines[row]}: {error}") from None


def _checked(cell: str) -> PurePosixPath:
    path = path_within(cell)
    if path is None:
        raise DataError(f"file {shown(cell)} found, expected the path of a file in the folder")
    return path


def _places(video: str, clip: str) -> list[PurePosixPath]:
    """Where the file of a video_id and clip_id may be."""
    for name in (video, clip):
        if "/" in name or "\\" in name or name in (".", ".."):
            raise DataError(f"name {shown(name)} found, expected one without '/'")
    forms = (f"{video}/{clip}", f"{_RAW}/{video}/{clip}")
    flat = (f"{video}_{clip}", f"{video}{ID_SEPARATOR}{clip}")
    return [PurePosixPath(form) for form in (*forms, *flat)]


def _labelled(table: LabelTable) -> NDArray[np.bool_]:
    if table.words is not None:
        return ~unknown(table.words)
    return np.asarray(~np.isnan(table.scores[:, 0]))


def _modes(table: LabelTable, labelled: NDArray[np.bool_]) -> tuple[str, ...]:
    modes = (UNSPLIT,) * len(labelled) if table.modes is None else table.modes
    pairs = zip(modes, labelled, strict=True)
    return tuple(mode if known else UNLABELLED for mode, known in pairs)


def _expect_labels(path: Path) -> None:
    """Raises DataError for a table that has no label at all since it has no column for it."""
    header = [cell.strip() for cell in read_rows(path)[0][0][1]]
    if "label" not in map(str.lower, header):
        raise DataError(f"{path}: columns {named(header, 10)} found, expected 'label' among them")


def _expect_different(table: LabelTable, names: Sequence[str], what: str) -> None:
    first: dict[str, int] = {}
    for line, name in zip(table.lines, names, strict=True):
        if name in first:
            raise DataError(
                f"{table.source}: lines {first[name]} and {line}: {what} found, "
                f"{shown(name)}, expected one row for each (files of the same name in two folders "
                "need columns 'video_id' and 'clip_id' beside 'file')"
            )
        first[name] = line


def _expect_some(
    table: LabelTable,
    folder: Path,
    media: Sequence[Path],
    paths: Sequence[Path],
    missing: Sequence[int],
) -> None:
    if len(missing) < len(paths):
        return
    wanted = named(shortened(path, folder) for path in paths)
    there = named(shortened(path, folder) for path in media) or "no audio or video"
    raise DataError(
        f"{table.source}: none of its {len(paths)} clips found in {folder}: looked for {wanted}; "
        f"there are: {there}"
    )


def _texts(
    table: LabelTable, paths: Sequence[Path], missing: Sequence[int]
) -> tuple[list[str | None], list[str]]:
    """What is said in each clip, and notices of where it comes from."""
    texts: list[str | None] = []
    beside, absent = 0, set(missing)
    bad: list[str] = []
    guessed: list[str] = []
    for row, path in enumerate(paths):
        cell = "" if table.text is None else table.text[row].strip()
        if not cell and row not in absent:
            try:
                cell, notes = spoken(path)
                guessed += notes
            except DataError as error:
                bad.append(str(error))
            beside += bool(cell)
        texts.append(cell or None)
    silent = [row for row, text in enumerate(texts) if text is None]
    notices = []
    if beside:
        notices.append(f"text: from the transcripts beside {beside} of {len(paths)} clips")
    if silent:
        notices.append(f"text: none for {of_clips(silent, texts)}{in_lines(table, silent)}")
    for what, lines in (("cannot be read", bad), ("are odd", guessed)):
        if lines:
            notices.append(f"text: transcripts that {what}: {len(lines)}, such as {lines[0]}")
    return texts, notices


def spoken(path: Path) -> tuple[str, tuple[str, ...]]:
    """The transcript beside a clip on one line, "" where there is none, and what to know of it.

    Raises DataError where it cannot be read or is a link.
    """
    place = sidecar(path)
    if place is None:
        return "", ()
    if place.is_symlink():
        raise DataError(f"{place}: is a link, expected a transcript")
    found = read(place)
    return one_line(found.text), found.notices


def _groups(table: LabelTable) -> tuple[tuple[str, ...] | None, list[str]]:
    """The speaker of each clip, and notices about what that means for splits."""
    if table.speakers is None or not any(table.speakers):
        return None, of_videos(table)
    empty = [row for row, name in enumerate(table.speakers) if not name]
    pairs = zip(table.speakers, table.videos, strict=True)
    groups = tuple(name or video for name, video in pairs)
    notices = look_alikes(table.speakers, "speaker", "two speakers")
    if empty:
        notices.append(
            f"speaker: empty for {of_clips(empty, groups)}{in_lines(table, empty)}: taken to be "
            "the folder or video"
        )
    return groups, notices
