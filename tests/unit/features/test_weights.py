"""What identifies an encoder of sound or pictures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tricord.features.weights import fingerprint

SETTINGS = {"model_type": "wav2vec2", "hidden_act": "gelu", "conv_stride": [5, 2]}


class Model(nn.Module):
    """Two weights, and settings as transformers holds them."""

    def __init__(self, shift: float = 0.0, **settings: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3) + shift, requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(2), requires_grad=False)
        self.config = SimpleNamespace(**{**SETTINGS, **settings})


def test_the_same_model_in_another_version_of_the_library_is_the_same() -> None:
    newer: dict[str, Any] = {
        "transformers_version": "9",
        "_name_or_path": "./there",
        "new": 1,
        "dtype": "float32",
    }
    assert fingerprint(Model(**newer)) == fingerprint(Model())
    assert fingerprint(Model(conv_stride=(5, 2))) == fingerprint(Model())


@pytest.mark.parametrize(
    "settings", [{"hidden_act": "relu"}, {"conv_stride": [2, 5]}, {"layer_norm_eps": 0.1}]
)
def test_a_setting_that_decides_makes_another_Model(settings: dict[str, Any]) -> None:
    assert fingerprint(Model(**settings)) != fingerprint(Model())


def test_a_weight_makes_another_model_unless_it_is_not_used() -> None:
    assert fingerprint(Model(1.0)) != fingerprint(Model())
    assert fingerprint(Model(1.0), {"weight"}) == fingerprint(Model(), {"weight"})
