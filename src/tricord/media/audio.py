"""The sound of a file: one channel, at the rate asked for, as a whole or in blocks."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from tricord.errors import ConfigError
from tricord.media.source import check_range
from tricord.media.track import Decoded, Track

if TYPE_CHECKING:
    from av import AudioFrame

Samples = NDArray[np.float32]

# Seconds. As ffmpeg's own (aresample, min_hard_comp): containers round time stamps, so that
# smaller steps are no pauses.
PAUSE = 0.1
WARM_UP = 0.5  # seconds; a decoder's first packets after a jump lack what came before
BLOCK = 10.0  # seconds decoded at a time where all is wanted


@dataclass(frozen=True)
class Audio:
    """samples: (n,) float32 in [-1, 1], at `rate` a second; sample i is at `start + i / rate` s.

    truncated, broken: what is missing, see `Decoded`; of a block they are said by the iterator.
    """

    samples: Samples
    rate: int
    start: float
    truncated: bool = False
    broken: int = 0

    @property
    def end(self) -> float:
        """Time after the last sample, in seconds."""
        return self.start + len(self.samples) / self.rate


def read_audio(
    path: str | Path, rate: int, *, start: float = 0.0, end: float | None = None
) -> Audio:
    """All samples of [start, end) seconds; for long files see `audio_blocks`.

    Channels are averaged. Times count from the beginning of the file: where its sound begins later
    than its pictures, `Audio.start` is later too. Pauses between time stamps are silence. Raises
    DataError where the file cannot be read or has no sound, ConfigError for an empty range.
    """
    blocks = audio_blocks(path, rate, BLOCK, start=start, end=end)
    found = list(blocks)
    samples = [block.samples for block in found]
    return Audio(
        np.concatenate(samples) if samples else np.zeros(0, dtype=np.float32),
        rate,
        found[0].start if found else start,
        truncated=blocks.truncated,
        broken=blocks.broken,
    )


def audio_blocks(
    path: str | Path,
    rate: int,
    seconds: float,
    *,
    start: float = 0.0,
    end: float | None = None,
) -> Decoded[Audio]:
    """The same in blocks of so many seconds, the last one shorter; holds about one of them.

    Raises as `read_audio`, before the first block.
    """
    check_range(rate, start, end)
    if not seconds > 0:
        raise ConfigError(f"seconds: found {seconds}, expected more than 0 for a block")
    track = Track(path, "audio", start, lead=WARM_UP)
    return Decoded(_blocks(track, rate, max(1, round(seconds * rate)), end), track)


def _blocks(track: Track, rate: int, size: int, end: float | None) -> Generator[Audio]:
    held: list[Samples] = []
    count = 0
    time: float | None = None
    for at, samples in _range(track, rate, end):
        time = at if time is None else time
        held.append(samples)
        count += len(samples)
        if count >= size:
            joined = np.concatenate(held)
            for first in range(0, count - count % size, size):
                yield Audio(joined[first : first + size].copy(), rate, time)
                time += size / rate
            held, count = [joined[count - count % size :].copy()], count % size
    if count and time is not None:
        yield Audio(np.concatenate(held), rate, time)


def _range(track: Track, rate: int, end: float | None) -> Iterator[tuple[float, Samples]]:
    """(time, samples) at the rate, of those between the track's start and the end."""
    done = skip = 0
    stop: float = math.inf
    begin: Fraction | None = None
    for time, samples in _resampled(track, rate):
        if begin is None:
            begin = time
            skip = max(0, _index(track.start - begin, rate))
            stop = math.inf if end is None else _index(Fraction(end) - begin, rate)
        first, last = max(skip, done), min(stop, done + len(samples))
        if first < last:
            part = samples[first - done : int(last) - done]
            yield float(begin + Fraction(first, rate)), np.clip(part, -1.0, 1.0)
        done += len(samples)
        if done >= stop:
            return


def _index(distance: Fraction, rate: int) -> int:
    """Number of the first sample at or after a distance in seconds from sample 0.

    A millionth of a sample is no distance: an end given as a float may lie that much behind.
    """
    return math.ceil(distance * rate - Fraction(1, 1_000_000))


def _resampled(track: Track, rate: int) -> Iterator[tuple[Fraction, Samples]]:
    """(time of the very first sample, samples at the rate)."""
    from av.audio.resampler import AudioResampler

    begin: Fraction | None = None
    resampler, own_rate, pushed = None, 0, 0
    for time, source_rate, samples in _without_pauses(track):
        begin = time if begin is None else begin
        if resampler is None or source_rate != own_rate:
            if resampler is not None:
                yield from ((begin, _flat(f)) for f in resampler.resample(None))
            resampler, own_rate, pushed = AudioResampler("fltp", "mono", rate), source_rate, 0
        frame = _frame(samples, source_rate, pushed)
        pushed += len(samples)
        yield from ((begin, _flat(f)) for f in resampler.resample(frame))
    if resampler is not None and begin is not None and own_rate != rate:
        yield from ((begin, _flat(f)) for f in resampler.resample(None))


def _frame(samples: Samples, rate: int, stamp: int) -> AudioFrame:
    from av import AudioFrame

    frame = AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, stamp, Fraction(1, rate)
    return frame


def _flat(frame: AudioFrame) -> Samples:
    return cast(Samples, frame.to_ndarray()[0])


def _without_pauses(track: Track) -> Iterator[tuple[Fraction, int, Samples]]:
    """(time, rate, samples) one after the other: silence where nothing is, overlaps cut off."""
    expected: Fraction | None = None
    for time, frame in track.frames():
        if TYPE_CHECKING:
            assert isinstance(frame, AudioFrame)
        rate, samples = frame.sample_rate, _mono(frame)
        expected = time if expected is None else expected
        if abs(time - expected) > PAUSE:
            for length in _pieces(round((time - expected) * rate), rate):
                yield expected, rate, np.zeros(length, dtype=np.float32)
                expected += Fraction(length, rate)
            samples = samples[max(0, round((expected - time) * rate)) :]
        if len(samples):
            yield expected, rate, samples
            expected += Fraction(len(samples), rate)


def _pieces(total: int, size: int) -> Iterator[int]:
    """Lengths that add up to the total, none longer than the size."""
    return (min(size, total - first) for first in range(0, total, size))


def _mono(frame: AudioFrame) -> Samples:
    """(n,) float32: the mean of all channels, full scale at 1."""
    found = frame.to_ndarray()
    channels = found if frame.format.is_planar else found.reshape(frame.samples, -1).T
    if channels.dtype == np.uint8:
        channels = (channels.astype(np.float32) - 128) / 128
    elif channels.dtype.kind == "i":
        channels = channels / np.float32(2.0 ** (8 * channels.dtype.itemsize - 1))
    return np.ascontiguousarray(channels.mean(axis=0, dtype=np.float64).astype(np.float32))
