"""What was measured before: kept on disk by the content of the file and how it was measured."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.clips.clip import Clip
from tricord.clips.measure import Measured
from tricord.clips.recipe import Part
from tricord.errors import DataError, TricordError
from tricord.files import write_atomically
from tricord.track import Track

FORMAT = 1  # of the files; another one is another key
_ABOUT = "about"


class Cache:
    """A folder with a file for each modality of each clip.

    A changed clip or extractor is another key, so that nothing is ever out of date; a renamed clip
    is the same. What cannot be read is as if it were not there.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """folder: the user's cache folder (`tricord.features.text.cache_folder`) unless told."""
        if folder is None:
            from tricord.features.text import cache_folder  # loads torch

            folder = cache_folder() / "clips"
        self.folder = folder

    def read(self, key: str, part: Part) -> Measured | None:
        """What was kept under a key; None where there is nothing, or nothing whole."""
        from safetensors import SafetensorError, safe_open

        path = self._place(key)
        try:
            with safe_open(path, framework="np") as file:
                about: dict[str, Any] = json.loads((file.metadata() or {})[_ABOUT])
                values, times = file.get_tensor("values"), file.get_tensor("times")
            track = Track(values, times, tuple(part.description["columns"]))
            return Measured(
                track, tuple(about["notices"]), int(about["frames"]), int(about["faces"])
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None

    def write(self, key: str, measured: Measured) -> None:
        """Keep it, whole or not at all. Raises TricordError where the disk does not let it."""
        from safetensors.numpy import save

        about = {
            "notices": measured.notices,
            "frames": measured.frames,
            "faces": measured.faces,
        }
        arrays: dict[str, NDArray[Any]] = {
            "values": np.ascontiguousarray(measured.track.values),
            "times": np.ascontiguousarray(measured.track.times),
        }
        data = save(arrays, {_ABOUT: json.dumps(about)})
        try:
            write_atomically(self._place(key), lambda place: place.write_bytes(data))
        except TricordError as error:
            hint = "TRICORD_CACHE names another place, --no-cache keeps nothing"
            raise TricordError(f"{error}; {hint}") from None

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"


def key_of(modality: str, part: Part, clip: Clip) -> str:
    """SHA-256 of all that decides a clip's track of one modality.

    Of text only the words; else the content of the file and the clip's place in it.
    """
    content: dict[str, Any] = {"format": FORMAT, "how": part.description, "modality": modality}
    if modality == "text":
        content["text"] = clip.text
    else:
        content |= {"media": media_sha256(clip.path), "start": clip.start, "end": clip.end}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def media_sha256(path: Path) -> str:
    """SHA-256 of a file; of one that did not change since it is remembered.

    Raises DataError where it cannot be read.
    """
    try:
        state = path.stat()
        return _remembered(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


@lru_cache(maxsize=64)  # clips of one long file come one after the other
def _remembered(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
