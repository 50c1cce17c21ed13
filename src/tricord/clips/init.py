"""A label table to fill in, made of a folder of clips; or what the one that is there lacks."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tricord.clips.finding import Found, walk
from tricord.clips.listing import ClipTable, read_clips, spoken
from tricord.clips.problems import Looked, Problem, can_be_named, look, problem, problems_of
from tricord.data.readers.label_table import name_of
from tricord.errors import DataError
from tricord.files import write_atomically
from tricord.media.source import KNOWN, require_av

NAME = "label.csv"
COLUMNS = ("file", "label", "text", "speaker")
# Folders of these names hold clips of a class, not of a person.
CLASSES = frozenset(
    (
        *("angry", "anger", "annoyed", "bored", "boredom", "calm", "contempt", "disgust"),
        *("disgusted", "excited", "excitement", "fear", "fearful", "frustrated", "frustration"),
        *("happy", "happiness", "joy", "love", "negative", "neutral", "positive", "relaxed"),
        *("sad", "sadness", "scared", "surprise", "surprised"),
    )
)
_FORMULA = ("=", "+", "-", "@")  # how a cell begins that spreadsheet programs compute
_LONGEST = 100_000  # characters of a text; a cell of a table holds 131,072


@dataclass(frozen=True)
class Row:
    """A line of the table: what is known of a clip."""

    file: str
    label: str
    text: str
    speaker: str


@dataclass(frozen=True)
class Report:
    """What was found in a folder of clips.

    labels: the table. written: whether it was made now; else it was there, and `table` is what it
    says, and new the clips that it does not name. looked: the clips that can be read. rows: what
    was written, or would have been. problems: the worst first.
    """

    folder: Path
    labels: Path
    written: bool
    looked: tuple[Looked, ...]
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    table: ClipTable | None = None
    new: tuple[str, ...] = ()


def init_labels(
    folder: Path,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    tick: Callable[[int, int], object] | None = None,
) -> Report:
    """Look at every clip of a folder and write a label table to fill in.

    out: the table, else ``label.csv`` in the folder. One that is there is left as it is unless
    ``overwrite``, and compared with the folder instead. Its text is from the transcripts beside
    the clips; the speaker is the folder that a clip lies in, where clips lie in several.
    tick: is told how many files were looked at, and of how many.

    Raises DataError where the folder has no clip that can be read, where the table that is there
    cannot be used (see `read_clips`), and for a place that is no file.
    """
    labels = folder / NAME if out is None else out
    found = walk(folder)
    if not found.media:
        raise DataError(f"{folder}: no audio or video file found, expected such as {KNOWN}")
    require_av(folder)
    keep = os.path.lexists(labels) and not overwrite
    _check_place(labels)
    table = read_clips(folder, labels) if keep else None
    looked = _look(folder, found, tick)
    usable = tuple(item for item in looked if item.info and can_be_named(item.file))
    if not usable:
        first = looked[0]
        why = f"{first.file}: {first.error}" if first.error else f"{first.file!r}: rename it"
        raise DataError(f"{folder}: none of its {len(looked)} files can be used, such as {why}")
    rows, about_texts = _rows(usable)
    if table is None:
        _write(labels, rows)
    named = () if table is None else {clip.path for clip in table.clips}
    return Report(
        folder=folder,
        labels=labels,
        written=table is None,
        looked=usable,
        rows=rows,
        problems=(*problems_of(looked, found, folder), *about_texts),
        table=table,
        new=() if table is None else tuple(i.file for i in usable if i.path not in named),
    )


def _check_place(labels: Path) -> None:
    if labels.suffix.lower() != ".csv":
        raise DataError(f"{labels}: name found, expected one that ends in .csv")
    if os.path.lexists(labels) and (labels.is_symlink() or not labels.is_file()):
        raise DataError(f"{labels}: is a folder or a link, expected a file")


def _look(
    folder: Path, found: Found, tick: Callable[[int, int], object] | None
) -> tuple[Looked, ...]:
    looked = []
    for path in found.media:
        looked.append(look(path, folder))
        if tick is not None:
            tick(len(looked), len(found.media))
    return tuple(looked)


def _rows(usable: Sequence[Looked]) -> tuple[tuple[Row, ...], tuple[Problem, ...]]:
    names = [name_of(PurePosixPath(item.file)) for item in usable]
    folders = [video if clip else "" for video, clip in names]
    several = len(set(filter(None, folders))) > 1
    classes = several and all(name.lower() in CLASSES for name in folders)
    texts, problems = _texts(usable)
    rows = tuple(
        Row(
            file=item.file,
            label=name if classes else "",
            text=text,
            speaker=name if several and not classes else "",
        )
        for item, name, text in zip(usable, folders, texts, strict=True)
    )
    return rows, tuple(problems)


def _texts(usable: Sequence[Looked]) -> tuple[list[str], Iterator[Problem]]:
    """The transcript of each clip, and what may be wrong with them."""
    texts: list[str] = []
    bad: dict[str, str] = {}
    guessed: dict[str, str] = {}
    long: list[str] = []
    for item in usable:
        text = ""
        try:
            text, notes = spoken(item.path)
            if notes:
                guessed[item.file] = "; ".join(notes)
        except DataError as error:
            bad[item.file] = str(error)
        if len(text) > _LONGEST:
            long.append(item.file)
            text = ""
        texts.append(text)
    formulas = [
        item.file for item, text in zip(usable, texts, strict=True) if text.startswith(_FORMULA)
    ]
    return texts, _about_texts(bad, guessed, long, formulas)


def _about_texts(
    bad: dict[str, str], guessed: dict[str, str], long: Sequence[str], formulas: Sequence[str]
) -> Iterator[Problem]:
    if bad:
        yield problem(
            "warning",
            "transcript",
            "{n} with a transcript that cannot be read",
            "Mend it, or type the text into the table.",
            list(bad),
            list(bad.values()),
        )
    if guessed:
        yield problem(
            "warning",
            "odd-transcript",
            "{n} with a transcript that is not quite as expected",
            "Look at its text in the table.",
            list(guessed),
            list(guessed.values()),
        )
    if long:
        yield problem(
            "warning",
            "long-transcript",
            "{n} with a transcript too long for a table",
            "Is it the transcript of a whole video? It is read from beside the clip all the same.",
            long,
        )
    if formulas:
        yield problem(
            "note",
            "formula",
            f"{{n}} with a text that begins with one of {' '.join(_FORMULA)}",
            "A spreadsheet program takes it for a formula: look at these cells before you save.",
            formulas,
        )


def _write(path: Path, rows: Sequence[Row]) -> None:
    def write(place: Path) -> None:
        # The byte order mark tells spreadsheet programs that it is UTF-8.
        with place.open("w", encoding="utf-8-sig", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            table.writerows((row.file, row.label, row.text, row.speaker) for row in rows)

    write_atomically(path, write)
