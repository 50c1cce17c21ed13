"""Transcripts: the words of a clip and, from subtitles, when they are said.

Formats: SubRip (.srt), WebVTT (.vtt, https://www.w3.org/TR/webvtt1), plain text (.txt).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tricord.data.readers.encoding import decoded
from tricord.errors import DataError

# The subtitles of a film are 0.2 MB.
MOST_BYTES = 1 << 24
SUBTITLES = (".srt", ".vtt")
SUFFIXES = (*SUBTITLES, ".txt")  # with times first

_TIME = r"(?:([0-9]{1,5}):)?([0-9]{1,2}):([0-9]{1,2})(?:[.,]([0-9]{1,9}))?"
_CUE = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_ARROW = "-->"
_LINE_END = re.compile(r"\r\n|\r|\n")
_NUMBER = re.compile("[0-9]+")
_COMMENT = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s.*)?")
# A voice's name in <v Name> is not said, and what only looks like a tag ("I <3 you") is no tag.
_TAG = re.compile(
    r"</?(?:b|i|u|s|c|v|rt|ruby|font|lang)(?:[.\s][^<>]*)?>|<[0-9][0-9:.]*>|\{\\[^{}]*\}",
    re.IGNORECASE,
)
_WORD_TIME = re.compile(r"<[0-9]+:[0-9:]+\.[0-9]+>")
_ENTITY = re.compile("&(amp|lt|gt|nbsp|lrm|rlm);")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "nbsp": " ", "lrm": "", "rlm": ""}
_WIDE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # scripts without blanks between words
_WORD = re.compile(rf"[{_WIDE}]|[^\s{_WIDE}]+")
_SHOWN = 40


@dataclass(frozen=True)
class Segment:
    """Words between two times, in seconds from the file's start; start <= end."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Transcript:
    """What is said. segments: in order of time; none where the times are not known.

    text: all of it, on one line. notices: what a user should know of how it was read.
    """

    text: str
    segments: tuple[Segment, ...] = ()
    notices: tuple[str, ...] = ()


def of_segments(segments: Sequence[Segment], notices: Sequence[str] = ()) -> Transcript:
    """Segments in any order, those without words left out."""
    spoken = [Segment(s.start, s.end, one_line(s.text)) for s in segments]
    ordered = sorted((s for s in spoken if s.text), key=lambda s: (s.start, s.end))
    return Transcript(" ".join(s.text for s in ordered), tuple(ordered), tuple(notices))


def sidecar(path: Path) -> Path | None:
    """The words that lie beside a media file: CLIP.srt, CLIP.vtt or CLIP.txt, in this order.

    The suffix may be written small, in capitals or with one capital.
    """
    names = (s for suffix in SUFFIXES for s in (suffix, suffix.upper(), f".{suffix[1:].title()}"))
    places = (path.with_name(path.stem + name) for name in names)
    return next((place for place in places if place.is_file()), None)


def read(path: Path) -> Transcript:
    """The words of a .srt, .vtt or .txt file; raises DataError where it is none or unreadable."""
    suffix = path.suffix.lower()
    if suffix in SUBTITLES:
        return read_subtitles(path)
    if suffix != ".txt":
        raise DataError(f"{path}: suffix {path.suffix!r} found, expected {', '.join(SUFFIXES)}")
    text, notices = _decoded(path)
    return Transcript(one_line(text), notices=notices)


def read_subtitles(path: Path) -> Transcript:
    """A .srt or .vtt file.

    Hours, numbers, the line WEBVTT and blank lines between cues may be missing; tags, comments and
    styles are left out. Overlapping cues are all kept. Captions that roll (each cue repeats the
    line above; they mark the time of each word) are read once. A file without a cue says nothing.

    Raises DataError naming file and line where a time cannot be read, a cue ends before it begins,
    or text belongs to no cue.
    """
    text, notices = _decoded(path)
    lines = [line.strip() for line in _LINE_END.split(text)]
    named = lines[0].startswith("WEBVTT")
    cues = list(_cues(_without_comments(lines) if named else lines, named, path))
    if _WORD_TIME.search(text):
        cues = _not_again(cues)
    segments = [Segment(start, end, " ".join(parts)) for start, end, parts in cues]
    return of_segments(segments, notices)


def within(transcript: Transcript, start: float, end: float | None = None) -> Transcript:
    """What is said from `start` until before `end`, in seconds; None: until the end.

    A word's time is not known, only its segment's: the words of a segment count as evenly spread
    over it. Each word is so in one of two ranges that touch. A segment's own range is as a whole
    the result. Raises DataError for words without times, except where all time is asked for.
    """
    if not transcript.segments and transcript.text and (start > 0 or end is not None):
        raise DataError("words without times found, expected subtitles (.srt or .vtt) to cut")
    if not transcript.segments:
        return transcript
    last = float("inf") if end is None else end
    cut = [_cut(segment, start, last) for segment in transcript.segments]
    return of_segments([segment for segment in cut if segment], transcript.notices)


