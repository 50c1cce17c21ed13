"""Clips without people: a drawn face, numbered pictures and a voice of sines, in any container."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Sound = NDArray[np.float32]

WIDTH, HEIGHT, FPS, RATE = 64, 48, 25, 16_000
CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("mpeg4", "aac"),
    ".mkv": ("libx264", "aac"),
    ".webm": ("libvpx", "libopus"),
    ".avi": ("mpeg4", "pcm_s16le"),
    ".wav": (None, "pcm_s16le"),
    ".mp3": (None, "libmp3lame"),
    ".flac": (None, "flac"),
}
FAST = {
    "libx264": {"preset": "ultrafast", "crf": "10"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
}
STAMP = Fraction(1, 90_000)  # unit of the time stamps handed to the encoders


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> Image:
    """A picture that carries a number below 256 as eight black or white bars."""
    bits = np.unpackbits(np.array([number], dtype=np.uint8)) * np.uint8(255)
    bars = np.repeat(bits, width // 8)
    return np.broadcast_to(bars[None, :, None], (height, width, 3)).copy()


def number_of(image: Image) -> int:
    """The number in a picture by `numbered`, also after lossy coding."""
    bars = image.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1)
    return int(np.packbits(bars > 127)[0])


def face(smile: float = 0.0, mouth: float = 0.2, width: int = WIDTH, height: int = HEIGHT) -> Image:
    """A drawn face; smile: -1 (corners of the mouth down) to 1 (up); mouth: 0 shut to 1 open."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - width / 2) / (height / 2), (y - height / 2) / (height / 2)
    image = np.full((height, width, 3), (70, 90, 110), dtype=np.uint8)
    image[(x / 0.65) ** 2 + (y / 0.85) ** 2 < 1] = (224, 180, 150)
    for side in (-0.27, 0.27):
        image[((x - side) / 0.14) ** 2 + ((y + 0.2) / 0.08) ** 2 < 1] = 255
        image[((x - side) / 0.06) ** 2 + ((y + 0.2) / 0.07) ** 2 < 1] = (40, 30, 30)
        image[(abs(x - side) < 0.17) & (abs(y + 0.36 + smile * 0.05) < 0.035)] = (60, 40, 30)
    image[(abs(x) < 0.05) & (abs(y - 0.1) < 0.12)] = (200, 150, 125)
    curve = 0.45 + smile * (0.12 - x**2)
    image[(abs(x) < 0.32) & (abs(y - curve) < 0.03 + 0.12 * mouth)] = (150, 40, 50)
    return image


def voice(seconds: float, pitch: float = 150.0, rate: int = RATE, loudness: float = 0.3) -> Sound:
    """A hum of five harmonics, (n,) in [-1, 1]."""
    time = np.arange(round(seconds * rate)) / rate
    waves = [np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 6)]
    return (loudness / 2.3 * np.sum(waves, axis=0)).astype(np.float32)


def write_clip(
    path: Path,
    images: Iterable[Image] = (),
    sound: Sound | None = None,
    *,
    fps: int = FPS,
    times: Sequence[float] | None = None,
    rate: int = RATE,
    sound_start: float = 0.0,
    turn: tuple[int, bool] = (0, False),
    pixel: Fraction = Fraction(1),
    options: dict[str, str] | None = None,
) -> Path:
    """A clip in the container that the suffix says.

    times: of the images in seconds, else even. sound: (n,) or (channels, n) at `rate`, from
    sound_start on. turn: degrees counter-clockwise for a player, and whether it mirrors left and
    right. pixel: width of a pixel over its height. options: of the container.
    """
    images = list(images)
    video_codec, audio_codec = CODECS[path.suffix]
    with av.open(str(path), "w", options=options or {}) as container:
        video = audio = None
        if images:
            assert video_codec
            video = container.add_stream(video_codec, rate=fps, options=FAST.get(video_codec, {}))
            video.height, video.width = images[0].shape[:2]
            video.pix_fmt, video.gop_size = "yuv420p", 10
            video.codec_context.max_b_frames = 0
            video.codec_context.time_base = STAMP if times else Fraction(1, fps)
            video.codec_context.sample_aspect_ratio = pixel
            if turn != (0, False):
                video.set_display_rotation(turn[0], hflip=turn[1])
        if sound is not None:
            sound = np.atleast_2d(sound)
            layout = "mono" if len(sound) == 1 else "stereo"
            audio = container.add_stream(audio_codec, rate=rate, layout=layout)
        if video is not None:
            for index, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image)
                if times:
                    frame.pts, frame.time_base = round(times[index] / STAMP), STAMP
                else:
                    frame.pts, frame.time_base = index, Fraction(1, fps)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio is not None and sound is not None:
            for first in range(0, sound.shape[1], rate // 10):
                part = np.ascontiguousarray(sound[:, first : first + rate // 10])
                block = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
                block.sample_rate, block.time_base = rate, Fraction(1, rate)
                block.pts = first + round(sound_start * rate)
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def talking(path: Path, seconds: float = 1.0, *, smile: float = 0.0, pitch: float = 150.0) -> Path:
    """A face whose mouth opens and shuts four times a second, and its voice."""
    steps = np.arange(round(seconds * FPS)) / FPS
    images = [face(smile, 0.5 - 0.5 * float(np.cos(2 * np.pi * 4 * t))) for t in steps]
    return write_clip(path, images, voice(seconds, pitch))
