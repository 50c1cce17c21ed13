"""What is said in clips, heard by a model and written beside them, where nothing is yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tricord.clips.engine import Failure, attempt
from tricord.files import write_atomically
from tricord.media.audio import read_audio
from tricord.words.recognise import RATE, Recogniser
from tricord.words.transcripts import Segment, Transcript, sidecar


@dataclass(frozen=True)
class Heard:
    """One clip. written: the subtitles that were made; None where that was not needed or possible.

    text: what was heard. why_not: why nothing was written, in words. failed: whether that is since
    the clip or the model broke.
    """

    path: Path
    written: Path | None = None
    text: str = ""
    why_not: str = ""
    failed: bool = False


def transcribe(
    clips: Sequence[Path],
    recogniser: Recogniser,
    tick: Callable[[int, int], object] | None = None,
) -> list[Heard]:
    """Write ``CLIP.srt`` beside every clip that has no transcript; the others are left as they are.

    Each is written as soon as it is heard, so that the same call goes on where one was stopped. A
    clip without words gets no file; one that breaks is said, whatever it raises, and the others go
    on. Raises ConfigError where the recogniser cannot be used, TricordError where the disk is full.
    """
    found = []
    for path in clips:
        heard = attempt(partial(_heard, recogniser), path)
        if isinstance(heard, Failure):
            heard = Heard(path, why_not=heard.reason.removeprefix(f"{path}: "), failed=True)
        found.append(heard)
        if tick is not None:
            tick(len(found), len(clips))
    return found


def _heard(recogniser: Recogniser, path: Path) -> Heard:
    place = path.with_suffix(".srt")
    if (known := sidecar(path)) is not None:
        return Heard(path, why_not=f"{known.name} is there")
    sound = read_audio(path, RATE)
    said = recogniser(sound.samples)
    if not said.text:
        return Heard(path, why_not="no words were heard")
    text = to_srt(said, sound.start)
    write_atomically(place, lambda p: p.write_text(text, encoding="utf-8"))
    return Heard(path, place, said.text)


def to_srt(said: Transcript, begin: float = 0.0) -> str:
    """Subtitles; begin: seconds of the file at which the transcript's times begin."""
    cues = (
        f"{number}\n{_clock(begin + segment.start)} --> {_clock(begin + segment.end)}\n"
        f"{_one_line(segment)}\n"
        for number, segment in enumerate(said.segments, start=1)
    )
    return "\n".join(cues)


def _one_line(segment: Segment) -> str:
    return " ".join(segment.text.split())


def _clock(seconds: float) -> str:
    whole = round(seconds * 1000)
    minutes, rest = divmod(whole, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"
