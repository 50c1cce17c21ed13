"""One track of a file, decoded in order, with its time stamps and what was lost on the way."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from tricord.errors import DataError
from tricord.media.source import Kind, Source

if TYPE_CHECKING:
    from av import AudioFrame, Packet, VideoFrame
    from av.stream import Stream

    AnyFrame = AudioFrame | VideoFrame

T = TypeVar("T")

TAIL = Fraction(1, 10)  # seconds that a declared duration may be off: padding, rounding
MAX_JUMP = 600  # seconds that nothing is there; a longer pause is a broken time stamp
GUESSED = {"aac"}  # containers without a duration; the library guesses one from the bit rate


class Track:
    """The frames of one kind from `start` on; streaming, one decoder thread.

    truncated: whether the file breaks off before the end that it declares; known once all frames
    were taken, and False where they were not. broken: packets that could not be decoded, so far.
    """

    def __init__(self, path: str | Path, kind: Kind, start: float, *, lead: float = 0.0) -> None:
        """lead: seconds before the start at which the decoder begins, where it needs to warm up.

        Raises DataError where the file cannot be opened or has no such track.
        """
        self.kind = kind
        self.start = Fraction(start)
        self.truncated = False
        self.broken = 0
        self._lead = Fraction(lead)
        self._use(Source(path))

    def _use(self, source: Source) -> None:
        self.source = source
        self.path = source.path
        try:
            self.stream: Stream = source.track(self.kind)
        except DataError:
            source.close()
            raise
        # Clips are decoded side by side by processes; threads of one clip would fight for cores.
        self.stream.codec_context.thread_count = 1
        assert self.stream.time_base is not None
        self.unit = self.stream.time_base
        self.next_time = self.begin = self.seconds(self.stream.start_time or 0)
        self._ends: dict[int, Fraction] = {}

    def seconds(self, stamp: int) -> Fraction:
        """A time stamp of this track as seconds from the beginning of the file."""
        return stamp * self.unit - self.source.origin

    def close(self) -> None:
        self.source.close()

    def frames(self) -> Generator[tuple[Fraction, AnyFrame]]:
        """(time, frame) in order, the first at or before the start where there is one.

        Raises DataError where time stamps jump by more than ten minutes.
        """
        with closing(self):
            if self._seek():
                rest = self._decode()
                first = next(rest, None)
                if first is not None and first[0] <= self.start:
                    yield first
                else:  # no table of contents, or a wrong one
                    self.close()
                    self.broken = 0
                    self._use(Source(self.path))
                    rest = self._decode()
            else:
                rest = self._decode()
            yield from rest
            self.truncated = self.truncated or self._ends_early()

    def _seek(self) -> bool:
        import av

        place = self.start - self._lead
        if place <= max(self.begin, Fraction(1)):  # a second is decoded faster than found
            return False
        try:
            stamp = int((place + self.source.origin) / self.unit)
            self.source.container.seek(stamp, stream=self.stream)
        except av.FFmpegError:
            return False
        self.next_time = place
        return True

    def _decode(self) -> Iterator[tuple[Fraction, AnyFrame]]:
        for packet in self._packets():
            for frame in self._frames_of(packet):
                stamp = frame.pts if frame.pts is not None else frame.dts
                time = self.next_time if stamp is None else self.seconds(stamp)
                if time - self.next_time > MAX_JUMP:
                    raise DataError(
                        f"{self.path}: broken time stamps: {self.kind} jumps from "
                        f"{float(self.next_time):.1f} s to {float(time):.1f} s"
                    )
                self.next_time = time + self._length(frame)
                yield time, frame

    def _packets(self) -> Iterator[Packet[Stream]]:
        """Those of this track; of all tracks it is noted how far they go."""
        import av

        packets = self.source.container.demux()
        cut = False
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self.truncated = True
                return
            if packet is None:
                self.truncated = cut  # the file ends within its last packet
                return
            self._note(packet)
            if packet.size:
                cut = packet.is_corrupt
            # Not packet.stream_index, which is 0 in the empty packet that ends every track.
            if packet.stream.index == self.stream.index:
                self.broken += packet.is_corrupt
                yield packet

    def _note(self, packet: Packet[Stream]) -> None:
        if packet.pts is None or packet.is_corrupt:
            return
        end = (packet.pts + (packet.duration or 0)) * packet.time_base - self.source.origin
        self._ends[packet.stream.index] = max(end, self._ends.get(packet.stream.index, end))

    def _frames_of(self, packet: Packet[Stream]) -> list[AnyFrame]:
        import av

        try:
            found = packet.decode()
        except av.FFmpegError:
            self.broken += 1
            return []
        return [f for f in found if isinstance(f, av.AudioFrame | av.VideoFrame)]

    def _length(self, frame: AnyFrame) -> Fraction:
        import av

        if isinstance(frame, av.AudioFrame):
            return Fraction(frame.samples, frame.sample_rate)
        rate = self.stream.average_rate
        length = frame.duration * self.unit if frame.duration else 1 / rate if rate else self.unit
        return min(length, Fraction(MAX_JUMP))

    def _ends_early(self) -> bool:
        """Against the track's own declared end, or else the file's."""
        if self.source.container.format.name in GUESSED:
            return False
        if self.stream.duration:
            declared: Fraction | None = self.begin + self.stream.duration * self.unit
            reached = self._ends.get(self.stream.index, self.begin)
        else:
            declared, reached = self.source.duration(), max(self._ends.values(), default=self.begin)
        return declared is not None and reached < declared - TAIL


class Decoded(Generic[T], Iterator[T]):
    """What a track gives, one by one; `truncated` and `broken` say what is missing, see `Track`."""

    def __init__(self, values: Generator[T], track: Track) -> None:
        self._values = values
        self._track = track

    def __next__(self) -> T:
        return next(self._values)

    def close(self) -> None:
        """Close the file; also done at the end of the values."""
        self._values.close()
        self._track.close()

    @property
    def truncated(self) -> bool:
        """Whether the file breaks off before the end it declares; known after the last value."""
        return self._track.truncated

    @property
    def broken(self) -> int:
        """Packets that could not be decoded, or not wholly, so far."""
        return self._track.broken
