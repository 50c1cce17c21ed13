"""One modality of a folder: which file is which clip's, and the frames in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.data.readers.clip_file import EMPTY, SUFFIXES, ClipRecipe, read_clip
from tricord.data.readers.delimited import named, shown
from tricord.data.readers.frames_csv import Columns
from tricord.data.readers.label_table import LabelTable
from tricord.data.readers.openface import recipe_of
from tricord.data.schema import Ragged
from tricord.errors import DataError

_DIGITS = 4  # DataPre, which made the released files, names clip 1 "0001"


class ModalityFolder:
    """Files are found by listing the folder: names of the label table never become paths.

    name: the modality. clips: how many rows of the label table have a file. width, longest: of
    the frames read so far.
    """

    def __init__(self, folder: Path, name: str, recipe: ClipRecipe, labels: LabelTable) -> None:
        self.folder, self.name, self.recipe = folder, name, recipe
        self.width = self.longest = 0
        self._ids = labels.ids
        self._columns: Columns | None = None
        self._first: Path | None = None
        self._kinds: Counter[str] = Counter()
        self._notes: dict[str, list[str]] = {}  # what, the clips
        self._other: list[str] = []  # files that are no clip's
        self._paths = self._listed()
        self._matched = self._match(labels)
        self.clips = sum(name is not None for name in self._matched)
        self._other += sorted(set(self._paths).difference(filter(None, self._matched)))
        if not self.clips:
            wanted = next(_candidates(labels.videos[0], labels.clips[0], labels.files))[0]
            raise DataError(
                f"{folder}: none of the {len(self._ids)} clips has a file, expected names such as "
                f"{shown(wanted + SUFFIXES[0])}; found {named(self._other) or 'nothing'}"
            )

    def read(self, rows: NDArray[np.intp], step: Callable[[], None]) -> Ragged:
        """The frames of these rows; step is called after every file.

        Its width is 0 where none of them has a frame, its padding that of the rows read so far.
        """
        frames, lengths = bytearray(), [0]
        for row in rows:
            name = self._matched[row]
            if name is None:
                lengths.append(0)
                continue
            values = self._clip(self._paths[name], self._ids[row])
            frames += values.tobytes()
            lengths.append(len(values))
            step()
        offsets = np.cumsum(lengths).astype(np.int64)
        self.longest = max(self.longest, *lengths)
        values = np.frombuffer(frames, dtype=np.float32) if frames else np.empty(0, np.float32)
        shape = (int(offsets[-1]), self.width if frames else 0)
        return Ragged(values.reshape(shape), offsets, self.longest)

    def expect_frames(self) -> None:
        """Raises DataError where no frame was read."""
        if not self.longest:
            raise DataError(f"{self.folder}: no frame in any file of a clip, expected some")

    def notices(self) -> list[str]:
        """What was missing, left over, left out, one line each."""
        absent = [i for i, name in zip(self._ids, self._matched, strict=True) if name is None]
        lines = [f"no file for {len(absent)} clips: {named(absent)}"] if absent else []
        if self._other:
            lines.append(f"{len(self._other)} files are no clip's: {named(self._other)}")
        lines += [
            f"{note}, {len(clips)} clips: {named(clips)}" for note, clips in self._notes.items()
        ]
        return [f"{self.name}: {line}" for line in lines]

    def about(self) -> dict[str, Any]:
        """What is known of how the features were made, as JSON can hold it."""
        about: dict[str, Any] = {
            "files": dict(sorted(self._kinds.items())),
            "width": self.width,
            **self.recipe.model_dump(exclude_none=True),
        }
        if self._columns is not None:
            about["columns"] = list(self._columns)
            known = recipe_of(self._columns)
            if known is not None:
                about["recipe"] = known
        return about

    def _clip(self, path: Path, clip: str) -> NDArray[np.float32]:
        found = read_clip(path, self.recipe)
        self._kinds[found.kind] += 1
        for note in (*found.notes, *(() if len(found.values) else ("no frame in the file",))):
            self._note(note, clip)
        if found.kind == EMPTY:
            return found.values
        width = found.values.shape[1]
        if self._first is None:
            self._first, self.width = path, width
        if width != self.width:
            raise DataError(
                f"{path}: width {width} found, expected {self.width} as in {self._first}"
            )
        if self._columns is None:
            self._columns = found.columns
        elif found.columns is not None and found.columns != self._columns:
            pairs = zip(found.columns, self._columns, strict=True)
            one, other = next(pair for pair in pairs if pair[0] != pair[1])
            raise DataError(
                f"{path}: column {shown(one)} found where {self._first} has {shown(other)}, "
                "expected the same columns in all files"
            )
        return found.values

    def _note(self, what: str, clip: str) -> None:
        self._notes.setdefault(what, []).append(clip)

    def _listed(self) -> dict[str, Path]:
        """Path below the folder, without suffix -> file."""
        files: dict[str, Path] = {}
        for name, path in _walk(self.folder):
            if path.suffix not in SUFFIXES:
                self._other.append(name)
                continue
            stem = name.removesuffix(path.suffix)
            if stem in files:
                raise DataError(f"{path}: {files[stem].name} found too, expected one file a clip")
            files[stem] = path
        return files

    def _match(self, labels: LabelTable) -> list[str | None]:
        """The file of each row, as `_listed` names it."""
        owners: dict[str, str] = {}
        matched: list[str | None] = []
        for clip, video, name in zip(self._ids, labels.videos, labels.clips, strict=True):
            for part in (video, name):
                if part in (".", "..") or set(part) & set("/\\"):
                    raise DataError(
                        f"{labels.source}: clip {shown(clip)}: {shown(part)} found, expected a "
                        "name without a path"
                    )
            found = self._file(clip, _candidates(video, name, labels.files))
            if found is not None and owners.setdefault(found, clip) != clip:
                raise DataError(
                    f"{self._paths[found]}: file of clips {shown(owners[found])} and "
                    f"{shown(clip)}, expected one"
                )
            matched.append(found)
        return matched

    def _file(self, clip: str, candidates: Iterator[list[str]]) -> str | None:
        for attempt, names in enumerate(candidates):
            found = [name for name in names if name in self._paths]
            if len(found) > 1:
                raise DataError(
                    f"{self.folder}: files {named(found)} found for clip {shown(clip)}, "
                    "expected one"
                )
            if found:
                if attempt:
                    self._note(f"file found under the number in {_DIGITS} digits", clip)
                return found[0]
        return None


def _candidates(video: str, clip: str, files: bool) -> Iterator[list[str]]:
    """Names of a clip's file without suffix: the ones that are wanted, then the next best."""
    if not clip:
        yield [video]
        return
    yield [f"{video}/{clip}", f"{video}_{clip}", *([clip] if files else [])]
    if clip.isascii() and clip.isdigit() and len(clip) < _DIGITS:
        yield [f"{video}/{clip:0>{_DIGITS}}", f"{video}_{clip:0>{_DIGITS}}"]


def _walk(folder: Path, below: str = "") -> Iterator[tuple[str, Path]]:
    """(path below the top folder, path) of what is in it and in its folders, but no deeper.

    Hidden files are passed over. Raises DataError for a link.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise DataError(f"{folder}: is a link or no folder, expected a folder of feature files")
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    for path in paths:
        if path.name.startswith("."):
            continue
        if path.is_symlink():
            raise DataError(f"{path}: is a link, expected what belongs to the folder itself")
        if path.is_dir() and not below:
            yield from _walk(path, f"{path.name}/")
        else:
            yield f"{below}{path.name}", path
