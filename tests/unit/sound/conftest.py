"""Every audio extractor, and a folder with a random speech encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_wav2vec import make_folder
from tricord.sound import Extractor, get


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("speech"))


@pytest.fixture(
    scope="session",
    params=["librosa-33", "librosa-33-logf0", "logmel-80", "egemaps-25", "transformers:"],
)
def extractor(request: pytest.FixtureRequest, speech_folder: Path) -> Extractor:
    """Each extractor in turn; librosa is imported once, in about a second.

    On a new machine that import compiles for half a minute; librosa keeps the result beside itself.
    """
    name = str(request.param)
    if name == "egemaps-25":
        pytest.importorskip("opensmile")
        with pytest.warns(match="licence"):
            return get(name)
    return get(f"{name}{speech_folder}" if name.endswith(":") else name)
