"""Encoders of sound and pictures through transformers: their weights, and what identifies them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from tricord.features.language import load_pretrained

# Settings that change what the same weights make of sound or pictures. The whole of them is no
# measure: each version of transformers adds and drops some.
_DECISIVE = (
    *("model_type", "hidden_act", "layer_norm_eps", "num_attention_heads", "num_heads"),
    *("conv_stride", "feat_extract_activation", "feat_extract_norm", "do_stable_layer_norm"),
    *("position_embeddings_type", "rotary_embedding_base", "max_bucket_distance"),
    *("image_size", "patch_size", "window_size", "depths", "use_mean_pooling"),
)


def load_encoder(name: str, download: bool, what: str, allow: str) -> tuple[Any, tuple[str, ...]]:
    """A model by name or local folder, in float32 and evaluation mode, and its missing weights.

    Those are random numbers: whoever uses them has to refuse the model. Only the safetensors format
    is read. what, allow: for messages, see `load_pretrained`, which also says what is raised.
    """
    from transformers import AutoModel

    with _errors_only():
        model, loaded = load_pretrained(
            AutoModel,
            name,
            download,
            what,
            allow,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    return model.eval(), tuple(sorted(loaded["missing_keys"]))


@contextmanager
def _errors_only() -> Iterator[None]:
    """Without transformers' report of what is missing: it is handed on, and the report is long."""
    from transformers.utils import logging

    untyped: Any = logging
    before = untyped.get_verbosity()
    untyped.set_verbosity_error()
    try:
        yield
    finally:
        untyped.set_verbosity(before)


def fingerprint(model: Any, unused: Collection[str] = ()) -> str:
    """SHA-256 of a model's weights, less those that are not used, and of its decisive settings."""
    settings = {key: getattr(model.config, key, None) for key in _DECISIVE}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, weight in sorted(model.state_dict().items()):
        if name not in unused:
            digest.update(name.encode())
            digest.update(weight.contiguous().numpy().data)
    return digest.hexdigest()
