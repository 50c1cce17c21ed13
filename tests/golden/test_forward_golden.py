"""The recorded forward and backward pass of CMC, from the released parameter names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tricord.models import CMC
from tricord.models.released import cmc_state
from tricord.nn.losses import modality_supcon, task_loss
from tricord.types import MODALITIES, Prediction

SUFFIX = dict(zip(MODALITIES, "lav", strict=True))
# temperature of PFM -> prefix of the recorded outputs (router over all three modalities)
FLOAT32 = {0.07: "out", 0.5: "out_temp0.5_top3", 1.0: "out_temp1.0_top3"}
POSITIVE = 2  # the class above zero: SupCon's labels are binarised (fidelity 6)


class Recording:
    def __init__(self, path: Path) -> None:
        self.data = np.load(path)
        self.cfg = json.loads(str(self.data["cfg"]))
        self.state = {
            key.removeprefix("w/"): self.data[key] for key in self.data.files if key[:2] == "w/"
        }

    def model(self, temperature: float, dtype: Any = np.float32) -> CMC:
        state = {
            key: value.astype(dtype) if value.dtype.kind == "f" else value
            for key, value in self.state.items()
        }
        return CMC.from_released(state, heads=self.cfg["nhead"], temperature=temperature)

    def features(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        return {m: torch.as_tensor(self.data[f"in/{m}"]).to(dtype) for m in MODALITIES}

    def lengths(self) -> dict[str, Tensor]:
        return {m: torch.as_tensor(self.data[f"in/{m}_len"]) for m in MODALITIES}


@pytest.fixture(scope="module")
def recording(shared: Path) -> Recording:
    return Recording(shared / "golden" / "cmc" / "cmc_forward_sims.npz")


def assert_prediction(p: Prediction, recording: Recording, prefix: str, tolerance: float) -> None:
    found = {
        "pred": p.consensus,
        **{f"pred_{m[0]}": p.votes[:, k] for k, m in enumerate(MODALITIES)},
        **{f"h_{SUFFIX[m]}": p.h[:, k] for k, m in enumerate(MODALITIES)},
        "router_weights": p.weights,
    }
    if prefix == "out64":
        del found["router_weights"]
    for name, value in found.items():
        np.testing.assert_allclose(
            value, recording.data[f"{prefix}/{name}"], rtol=0, atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize("temperature", FLOAT32)
def test_forward_matches(recording: Recording, temperature: float) -> None:
    model = recording.model(temperature)
    router_in: list[Tensor] = []
    assert model.router is not None
    model.router.register_forward_pre_hook(lambda _, inputs: router_in.append(inputs[0]))
    p = model.predict_features(recording.features())
    assert p.consensus.dtype == torch.float32
    assert_prediction(p, recording, FLOAT32[temperature], 2e-5)
    expected = recording.data[f"{FLOAT32[temperature]}/router_in"]  # Eq. 12
    np.testing.assert_allclose(router_in[0], expected, rtol=0, atol=2e-5)


def test_float64_forward_matches(recording: Recording) -> None:
    model = recording.model(recording.cfg["temperature"], np.float64)
    p = model.predict_features(recording.features(torch.float64))
    assert p.consensus.dtype == torch.float64
    assert_prediction(p, recording, "out64", 1e-10)


def test_lengths_have_no_effect_where_padding_is_ignored(recording: Recording) -> None:
    model = recording.model(recording.cfg["temperature"])
    p = model.predict_features(recording.features(), recording.lengths())
    assert_prediction(p, recording, "out", 2e-5)


def test_losses_and_gradients_match(recording: Recording) -> None:
    model = recording.model(recording.cfg["temperature"])
    p = model(model._batch(recording.features(), {}))
    labels = torch.as_tensor(recording.data["loss/labels_mtav"]).T  # (B, 1 + K)
    outputs = torch.cat([p.consensus[:, None], p.votes], dim=1)
    ce = task_loss(outputs, labels)
    positive = (labels[:, 1:] >= POSITIVE).long()
    contrast = modality_supcon(
        p.h, positive, torch.ones_like(positive, dtype=torch.bool), 0.07, "inside", "released"
    )
    total = ce.sum() + contrast

    def close(value: Tensor, name: str) -> None:
        np.testing.assert_allclose(
            value.detach(), recording.data[f"loss/{name}"], rtol=0, atol=2e-5, err_msg=name
        )

    close(ce, "ce_mtav")
    close(contrast, "supcon")
    close(total, "total")

    total.backward()  # type: ignore[no-untyped-call]
    recorded = {k.removeprefix("grad/"): v for k, v in recording.data.items() if k[:5] == "grad/"}
    gradients, _ = cmc_state(recorded)
    parameters = dict(model.named_parameters())
    assert gradients.keys() == parameters.keys()
    for name, expected in gradients.items():
        np.testing.assert_allclose(
            parameters[name].grad,
            expected,
            rtol=0,
            atol=1e-4 * float(expected.abs().max()),
            err_msg=name,
        )
