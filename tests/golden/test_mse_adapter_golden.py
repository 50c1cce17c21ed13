"""The recorded adapter of MSE-Adapter on CMU-MOSI with Qwen's width: pseudo tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tricord.models import registry
from tricord.models.baselines.mse_adapter import MseAdapter
from tricord.types import Frames

# recorded prefix -> ours
NAMES = {
    "audio_LSTM.rnn.": "readers.audio.lstm.rnn.",
    "audio_LSTM.linear.": "readers.audio.out.",
    "video_LSTM.rnn.": "readers.vision.lstm.rnn.",
    "video_LSTM.linear.": "readers.vision.out.",
    "text_guide_mixer.text_mlp.": "text.",
    "mutli_scale_fusion.scale1.": "experts.0.",
    "mutli_scale_fusion.scale2.": "experts.1.",
    "mutli_scale_fusion.scale3.": "experts.2.",
    "mutli_scale_fusion.integrating.Integrating_layer.0.": "mix.",
    "mutli_scale_fusion.multi_scale_projector.": "widen.",
    "mutli_scale_fusion.projector.": "spread.",
}


@pytest.fixture(scope="module")
def recording(shared: Path) -> Any:
    return np.load(shared / "golden" / "baselines" / "mse_adapter_mosi_qwen.npz")


@pytest.fixture(scope="module")
def model(recording: Any) -> MseAdapter:
    name = "mse-adapter-qwen-1.8b"
    built = registry.get(name).build(registry.get(name).config("mosi"), registry.WIDTHS["mosi"])
    assert isinstance(built, MseAdapter)
    state = {}
    for key in recording.files:
        if key.startswith("w/"):
            old = next(p for p in NAMES if key[2:].startswith(p))
            value = torch.as_tensor(recording[key].astype(np.float64))
            ours = NAMES[old] + key[2:].removeprefix(old)
            state[ours] = value.reshape(1, 3) if ours == "mix.weight" else value
    built.double().load_state_dict(state)
    return built.eval()


@pytest.fixture(scope="module")
def frames(recording: Any) -> dict[str, Frames]:
    return {
        name: Frames.pack(
            torch.as_tensor(recording[f"in/{name}"]),
            torch.as_tensor(recording[f"in/{name}_lengths"]),
        )
        for name in ("audio", "vision")
    }


@torch.no_grad()
def test_last_states_match(recording: Any, model: MseAdapter, frames: dict[str, Frames]) -> None:
    for name, old in (("audio", "audio_h"), ("vision", "video_h")):
        found = model.last_state(name, frames[name])
        np.testing.assert_allclose(found, recording[f"out/{old}"], rtol=0, atol=1e-12)


@torch.no_grad()
def test_pseudo_tokens_match(recording: Any, model: MseAdapter, frames: dict[str, Frames]) -> None:
    words = torch.as_tensor(recording["in/text_embed"].astype(np.float64)).mean(dim=1)
    found = model.pseudo_tokens(words, frames)
    assert found.shape == (3, 4, 2048)
    np.testing.assert_allclose(found, recording["out/pseudo_tokens"], rtol=0, atol=1e-12)
