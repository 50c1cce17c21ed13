"""Opening a media file: a file on this disk, of a container we know, that opens no other."""

from __future__ import annotations

import math
import os
import re
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tricord.errors import ConfigError, DataError

if TYPE_CHECKING:
    from av import AudioStream, VideoStream
    from av.container import InputContainer

Kind = Literal["audio", "video"]

KNOWN = "mp4, mov, mkv, webm, avi, wav, mp3, flac, ..."
# Not among them: playlists and scripts (hls, dash, concat, sdp), which open what they name.
FORMATS = (
    *("mov", "matroska", "avi", "flv", "asf", "mpeg", "mpegts"),
    *("wav", "w64", "mp3", "flac", "ogg", "aac", "aiff"),
)
MAX_PIXELS = 8192 * 8192  # a header may claim any size, and a picture is allocated as claimed

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # pathlib makes one slash of two


def require_av(path: Path) -> None:
    """Raise DataError where PyAV is missing."""
    try:
        import_module("av")
    except ImportError:
        raise DataError(
            f"{path}: PyAV, which reads audio and video, is not installed: "
            'pip install "tricord[clips]"'
        ) from None


def decoders() -> dict[str, str]:
    """The libraries that decode, and their versions; raises ConfigError where they are missing."""
    try:
        import av
    except ImportError:
        raise ConfigError(
            "PyAV, which reads audio and video, is not installed: pip install 'tricord[clips]'"
        ) from None
    return {"av": av.__version__, "ffmpeg": str(av.ffmpeg_version_info)}


class Source:
    """An open media file.

    audio, video: the best track of its kind, or None; a cover picture is no video. origin: the time
    stamp (seconds) of the first thing in the file, from which all our times count.
    """

    def __init__(self, path: str | Path) -> None:
        """Raises DataError where it is no file, or none with a track that can be decoded."""
        self.path = _checked(path)
        require_av(self.path)
        self.container = _open(self.path)
        try:
            self.audio = self._audio()
            self.video = self._video()
            self._check()
        except BaseException:
            self.close()
            raise
        self.origin = self._origin()

    def close(self) -> None:
        self.container.close()

    def track(self, kind: Kind) -> AudioStream | VideoStream:
        """The track of this kind; raises DataError where there is none."""
        found = self.audio if kind == "audio" else self.video
        if found is None:
            raise DataError(f"{self.path}: has no {kind} track")
        return found

    def _origin(self) -> Fraction:
        """The container's start, which is in whole microseconds, as its track says it."""
        rounded = Fraction(self.container.start_time or 0, 1_000_000)
        tracks = [t for t in (self.audio, self.video) if t is not None]
        starts = [t.start_time * t.time_base for t in tracks if t.start_time and t.time_base]
        return next((s for s in starts if abs(s - rounded) < Fraction(1, 500_000)), rounded)

    def duration(self) -> Fraction | None:
        """What the container declares, in seconds, of its longest track."""
        declared = self.container.duration
        return Fraction(declared, 1_000_000) if declared and declared > 0 else None

    def _audio(self) -> AudioStream | None:
        from av import AudioStream

        best = self.container.streams.best("audio")
        usable = isinstance(best, AudioStream) and best.codec_context and best.rate > 0
        return best if usable and isinstance(best, AudioStream) else None

    def _video(self) -> VideoStream | None:
        from av.stream import Disposition

        pictures = Disposition.attached_pic | Disposition.timed_thumbnails
        moving = [s for s in self.container.streams.video if not s.disposition & pictures]
        usable = [s for s in moving if s.codec_context and s.width > 0 and s.height > 0]
        best = self.container.streams.best("video")
        return next((s for s in usable if s is best), usable[0] if usable else None)

    def _check(self) -> None:
        if self.audio is None and self.video is None:
            raise DataError(f"{self.path}: has no audio or video track that can be decoded")
        if self.video is not None and self.video.width * self.video.height > MAX_PIXELS:
            size = f"{self.video.width} x {self.video.height}"
            raise DataError(f"{self.path}: claims pictures of {size}, more than can be read")


def check_range(rate: float, start: float, end: float | None) -> None:
    """Raise ConfigError where these name no samples: a rate > 0 and 0 <= start < end."""
    if not (math.isfinite(rate) and rate > 0):
        raise ConfigError(f"rate: found {rate}, expected more than 0 per second")
    if not (math.isfinite(start) and start >= 0):
        raise ConfigError(f"start: found {start}, expected seconds from 0")
    if end is not None and not end > start:
        raise ConfigError(f"end: found {end}, expected more than the start, {start}")


def _checked(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if not path.exists():
        if _ADDRESS.match(str(path)):
            raise DataError(f"{path}: is an address, expected a file: download it first")
        raise DataError(f"{path}: no such file")
    if not path.is_file():  # a folder, a pipe, a device
        raise DataError(f"{path}: is no file, expected audio or video")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty (0 bytes), expected audio or video")
    return path


def _open(path: Path) -> InputContainer:
    import av

    try:
        # An absolute path, since "concat:a" or "pipe:0" is a protocol to the library.
        return av.open(
            os.path.abspath(path),
            mode="r",
            options={"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)},
            metadata_errors="replace",
        )
    except (av.FFmpegError, OSError) as error:
        if isinstance(error, PermissionError) and not os.access(path, os.R_OK):
            raise DataError(f"{path}: cannot be read (permission denied)") from error
        raise DataError(
            f"{path}: is not audio or video that can be read ({KNOWN}), or is cut off before its "
            "table of contents"
        ) from error
