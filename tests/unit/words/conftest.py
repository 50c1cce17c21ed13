"""A tiny language model on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_bert import make_folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("models") / "bert")
