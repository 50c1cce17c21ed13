"""`transformers:NAME`: hidden states of wav2vec 2.0, HuBERT, WavLM and their kin."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tricord.errors import ConfigError
from tricord.features.language import load_pretrained
from tricord.features.weights import fingerprint, load_encoder
from tricord.sound.extractor import Extractor, Waveform, numbered

WHAT = "audio encoder"
_ALLOW = "download=True"
# Stands for hidden frames while such a model is trained; many checkpoints leave it out.
_TRAINING_ONLY = {"masked_spec_embed"}


def extractor(name: str, *, download: bool = False) -> Extractor:
    """Last hidden states of a model by name or local folder, in evaluation mode, float32.

    The waveform is scaled to mean 0 and variance 1 where the model's own settings ask for it. A
    clip runs alone and whole, without padding; attention takes memory with its length squared.
    Nothing is fetched unless ``download``, and only weights in safetensors format are read. Raises
    ConfigError where there is no such model, or where it is not one that reads a waveform.
    """
    from transformers import AutoFeatureExtractor

    prepare = load_pretrained(AutoFeatureExtractor, name, download, WHAT, _ALLOW)
    model, missing = load_encoder(name, download, WHAT, _ALLOW)
    config = model.config
    strides, kernels = (getattr(config, f"conv_{what}", None) for what in ("stride", "kernel"))
    if not strides or not kernels or not hasattr(prepare, "do_normalize"):
        raise ConfigError(f"{WHAT} {name!r} is a {config.model_type}, which reads no waveform")
    absent = [weight for weight in missing if weight not in _TRAINING_ONLY]
    if absent:  # they would be random numbers
        raise ConfigError(f"{WHAT} {name!r} cannot be loaded: it has no weights {absent[0]!r}")
    window, hop = receptive_field(kernels, strides)
    return Extractor(
        name=f"transformers:{name}",
        version=1,
        rate=int(prepare.sampling_rate),
        hop=hop,
        first=window / 2,
        shortest=window,
        columns=numbered("state", int(config.hidden_size)),
        measure=_Encoder(model, bool(prepare.do_normalize)),
        settings={
            "kind": config.model_type,
            "layer": "last",
            "normalised": bool(prepare.do_normalize),
            "model": fingerprint(model, _TRAINING_ONLY),
        },
        tools={library: version(library) for library in ("torch", "transformers")},
    )


class _Encoder:
    def __init__(self, model: Any, normalised: bool) -> None:
        self.model = model
        self.normalised = normalised

    @torch.inference_mode()
    def __call__(self, waveform: Waveform) -> NDArray[np.float32]:
        if self.normalised:
            waveform = normalised(waveform)
        states = self.model(torch.tensor(waveform)[None]).last_hidden_state[0]
        values: NDArray[np.float32] = states.numpy()
        return values


def normalised(waveform: Waveform) -> Waveform:
    """Mean 0 and variance 1, as the models' own feature extractors do it."""
    centred = waveform - waveform.mean(dtype=np.float64)
    scaled: Waveform = (centred / np.sqrt(centred.var() + 1e-7)).astype(np.float32)
    return scaled


def receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """Samples that a frame of a stack of convolutions sees, and samples between two frames."""
    window, hop = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        window += (kernel - 1) * hop
        hop *= stride
    return window, hop