def one_line(text: str) -> str:
    """Without line ends, and with one blank between words."""
    return " ".join(text.split())


_Cue = tuple[float, float, list[str]]


def _cues(lines: Sequence[str], named: bool, path: Path) -> Iterator[_Cue]:
    """Start, end and lines of each cue; a cue goes on until the next one begins.

    named: cues may have names as in WebVTT, and not only numbers.
    """
    start = end = -1.0  # of the cue that is read; none yet
    said: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if _ARROW not in line:
            said.append((number, line))
            continue
        if _ends_with_a_name([text for _, text in said], named):
            said.pop()
        if start >= 0:
            yield start, end, _clean(said)
        else:
            _refuse_text(said, path)
        start, end = _times(line, number, path)
        said = []
    if start >= 0:
        yield start, end, _clean(said)
    else:
        _refuse_text(said, path)


def _ends_with_a_name(lines: Sequence[str], named: bool) -> bool:
    """Whether the line above a time is the cue's number or, below a blank line, its name."""
    if not lines or not lines[-1]:
        return False
    return _NUMBER.fullmatch(lines[-1]) is not None or (named and lines[-2:-1] == [""])


def _refuse_text(said: Sequence[tuple[int, str]], path: Path) -> None:
    for number, text in said:
        if text:
            raise DataError(
                f"{path}: line {number}: {_shown(text)} found before any time, expected "
                "'00:00:01,000 --> 00:00:02,000'"
            )


def _times(line: str, number: int, path: Path) -> tuple[float, float]:
    found = _CUE.fullmatch(line)
    if found is None:
        raise DataError(
            f"{path}: line {number}: {_shown(line)} found, expected '00:00:01,000 --> 00:00:02,000'"
        )
    start, end = (_seconds(*found.groups()[first : first + 4]) for first in (0, 4))
    if end < start:
        raise DataError(
            f"{path}: line {number}: the cue ends at {end:g} s, before it begins at {start:g} s"
        )
    return start, end


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    whole = 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    return float(f"{whole}.{fraction or 0}")


def _clean(said: Sequence[tuple[int, str]]) -> list[str]:
    """The lines without tags, comments of players and blank lines."""
    bare = (_ENTITY.sub(lambda m: _ENTITIES[m[1]], _TAG.sub("", text)) for _, text in said)
    return [line for line in map(one_line, bare) if line]


def _without_comments(lines: Sequence[str]) -> list[str]:
    """Blank instead of a WebVTT file's header, comments and styles: blocks up to a blank line."""
    kept = []
    above, inside = "", True
    for line in lines:
        inside = bool(line) and (inside or (not above and _COMMENT.fullmatch(line) is not None))
        kept.append("" if inside and _ARROW not in line else line)
        inside = inside and _ARROW not in line
        above = line
    return kept


def _not_again(cues: Sequence[_Cue]) -> list[_Cue]:
    """Without the lines at a cue's top that are the last ones of the cue before."""
    fresh: list[_Cue] = []
    before: list[str] = []
    for start, end, lines in cues:
        repeated = next(
            (n for n in range(min(len(lines), len(before)), 0, -1) if lines[:n] == before[-n:]), 0
        )
        fresh.append((start, end, lines[repeated:]))
        before = lines
    return fresh


def _cut(segment: Segment, start: float, end: float) -> Segment | None:
    """The part of a segment whose words are in [start, end)."""
    words = list(_WORD.finditer(segment.text))
    long = segment.end - segment.start
    middles = (segment.start + long * (i + 0.5) / len(words) for i in range(len(words)))
    inside = [word for word, t in zip(words, middles, strict=True) if start <= t < end]
    if not inside:
        return None
    text = segment.text[inside[0].start() : inside[-1].end()]
    return Segment(max(start, segment.start), min(end, segment.end), text)


def _decoded(path: Path) -> tuple[str, tuple[str, ...]]:
    """The text of a file, and a notice where it is not Unicode."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: not found, or no file; expected a transcript")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MOST_BYTES:
        raise DataError(f"{path}: more than {MOST_BYTES} bytes found, expected a transcript")
    text, encoding = decoded(data)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path}: line {line}: a NUL character found, expected text")
    if encoding is None:
        return text, ()
    return text, (f"{path}: no UTF-8: read as {encoding}; look at the text, save it as UTF-8",)


def _shown(text: str) -> str:
    """A line as messages quote it: not endless."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
