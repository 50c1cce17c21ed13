"""``manifest.json`` of a store: what it holds, where it came from, and how to tell damage."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tricord._version import __version__
from tricord.data.progress import Tick
from tricord.data.regular import read_regular
from tricord.data.store.arrays import Layout, Shape
from tricord.errors import DataError

MANIFEST = "manifest.json"
VERSION = 1
_MOST_BYTES = 1 << 26
_READ_BYTES = 1 << 20
_SUM = "sha256"

Split = Literal["train", "valid", "test", "unlabelled", "all"]
Name = Literal["text", "audio", "vision"]
Count = Annotated[int, Field(ge=0, lt=1 << 48)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Model = TypeVar("_Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class FileRecord(_Strict):
    """A small file, checked whenever the store is opened."""

    bytes: Count
    sha256: Hash


class SequenceRecord(_Strict):
    """Frames of one modality, or tokens, of one split.

    width: numbers per frame; None for tokens, which are (F,). digest: `Ragged.digest`.
    offsets_sha256: of the offsets alone, checked whenever the store is opened.
    """

    dtype: Literal["float32", "float16", "int64"]
    width: Annotated[int, Field(ge=0, le=1 << 20)] | None
    frames: Count
    padded_length: Count
    digest: Hash
    offsets_sha256: Hash

    def layout(self, clips: int) -> Layout:
        """The arrays of its file; offsets first, so that both are aligned."""
        shape = (self.frames,) if self.width is None else (self.frames, self.width)
        return {"offsets": Shape("int64", (clips + 1,)), "values": Shape(self.dtype, shape)}


class SplitRecord(_Strict):
    """One split: N clips. sequences: in the order of the score columns."""

    clips: Count
    words: FileRecord
    scores: FileRecord
    sequences: dict[Name, SequenceRecord]
    tokens: SequenceRecord | None


class Provenance(_Strict):
    """source: the name of the file or folder that was converted; sha256 and bytes of a file.

    tricord: the version that wrote the store. created: the day, as YYYY-MM-DD in UTC.
    """

    source: str
    sha256: Hash | None
    bytes: Count | None
    tricord: str
    created: str


class Manifest(_Strict):
    """All of ``manifest.json`` but its own checksum.

    label_ranges: "multimodal" or a modality -> least and greatest label, None where none is known.
    polarity: what a score of 0 counts as, where it was told (`tricord.types.Polarity`).
    """

    format: Literal["tricord store"] = "tricord store"
    version: Literal[1] = 1
    provenance: Provenance
    recipe: dict[str, Any]
    label_ranges: dict[str, list[float] | None]
    polarity: Literal["non_positive", "non_negative"] | None
    splits: dict[Split, SplitRecord] = Field(min_length=1)
    notices: list[str]
    simulation: dict[str, Any] | None


class Words(_Strict):
    """``clips.json`` of a split: what is said of each clip in words."""

    ids: list[str]
    raw_text: list[str] | None
    label_names: list[str] | None


def provenance_of(source: Path, sha256: str | None) -> Provenance:
    """Where a store comes from, written today; sha256: of the file, if it is known."""
    return Provenance(
        source=_ascii(source.name),
        sha256=sha256,
        bytes=source.stat().st_size if source.is_file() else None,
        tricord=__version__,
        created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    )


def file_sha256(path: Path, tick: Tick | None = None) -> str:
    """SHA-256 of a file. Raises DataError where it cannot be read."""
    digest, done = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            total = path.stat().st_size
            while piece := file.read(_READ_BYTES):
                digest.update(piece)
                done += len(piece)
                if tick is not None:
                    tick(done, total)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def _ascii(name: str) -> str:
    """A file's name without what cannot be shown."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def plain(value: Any, where: str) -> Any:
    """The value as JSON gives it back; raises DataError where JSON cannot hold it.

    Mappings become dictionaries, tuples lists, and numbers that are not finite text.
    """
    try:
        return json.loads(json.dumps(_listed(value)))
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{where}: cannot be kept as JSON ({error})") from None


def _listed(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a key that is no text")
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The last file of a store. Raises OSError."""
    content = manifest.model_dump()
    write_text(folder / MANIFEST, json.dumps(content | {_SUM: _checksum(content)}, indent=1))


def write_text(path: Path, text: str) -> FileRecord:
    """Write a file, and wait for the disk. Raises OSError."""
    data = text.encode("ascii")
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return FileRecord(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def read_manifest(folder: Path) -> Manifest:
    """What `write_manifest` wrote.

    Raises DataError where it is missing, no manifest, of another version, or was changed since.
    """
    path = folder / MANIFEST
    content = parse(read_regular(path, _MOST_BYTES), path)
    if not isinstance(content, dict) or content.get("format") != "tricord store":
        raise DataError(f"{path}: no manifest of a tricord store")
    if content.get("version") != VERSION:
        raise DataError(
            f"{path}: version {str(content.get('version'))[:20]} found, expected {VERSION}; was it "
            "written by a newer tricord?"
        )
    found = content.pop(_SUM, None)
    if found != _checksum(content):
        raise DataError(f"{path}: its checksum does not fit, expected it as it was written")
    return validated(Manifest, content, path)


def _checksum(content: Mapping[str, Any]) -> str:
    """Of what is said, in its order, whatever the blanks between."""
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def parse(data: bytes, path: Path) -> Any:
    """JSON; raises DataError."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({str(error)[:80]})") from None


def validated(model: type[_Model], content: Any, path: Path) -> _Model:
    """The content as a model; raises DataError naming the first field that does not fit."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise DataError(f"{path}: {place}: {first['msg'][:100]}") from None
