"""Encoders of sound and pictures through transformers: their weights, and what identifies them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from tricord.features.language import load_pretrained


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
    """SHA-256 of a model's settings and weights, less those that are not used."""
    settings: dict[str, Any] = model.config.to_dict()
    settings.pop("_name_or_path", None)
    settings.pop("transformers_version", None)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, weight in model.state_dict().items():
        if name not in unused:
            digest.update(name.encode())
            digest.update(weight.contiguous().numpy().data)
    return digest.hexdigest()
