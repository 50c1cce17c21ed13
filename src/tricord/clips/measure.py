"""Measuring a clip as a recipe says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tricord.clips.build import described, open_extractor
from tricord.clips.clip import Clip, ClipFeatures
from tricord.clips.recipe import Recipe
from tricord.errors import DataError, ModelError
from tricord.track import Track

# Seconds of one clip. A waveform is measured as a whole: with librosa-33 an hour takes 5.4 GB.
LONGEST = 3600.0


@dataclass(frozen=True)
class Content:
    """What is in a file: seconds of the longest track, and whether it has sound and pictures."""

    duration: float
    audio: bool
    video: bool


def content_of(path: Path) -> Content:
    """A quick look: no picture is decoded, as `tricord.media.info.probe` would.

    Raises DataError where the file cannot be opened, or nothing in it can be decoded.
    """
    from tricord.media.info import probe
    from tricord.media.source import Source

    with closing(Source(path)) as source:
        declared = source.duration()
        audio, video = source.audio is not None, source.video is not None
    duration = probe(path).duration if declared is None else float(declared)
    return Content(duration, audio, video)


@dataclass(frozen=True)
class Measured:
    """One modality of one clip; notices: without the modality's name. See `ClipFeatures`."""

    track: Track
    notices: tuple[str, ...] = ()
    frames: int = 0
    faces: int = 0


class Measurer:
    """A recipe with its extractors open. notices: of tools in other versions than the recipe's."""

    def __init__(self, recipe: Recipe, *, download: bool = False) -> None:
        """download: allow fetching models that are not on this machine.

        Raises ModelError, which says what differs, where the extractors here are not those that
        the recipe describes; ConfigError where one cannot be opened.
        """
        self.recipe = recipe
        self._extractors: dict[str, Any] = {
            name: open_extractor(name, part.extractor, part.options, download)
            for name, part in recipe.parts.items()
        }
        self.notices = self._compare()

    def _compare(self) -> tuple[str, ...]:
        parts = {
            name: described(name, part.extractor, part.options, self._extractors[name])
            for name, part in self.recipe.parts.items()
        }
        found = self.recipe.differences(Recipe(name=self.recipe.name, **parts))
        if found.settings:
            raise ModelError(
                f"recipe '{self.recipe.name}': what is installed measures otherwise than the "
                f"recipe says (here: the recipe, there: installed): {'; '.join(found.settings)}"
            )
        return tuple(f"{line} (recipe, installed); numbers may differ" for line in found.tools)

    def __call__(self, clip: Clip) -> ClipFeatures:
        """All modalities of a clip; times count from the beginning of the file.

        What the clip lacks is a track without rows and a notice. Raises DataError where the file
        cannot be opened, or nothing at all is in it that the recipe measures.
        """
        info = self.probe(clip)
        return self.together(
            clip, info, {name: self.measure(clip, info, name) for name in self.recipe.parts}
        )

    @staticmethod
    def probe(clip: Clip) -> Content:
        """What is in the file.

        Raises DataError where that cannot be opened, or the clip is no part of it or too long.
        """
        if not (clip.start >= 0 and (clip.end is None or clip.end > clip.start)):
            raise DataError(
                f"{clip.path}: clip '{clip.id}' is from {clip.start} to {clip.end} s, expected "
                "0 <= start < end"
            )
        info = content_of(clip.path)
        if clip.start >= info.duration:
            raise DataError(
                f"{clip.path}: {info.duration:.2f} s long, but clip '{clip.id}' begins at "
                f"{clip.start:.2f} s"
            )
        length = end_of(clip, info) - clip.start
        if length > LONGEST:
            raise DataError(
                f"{clip.path}: clip '{clip.id}' is {length:.0f} s long, expected at most "
                f"{LONGEST:.0f} s: cut it into utterances (tricord predict can go through it with "
                "--timeline)"
            )
        return info

    @staticmethod
    def together(clip: Clip, info: Content, parts: dict[str, Measured]) -> ClipFeatures:
        """The modalities of a clip as one; raises DataError where none has a row."""
        notices = [f"{name}: {line}" for name, part in parts.items() for line in part.notices]
        if not any(len(part.track) for part in parts.values()):
            raise DataError(f"{clip.path}: nothing in it can be measured ({'; '.join(notices)})")
        return ClipFeatures(
            id=clip.id,
            tracks={name: part.track for name, part in parts.items()},
            text=clip.text,
            duration=end_of(clip, info) - clip.start,
            frames=sum(part.frames for part in parts.values()),
            faces=sum(part.faces for part in parts.values()),
            notices=tuple(notices),
        )

    def measure(self, clip: Clip, info: Content, modality: str) -> Measured:
        """One modality of a clip; raises DataError where the system does not let it be read."""
        how: dict[str, Callable[[Clip, Content], Measured]] = {
            "text": self._text,
            "audio": self._audio,
            "vision": self._vision,
        }
        try:
            return how[modality](clip, info)
        except DataError as error:
            if isinstance(error.__cause__, OSError):  # may pass, and is nothing to keep of a clip
                raise
            return self._nothing(modality, str(error).removeprefix(f"{clip.path}: "))

    def _nothing(self, modality: str, *notices: str) -> Measured:
        columns = tuple(self._extractors[modality].columns)
        values = np.zeros((0, len(columns)), dtype=np.float32)
        return Measured(Track(values, np.zeros(0), columns), notices)

    def _text(self, clip: Clip, info: Content) -> Measured:
        if clip.text is None or not clip.text.strip():
            return self._nothing("text", "no words")
        extractor = self._extractors["text"]
        track: Track = extractor(clip.text)
        if not len(track):
            return self._nothing("text", "no words that the encoder knows")
        cut = extractor.cut(clip.text)
        return Measured(track, (f"longer than the encoder takes ({cut} tokens cut)",) * (cut > 0))

    def _audio(self, clip: Clip, info: Content) -> Measured:
        from tricord.media.audio import read_audio

        if not info.audio:
            return self._nothing("audio", "no audio track")
        extractor = self._extractors["audio"]
        audio = read_audio(clip.path, extractor.rate, start=clip.start, end=clip.end)
        track: Track = extractor(audio.samples)
        lost = _lost(audio.truncated, audio.broken)
        if not len(track):
            return self._nothing("audio", *lost, "shorter than a window")
        return Measured(replace(track, times=track.times + audio.start), lost)

    def _vision(self, clip: Clip, info: Content) -> Measured:
        from tricord.media.video import frames

        if not info.video:
            return self._nothing("vision", "no video track")
        extractor = self._extractors["vision"]
        pictures = frames(clip.path, extractor.rate, start=clip.start, end=clip.end)
        sight = extractor(pictures)
        lost = _lost(pictures.truncated, pictures.broken)
        missing = () if sight.faces else ("no face" if sight.frames else "no picture",)
        return Measured(sight.track, (*lost, *missing), sight.frames, sight.faces)


def end_of(clip: Clip, info: Content) -> float:
    """Of the clip, in seconds of the file."""
    return info.duration if clip.end is None else min(clip.end, info.duration)


def _lost(truncated: bool, broken: int) -> tuple[str, ...]:
    lines = []
    if truncated:
        lines.append("breaks off before the end that the file declares")
    if broken:
        lines.append(f"parts could not be decoded ({broken} packets)")
    return tuple(lines)
