"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("TRICORD_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with recorded vectors and real data; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs recorded vectors or real data: {SHARED} is absent (TRICORD_SHARED)")
    return SHARED
