"""A random image encoder small enough for tests, as a local folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

WIDTH, SIZE = 16, 28

LAYERS = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
VISION = {**LAYERS, "image_size": SIZE, "patch_size": 14}


def make_folder(folder: Path, kind: str = "vit", **prepare: Any) -> Path:
    """Weights in safetensors format and settings. prepare: other ones for the pictures.

    kind: vit, dinov2, clip_vision_model or clip, whose vision part is like the one before.
    """
    settings: dict[str, Any] = dict(VISION)
    if kind == "clip":
        words = {**LAYERS, "vocab_size": 60, "bos_token_id": 0, "eos_token_id": 1}
        settings = {"vision_config": VISION, "text_config": words, "projection_dim": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModel.from_config(AutoConfig.for_model(kind, **settings)).save_pretrained(folder)
    write_prepare(folder, **prepare)
    return folder


def write_prepare(folder: Path, **changed: Any) -> None:
    """The settings for pictures, some of them changed; None leaves one out."""
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": SIZE, "width": SIZE},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
        **changed,
    }
    kept = {key: value for key, value in settings.items() if value is not None}
    (folder / "preprocessor_config.json").write_text(json.dumps(kept), encoding="utf-8")
