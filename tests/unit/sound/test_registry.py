"""Extractors by name."""

from __future__ import annotations

import importlib.util

import pytest

from tricord.errors import ConfigError
from tricord.sound import get, names


@pytest.mark.parametrize("name", ["librosa", "transformers:", ""])
def test_an_unknown_name_lists_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match="librosa-33, librosa-33-logf0, logmel-80, egemaps-25"):
        get(name)


def test_names() -> None:
    assert names()[-1] == "transformers:NAME"


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'librosa-33' needs librosa.*tricord\[clips\]"):
        get("librosa-33")
    assert len(get("logmel-80").columns) == 80  # needs no extra
