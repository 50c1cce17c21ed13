"""The labels of a computational sequence: its segments as clips, and their folds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tricord.data.readers.csd_sequence import Clip, shortly
from tricord.data.readers.hdf5_safe import open_csd
from tricord.data.readers.intervals import Timeline
from tricord.data.schema import ID_SEPARATOR, SPLITS, UNSPLIT
from tricord.errors import DataError

# CMU-MOSEI, `All Labels`: the SDK's order (A2Zadeh/CMU-MultimodalSDK#317).
MOSEI_LABELS = ("sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear")
_MOST_BYTES = 1 << 24


def folds_from(path: Path) -> dict[str, list[str]]:
    """Folds as `read_csd` takes them, from a JSON file: {"train": [names of videos], ...}."""
    return check_folds(path, read_json(path))


def read_json(path: Path) -> Any:
    """The content of a small JSON file; raises DataError where there is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: more than {_MOST_BYTES} bytes, expected a small JSON file")
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no readable JSON ({str(error)[:80]})") from error


def check_folds(path: Path, content: object) -> dict[str, list[str]]:
    """The same, if it has the form of folds; raises DataError naming the file otherwise."""
    form = f"expected {{split: [names of videos]}} with the splits {list(SPLITS)}"
    if not isinstance(content, dict) or not content or not set(content) <= set(SPLITS):
        raise DataError(f"{path}: folds of another form found, {form}")
    for videos in content.values():
        if not isinstance(videos, list) or not all(isinstance(v, str) for v in videos):
            raise DataError(f"{path}: folds of another form found, {form}")
    return content


def read_labels(path: Path, column: str | int | None, first: int) -> tuple[list[Clip], list[str]]:
    """The clips of a label sequence in order of video and row, and what there is to say of them.

    column and first are those of `csd.read_csd`. Raises DataError naming the video.
    """
    clips: list[Clip] = []
    with open_csd(path) as sequence:
        names = _names(sequence.metadata)
        for entry in sequence.entries:
            where = f"{path}: video {entry.video!r}"
            if ID_SEPARATOR in entry.video:
                raise DataError(f"{where}: {ID_SEPARATOR!r} found in its name, expected none")
            if entry.features is None:
                raise DataError(f"{where}: words found, expected labels")
            if entry.number is not None and len(entry.intervals) != 1:
                raise DataError(
                    f"{where}: segment {entry.number} has {len(entry.intervals)} labels, expected "
                    "one (are the labels aligned to something else?)"
                )
            if not len(entry.intervals):
                continue
            scores = entry.features[:, _label_column(where, column, entry.width, names)]
            clips += [
                Clip(
                    id=f"{entry.video}{ID_SEPARATOR}{row + (entry.number or 0) + first}",
                    video=entry.video,
                    number=entry.number,
                    interval=interval,
                    score=float(score),
                )
                for row, (interval, score) in enumerate(zip(entry.intervals, scores, strict=True))
            ]
    if not clips:
        raise DataError(f"{path}: no label found, expected at least one segment")
    twice = [clip for clip, count in Counter(clip.id for clip in clips).items() if count > 1]
    if twice:
        raise DataError(f"{path}: segment {twice[0]!r} found twice, expected once")
    lost = sum(Timeline(clip.interval[None]).unusable for clip in clips)
    return clips, [f"labels: {lost} segments cover no time"] if lost else []


def _label_column(where: str, column: str | int | None, width: int, names: tuple[str, ...]) -> int:
    if len(names) != width:
        names = MOSEI_LABELS if width == len(MOSEI_LABELS) else ()
    if isinstance(column, int) and 0 <= column < width:
        return column
    wanted = "sentiment" if column is None else column
    if wanted in names:
        return names.index(str(wanted))
    if width == 1 and column is None:
        return 0
    raise DataError(
        f"{where}: no label column {wanted!r} among {width}, expected one of "
        f"{list(names) or f'0 to {width - 1}'}"
    )


def _names(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The dimension names, where the file has a list of them."""
    names = decoded(metadata.get("dimension names", ""))
    return tuple(map(str, names)) if isinstance(names, list) else ()


def decoded(text: str) -> Any:
    """A field of metadata: the SDK writes JSON, and older files plain text."""
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # can be written again
        return value
    except (ValueError, RecursionError):
        return text


def split_by(
    path: Path,
    clips: list[Clip],
    folds: Mapping[str, Collection[str]] | None,
    notices: list[str],
) -> dict[str, list[Clip]]:
    """The clips by split, in their order; one split without folds. Adds to ``notices``.

    Raises DataError for a video in two folds, and for a fold without clips.
    """
    if folds is None:
        return {UNSPLIT: clips}
    owner: dict[str, str] = {}
    for split, videos in folds.items():
        shared = sorted(set(videos) & set(owner))
        if shared:
            raise DataError(
                f"{path}: folds: video {shared[0]!r} is in {owner[shared[0]]!r} and in {split!r}, "
                "expected one"
            )
        owner |= dict.fromkeys(videos, split)
    labelled = {clip.video for clip in clips}
    if set(owner) - labelled:
        notices.append(f"folds: {shortly(set(owner) - labelled)} without labels")
    if labelled - set(owner):
        notices.append(f"labels: {shortly(labelled - set(owner))} in no fold, left out")
    parts = {split: [c for c in clips if owner.get(c.video) == split] for split in folds}
    empty = [split for split, part in parts.items() if not part]
    if empty:
        raise DataError(f"{path}: folds: {empty[0]!r} has no labelled video, expected some")
    return {split: parts[split] for split in (*SPLITS, *folds) if split in parts}
