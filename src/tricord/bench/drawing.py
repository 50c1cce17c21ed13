"""Clips of nobody, for measuring speed: a drawn face that talks before a rough wall, and a hum."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tricord.errors import ConfigError

WIDTH, HEIGHT, FPS, RATE = 854, 480, 30, 44_100  # 480p, as shared videos are
MOUTHS = 6  # pictures of the mouth from shut to open and back
SWAY = 40  # pixels that the head moves to either side

Image = NDArray[np.uint8]


def draw_clip(path: Path, seconds: float, seed: int) -> Path:
    """An mp4 (H.264, AAC) of 480p at 30 pictures a second. Raises ConfigError without PyAV."""
    try:
        import av
    except ImportError:
        raise ConfigError(
            "PyAV, which writes the clips, is not installed: pip install 'tricord[clips]'"
        ) from None
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = file.add_stream("aac", rate=RATE, layout="mono")
        faces = [_face(mouth / (MOUTHS - 1), seed) for mouth in range(MOUTHS)]
        for number in range(round(seconds * FPS)):
            mouth = abs(number % (2 * MOUTHS - 2) - MOUTHS + 1)
            sway = round(SWAY * np.sin(2 * np.pi * number / (3 * FPS)))
            frame = av.VideoFrame.from_ndarray(np.roll(faces[mouth], sway, axis=1))
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        hum = _hum(seconds, seed)
        for first in range(0, len(hum), RATE // 10):
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(hum[None, first : first + RATE // 10]), "fltp", "mono"
            )
            block.sample_rate, block.time_base, block.pts = RATE, Fraction(1, RATE), first
            file.mux(audio.encode(block))
        file.mux(audio.encode(None))
    return path


def _face(mouth: float, seed: int) -> Image:
    """(HEIGHT, WIDTH, 3); mouth: 0 shut to 1 open. A face that detectors take for one."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    x, y = (x - WIDTH / 2) / (HEIGHT / 3), (y - HEIGHT / 2) / (HEIGHT / 3)
    rough = np.random.default_rng(seed).integers(-12, 12, (HEIGHT, WIDTH, 1))
    image = np.broadcast_to(np.array([70, 90, 110]), (HEIGHT, WIDTH, 3)).copy()
    image[(x / 0.65) ** 2 + (y / 0.85) ** 2 < 1] = (224, 180, 150)
    for side in (-0.27, 0.27):
        image[((x - side) / 0.14) ** 2 + ((y + 0.2) / 0.08) ** 2 < 1] = 240
        image[((x - side) / 0.06) ** 2 + ((y + 0.2) / 0.07) ** 2 < 1] = (40, 30, 30)
        image[(abs(x - side) < 0.17) & (abs(y + 0.36) < 0.035)] = (60, 40, 30)
    image[(abs(x) < 0.05) & (abs(y - 0.1) < 0.12)] = (200, 150, 125)
    image[(abs(x) < 0.32) & (abs(y - 0.45) < 0.03 + 0.12 * mouth)] = (150, 40, 50)
    return (image + rough).clip(0, 255).astype(np.uint8)


def _hum(seconds: float, seed: int) -> NDArray[np.float32]:
    """A voice of five harmonics that swells four times a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 110 + 15 * (seed % 8)
    waves = np.sum([np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 6)], axis=0)
    swells = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)
    return np.asarray(0.15 * waves * swells, dtype=np.float32)
