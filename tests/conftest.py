"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from figures import Drawn

torch.set_num_threads(1)  # tests are tiny: a second thread only waits

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("TRICORD_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with recorded vectors and real data; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs recorded vectors or real data: {SHARED} is absent (TRICORD_SHARED)")
    return SHARED


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Figures that are drawn and not saved."""
    from figures import keep_unsaved

    return keep_unsaved(monkeypatch)
