"""What is in a media file, without decoding it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tricord.media.source import Kind, Source
from tricord.media.track import Track
from tricord.media.video import UPRIGHT, Turn, shape_of, turn_of

if TYPE_CHECKING:
    import av

    from tricord.media.track import AnyFrame

LOOKED_AT = 500  # pictures that say whether the rate varies: a clip whole, of a film the first ones


@dataclass(frozen=True)
class AudioInfo:
    """rate: samples a second. start: seconds after the file's beginning."""

    rate: int
    channels: int
    codec: str
    start: float


@dataclass(frozen=True)
class VideoInfo:
    """width, height: of the upright picture. rotation: degrees clockwise that make it so.

    rate: pictures a second, as a mean. variable: whether they are not evenly spaced, by the first
    500. start: seconds after the file's beginning.
    """

    width: int
    height: int
    rotation: int
    rate: float
    variable: bool
    codec: str
    start: float


@dataclass(frozen=True)
class MediaInfo:
    """container: the library's names for it. duration: seconds, of the longest track.

    audio, video: None where there is no such track. Whether a file breaks off is only known once
    it was read, see `Decoded`.
    """

    container: str
    duration: float
    audio: AudioInfo | None
    video: VideoInfo | None


def probe(path: str | Path) -> MediaInfo:
    """Raises DataError where it is no file, or none with a track that can be decoded.

    Reads a few packets; all of them where the container declares no duration.
    """
    source = Source(path)
    with closing(source):
        audio = None if source.audio is None else _audio(path, source.audio)
        video = None if source.video is None else _video(path, source)
        declared = source.duration()
        name = source.container.format.name
    duration = _measured(path) if declared is None else declared
    return MediaInfo(name, float(duration), audio, video)


def _audio(path: str | Path, stream: av.AudioStream) -> AudioInfo:
    start, _ = _first(path, "audio")
    return AudioInfo(stream.rate, stream.channels, stream.codec_context.name, start)


def _video(path: str | Path, source: Source) -> VideoInfo:
    stream = source.video
    assert stream is not None
    unit = stream.time_base or Fraction(1)
    start, frame = _first(path, "video")
    turn = UPRIGHT if frame is None else turn_of(cast("av.VideoFrame", frame))
    stamps = _stamps(source, stream)
    steps = [after - before for before, after in pairwise(stamps)]
    span = sum(steps) * unit
    width, height = shape_of(stream)
    return VideoInfo(
        width=height if turn.swap else width,
        height=width if turn.swap else height,
        rotation=_degrees(turn),
        rate=float(stream.average_rate or (len(steps) / span if span else 0)),
        variable=_uneven(steps, unit),
        codec=stream.codec_context.name,
        start=start,
    )


def _first(path: str | Path, kind: Kind) -> tuple[float, AnyFrame | None]:
    """Time and frame that a track begins with, as decoded; headers are off by a decoder's delay."""
    track = Track(path, kind, 0.0)
    with closing(track):
        time, frame = next(track.frames(), (track.begin, None))
    return float(time), frame


def _degrees(turn: Turn) -> int:
    """A mirrored picture counts as the turn without its mirror."""
    if turn.swap:
        return 90 if turn.mirror_x else 270
    return 180 if turn.mirror_y else 0


def _stamps(source: Source, stream: av.VideoStream) -> list[int]:
    """Time stamps of the first pictures, in order."""
    import av

    stamps: list[int] = []
    try:
        for packet in islice(source.container.demux(stream), LOOKED_AT):
            if packet.pts is not None:
                stamps.append(packet.pts)
    except av.FFmpegError:  # what is damaged is said when it is read
        pass
    return sorted(stamps)


def _uneven(steps: list[int], unit: Fraction) -> bool:
    """Whether steps differ by more than the rounding of time stamps to milliseconds."""
    rounding = Fraction(2, 1000) / unit
    return bool(steps) and max(steps) - min(steps) > max(rounding, Fraction(1))


def _measured(path: str | Path) -> Fraction:
    """Where the last packet ends, for containers that do not say."""
    import av

    source = Source(path)
    end = source.origin
    with closing(source):
        try:
            for packet in source.container.demux():
                if packet.pts is not None:
                    end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        except av.FFmpegError:
            pass
    return end - source.origin
