"""Parameter names of the released implementation, and the way from them to ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tricord.errors import ModelError
from tricord.types import MODALITIES

_SUFFIX = {"l": "text", "a": "audio", "v": "vision"}
_ENCODER = re.compile(r"^(norm|proj|encoder)_([lav])\.(.+)$")
_HEAD = re.compile(r"^(proj1s|proj2s|out_layers)\.(\d+)\.(.+)$")
_UNIMODAL_HEAD = re.compile(r"^(proj1|proj2|out_layer)\.(.+)$")
_HEAD_NAMES = {
    **{"proj1s": "proj1", "proj2s": "proj2", "out_layers": "out"},
    **{"proj1": "proj1", "proj2": "proj2", "out_layer": "out"},
}
# what stands inside a BERT-like model; before it, the released code's own prefix
_LANGUAGE_MODEL = re.compile(r"^(?:.*?\.)??((?:embeddings|encoder\.layer|pooler)\..+)$")

M = TypeVar("M", bound=nn.Module)


def to_tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """numpy arrays or tensors -> tensors, dtype kept."""
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else torch.tensor(value)
        for name, value in state.items()
    }


def _encoder_name(key: str) -> tuple[str, str] | None:
    """``encoder_a.layers.0.x`` -> (``audio``, ``encoder.layers.0.x``)."""
    match = _ENCODER.match(key)
    if match is None:
        return None
    part, suffix, rest = match.groups()
    inner = rest if part == "encoder" else f"{part}.{rest}"
    return _SUFFIX[suffix], f"encoder.{inner}"


def cmc_state(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Released names of the whole model -> (our names, the language model's own names).

    Raises ModelError naming the keys that are not known.
    """
    ours: dict[str, Tensor] = {}
    language: dict[str, Tensor] = {}
    unknown: list[str] = []
    for key, value in to_tensors(state).items():
        if named := _encoder_name(key):
            ours[f"unimodal.{named[0]}.{named[1]}"] = value
        elif (match := _HEAD.match(key)) and int(match[2]) < len(MODALITIES):
            modality = MODALITIES[int(match[2])]
            ours[f"unimodal.{modality}.classifier.{_HEAD_NAMES[match[1]]}.{match[3]}"] = value
        elif key.startswith("router.linear."):
            ours[key] = value
        elif (match := _LANGUAGE_MODEL.match(key)) and match[1] not in language:
            language[match[1]] = value
        else:
            unknown.append(key)
    _refuse(unknown)
    return ours, language


def unimodal_state(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Released names of a unimodal model -> ours.

    Raises ModelError for unknown keys or more than one modality.
    """
    ours: dict[str, Tensor] = {}
    unknown: list[str] = []
    modalities: set[str] = set()
    for key, value in to_tensors(state).items():
        if named := _encoder_name(key):
            modalities.add(named[0])
            ours[named[1]] = value
        elif match := _UNIMODAL_HEAD.match(key):
            ours[f"classifier.{_HEAD_NAMES[match[1]]}.{match[2]}"] = value
        elif not _LANGUAGE_MODEL.match(key):
            unknown.append(key)
    _refuse(unknown)
    if len(modalities) > 1:
        raise ModelError(f"released state: {sorted(modalities)} found, one modality expected")
    return ours


def _refuse(unknown: list[str]) -> None:
    if unknown:
        raise ModelError(f"released state: unknown keys {', '.join(sorted(unknown))}")


def count_layers(state: Mapping[str, Any]) -> int:
    """Transformer layers in a unimodal state with our names."""
    return len({key.split(".")[2] for key in state if key.startswith("encoder.layers.")})


def feedforward(state: Mapping[str, Tensor], d: int) -> int:
    """Feed-forward width in a unimodal state; any, where there is no layer."""
    weight = state.get("encoder.layers.0.linear1.weight")
    return d if weight is None else len(weight)


def load(model: M, state: Mapping[str, Tensor]) -> M:
    """Fill a model; raises ModelError naming missing, surplus or misshapen entries."""
    own = model.state_dict()
    missing, surplus = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or surplus:
        raise ModelError(f"state: missing {missing or 'nothing'}, surplus {surplus or 'nothing'}")
    for name, value in state.items():
        if own[name].shape != value.shape:
            raise ModelError(
                f"state: {name} has shape {tuple(value.shape)}, expected {tuple(own[name].shape)}"
            )
    model.load_state_dict(dict(state))
    return model
