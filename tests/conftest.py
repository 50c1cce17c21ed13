"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # tests are tiny: a second thread only waits

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("TRICORD_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with recorded vectors and real data; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs recorded vectors or real data: {SHARED} is absent (TRICORD_SHARED)")
    return SHARED
