"""The formula against torch's own counter, where nothing is padded."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel

from tricord import presets
from tricord.bench import flops, naive
from tricord.bench.flops import language, transformer_layers, unimodal

CLIPS = 3
LENGTHS = {"text": 5, "audio": 8, "vision": 6}
WIDTHS = {"text": 12, "audio": 3, "vision": 4}


def equal_lengths() -> dict[str, NDArray[np.int64]]:
    return {name: np.full(CLIPS, length) for name, length in LENGTHS.items()}


def test_one_layer_by_hand() -> None:
    # d = 2, feed-forward 3. Per frame: 4 products with 2 x 2, 2 with 2 x 3: 2 * (16 + 12) = 56.
    # Lengths 1 and 3: 4 frames; 10 pairs, of 2 products of 2 numbers each: 2 * 10 * 4 = 80.
    assert transformer_layers(np.array([1, 3]), d=2, feedforward=3, layers=1) == 4 * 56 + 80
    assert transformer_layers(np.array([1, 3]), d=2, feedforward=3, layers=5) == 5 * (4 * 56 + 80)


def test_language_model_as_counted() -> None:
    config = BertConfig(
        vocab_size=20,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=20,
        max_position_embeddings=8,
        attn_implementation="eager",
    )
    bert = BertModel(config, add_pooling_layer=False)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        bert(torch.ones(CLIPS, 5, dtype=torch.long))
    assert language(np.full(CLIPS, 5), config) == counter.get_total_flops()


def test_encoders_and_classifiers_as_counted() -> None:
    config = presets.tiny().with_settings({"modalities.layers": 3, "modalities.audio.layers": 2})
    parts = naive.Model(config, WIDTHS, torch.nn.Identity()).unimodal
    x = {name: torch.randn(CLIPS, LENGTHS[name], width) for name, width in WIDTHS.items()}
    frames = {name: value for name, value in x.items() if name != "text"}
    clips = naive.Clips(torch.ones(1), torch.ones(1), frames, torch.ones(1))
    with FlopCounterMode(display=False) as counter:
        parts.classify(parts.encode(x["text"], clips))
    assert unimodal(equal_lengths(), WIDTHS, config) == counter.get_total_flops()


def test_backward_is_taken_for_two_forwards() -> None:
    linear = torch.nn.Linear(7, 5)
    x = torch.randn(4, 7, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        linear(x).sum().backward()
    assert counter.get_total_flops() == flops.TRAIN * 2 * 4 * 7 * 5
