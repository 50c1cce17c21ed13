"""Clip: where one lies and what is known of it; ClipFeatures: what was measured in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tricord.track import Track


@dataclass(frozen=True)
class Clip:
    """id: ``video$_$clip`` or a name. path: the media file. text: what is said, if it is known.

    start, end: seconds of the file that are the clip; None: to the end.
    """

    id: str
    path: Path
    text: str | None = None
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True)
class ClipFeatures:
    """What a recipe measures in one clip.

    tracks: modality -> its track, for every modality of the recipe; of no rows where the clip
        lacks it (no such stream, no words, no face, shorter than a window).
    notices: one line each: what is missing and why, what was truncated or broken.
    duration: seconds of the clip. frames, faces: pictures looked at, and those with a face.
    """

    id: str
    tracks: Mapping[str, Track]
    text: str | None
    duration: float
    frames: int = 0
    faces: int = 0
    notices: tuple[str, ...] = field(default=())
