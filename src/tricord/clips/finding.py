"""The media files of a folder, and which of them a name means."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn
from unicodedata import normalize

from tricord.data.readers.delimited import file_in, named, shown
from tricord.errors import DataError

# Of the containers that `tricord.media.source` opens.
SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".m4a", ".m4b", ".mov", ".qt", ".3gp", ".3g2", ".f4v"),
        *(".mkv", ".mk3d", ".mka", ".webm", ".avi", ".flv", ".wmv", ".wma", ".asf"),
        *(".mpg", ".mpeg", ".vob", ".m2p", ".ts", ".mts", ".m2ts"),
        *(".wav", ".w64", ".mp3", ".mp2", ".flac", ".ogg", ".ogv", ".oga", ".opus", ".spx"),
        *(".aac", ".aif", ".aiff", ".aifc"),
    )
)
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class Found:
    """What lies in a folder and its sub-folders, hidden files aside, in natural order.

    media: by their suffix. links: symbolic links, which are not followed. others: all other files.
    """

    media: tuple[Path, ...]
    links: tuple[Path, ...]
    others: tuple[Path, ...]


def natural(path: Path) -> tuple[list[str | int], str]:
    """A sort key by which 2 comes before 10, whatever the case of the letters around."""
    parts = _DIGITS.split(path.as_posix())
    return [int(p) if n % 2 else p.casefold() for n, p in enumerate(parts)], path.as_posix()


def walk(folder: Path) -> Found:
    """All files of a folder; raises DataError where it, or a folder in it, cannot be read."""
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {found}, expected a folder with clips")
    media: list[Path] = []
    links: list[Path] = []
    others: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links += [Path(place, name) for name in folders if Path(place, name).is_symlink()]
        for path in (Path(place, name) for name in files if not name.startswith(".")):
            if path.is_symlink():
                links.append(path)
            else:
                (media if path.suffix.lower() in SUFFIXES else others).append(path)
    return Found(*(_ordered(paths) for paths in (media, links, others)))


def _ordered(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(sorted(paths, key=natural))


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error


def shortened(path: Path, folder: Path) -> str:
    """The path in the folder, as ``file`` of a label table holds it."""
    return path.relative_to(folder).as_posix()


class Index:
    """Finds files by their path in the folder, with or without suffix."""

    def __init__(self, folder: Path, media: Iterable[Path]) -> None:
        self._folder = folder
        self._files: dict[str, list[Path]] = defaultdict(list)
        for path in media:
            self._files[_key(PurePosixPath(path.relative_to(folder).with_suffix("")))].append(path)

    def find(self, names: Sequence[PurePosixPath]) -> Path:
        """The file of the first of these names that has one; else where the first should be.

        Raises DataError for a name that fits several files, and for a link.
        """
        for name in names:
            hits = self._hits(name)
            if len(hits) > 1:
                several = named(shortened(hit, self._folder) for hit in hits)
                raise DataError(
                    f"{shown(name.as_posix())} fits {several}, expected one file: name it with its "
                    "suffix in the column 'file'"
                )
            if hits:
                return hits[0]
        # Of another suffix, or hidden.
        others = (file_in(self._folder, name.as_posix()) for name in names)
        return next((path for path in others if path is not None), self._folder / names[0])

    def _hits(self, name: PurePosixPath) -> list[Path]:
        """With just this suffix, or else with its letters in another case, or else with any."""
        same = self._files.get(_key(name.with_suffix("")), []) if name.suffix else []
        exact = [path for path in same if path.suffix == name.suffix]
        alike = [path for path in same if path.suffix.lower() == name.suffix.lower()]
        return exact or alike or self._files.get(_key(name), [])


def _key(path: PurePosixPath) -> str:
    """Some systems write an accented letter as one character, and some as two."""
    return normalize("NFC", path.as_posix())
