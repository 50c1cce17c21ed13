"""A tiny language model on disk, and a cache of features that no other test sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_bert import make_folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_folder(tmp_path_factory.mktemp("models") / "bert"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TRICORD_CACHE", str(folder))
    return folder
