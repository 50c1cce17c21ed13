"""A random speech encoder small enough for tests, as a local folder."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

WIDTH = 16


def make_folder(folder: Path, kind: str = "wav2vec2", *, normalised: bool = True) -> Path:
    """Weights in safetensors format and settings; the convolutions have the usual strides.

    kind: wav2vec2, hubert or wavlm.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = AutoConfig.for_model(
            kind,
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            conv_dim=[8] * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
            feat_extract_norm="layer",
        )
        AutoModel.from_config(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=normalised).save_pretrained(folder)
    return folder
