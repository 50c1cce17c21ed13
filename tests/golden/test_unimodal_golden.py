"""The recorded forward pass of each modality's own model, from the released parameter names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tricord.models import Unimodal
from tricord.types import MODALITIES

SUFFIX = dict(zip(MODALITIES, "lav", strict=True))


@pytest.mark.parametrize("name", MODALITIES)
def test_forward_matches(shared: Path, name: str) -> None:
    data = np.load(shared / "golden" / "cmc" / "unimodal_forward_sims.npz")
    prefix = f"{name}/w/"
    state = {k.removeprefix(prefix): data[k] for k in data.files if k.startswith(prefix)}
    model = Unimodal.from_released(state, heads=json.loads(str(data["cfg"]))["nhead"])
    before_output: list[Tensor] = []  # residual + h
    model.classifier.out.register_forward_pre_hook(
        lambda _, inputs: before_output.append(inputs[0])
    )

    output = model.predict_features(torch.as_tensor(data[f"{name}/in"]))

    for found, key in (
        (output.logits, "pred"),
        (output.h, f"h_{SUFFIX[name]}"),
        (before_output[0], "last_hs_proj"),
    ):
        np.testing.assert_allclose(found, data[f"{name}/out/{key}"], rtol=0, atol=2e-5, err_msg=key)
