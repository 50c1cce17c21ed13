"""AV-MC: the recorded forward pass, and one training step with recorded mixing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import baseline_data
from tricord.models import registry
from tricord.models.baselines import av_mc
from tricord.models.baselines.av_mc import AVMC, AVMCStage, Mixing
from tricord.types import Batch, Frames

ENCODER = {"norm": "0", "linear_1": "2", "linear_2": "4", "linear_3": "6"}
HEAD = {"1": "first", "2": "second", "3": "out"}


def our_name(recorded: str) -> str:
    """``video_model.linear_2.bias`` is ``encoders.vision.4.bias``, and so on."""
    whole = {"output_range": "range", "output_shift": "low"}
    if recorded in whole:
        return whole[recorded]
    module, rest = recorded.replace("video", "vision").split(".", 1)
    if module == "tliner":
        return f"encoders.text.{rest}"
    if module.startswith("post_fusion"):
        return f"fusion.{module[-1]}.{rest}"
    if module.startswith("post_"):
        return f"heads.{module.split('_')[1]}.{HEAD[module[-1]]}.{rest}"
    layer, kind = rest.split(".")
    return f"encoders.{module.removesuffix('_model')}.{ENCODER[layer]}.{kind}"


@pytest.fixture(scope="module")
def recording(shared: Path) -> Any:
    return np.load(shared / "golden" / "baselines" / "avmc_mosi.npz")


@pytest.fixture
def model(recording: Any) -> AVMC:
    config = registry.get("av-mc").config("mosi").released()
    # recorded without dropout, so that the step has no randomness but the mixing
    config = config.with_settings({"encoder_dropout": 0.0, "head_dropout": 0.0})
    model = AVMC(config, registry.WIDTHS["mosi"]).double()
    weights = {
        our_name(k.removeprefix("w/")): torch.as_tensor(v)
        for k, v in recording.items()
        if k[:2] == "w/"
    }
    model.load_state_dict(weights)
    return model.eval()


def batch_of(recording: Any) -> Batch:
    def frames(values: Any) -> Frames:
        return Frames.pack(torch.as_tensor(values), torch.full((len(values),), values.shape[1]))

    scores = np.concatenate([recording[f"in/label_{k}"] for k in "MTAV"], axis=1)
    rows = len(scores)
    return Batch(
        frames={
            "text": frames(recording["in/text_feat"]),
            "audio": frames(recording["in/audio_mean"][:, None]),
            "vision": frames(recording["in/vision_mean"][:, None]),
        },
        present=torch.ones(rows, 3, dtype=torch.bool),
        index=torch.arange(rows),
        scores=torch.as_tensor(scores),
        labels=torch.ones(rows, 4, dtype=torch.long),
    )


def close(found: Tensor, expected: Any, tolerance: float = 1e-10, name: str = "") -> None:
    np.testing.assert_allclose(found.detach(), expected, rtol=0, atol=tolerance, err_msg=name)


def test_forward_matches(recording: Any, model: AVMC) -> None:
    batch = batch_of(recording)
    tasks = model.tasks(model.vectors(batch))
    close(tasks, np.concatenate([recording[f"out/{k}"] for k in "MTAV"], axis=1))
    close(model(batch), recording["out/M"])


def test_step_matches(recording: Any, model: AVMC, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = iter(
        Mixing(torch.as_tensor(recording[f"in/lam{k}"]), torch.as_tensor(recording[f"in/perm{k}"]))
        for k in "AV"
    )
    monkeypatch.setattr(av_mc, "draw_mixing", lambda clips: next(recorded))
    other = baseline_data.loaders(baseline_data.build("av-mc"))
    stage = AVMCStage(model, *other.of(8, tokens=False))
    model.train()
    losses = stage.loss(batch_of(recording))
    ours = ("plain", "mixed_audio", "mixed_vision", "loss")
    for name, key in zip(ours, ("base", "amix", "vmix", "total"), strict=True):
        close(losses[name], recording[f"train/loss_{key}"], name=name)

    losses["loss"].backward()
    norms = {
        our_name(k.removeprefix("gradnorm/")): float(v)
        for k, v in recording.items()
        if k.startswith("gradnorm/")
    }
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert trained.keys() == norms.keys()
    for name, parameter in trained.items():
        assert parameter.grad is not None, name
        close(parameter.grad.norm(), norms[name], name=name)
    # all three passes were seen by batch normalisation
    norm: Any = model.get_submodule("encoders.audio.0")
    close(norm.running_mean, recording["train/after_audio_model.norm.running_mean"])
    close(norm.running_var, recording["train/after_audio_model.norm.running_var"])
