"""Clips that several tests read and none changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from drawn_clips import CODECS, FPS, numbered, voice, write_clip


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By suffix: one second of numbered pictures (where there are any) and a voice."""
    folder = tmp_path_factory.mktemp("clips")
    images = [numbered(number) for number in range(FPS)]
    return {
        suffix: write_clip(folder / f"clip{suffix}", images if video else (), voice(1.0))
        for suffix, (video, _) in CODECS.items()
    }


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds at 10 pictures a second, a key frame every second; the index in front."""
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    images = [numbered(number) for number in range(100)]
    return write_clip(path, images, voice(10.0), fps=10, options={"movflags": "faststart"})
