"""Floating-point operations of the useful work, by formula.

Counted are matrix products over real frames and tokens, a multiplication and an addition each; not
padding, norms, softmax, embeddings, fusion and losses, which are small beside them. Backward counts
as twice forward, the convention. So what is called achieved never flatters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tricord.config import RunConfig

TRAIN = 3  # forward, and backward as two of it
Lengths = Mapping[str, NDArray[np.int64]]


class BertShape(Protocol):
    """What a `transformers.BertConfig` has."""

    hidden_size: int
    num_hidden_layers: int
    intermediate_size: int


def transformer_layers(lengths: NDArray[np.int64], d: int, feedforward: int, layers: int) -> float:
    """Forward through all layers: sequences of (N,) lengths, of width d.

    A frame costs 4 projections d x d and 2 of d x feedforward; a pair of frames a product of d
    for its score and one for its value.
    """
    frames, pairs = float(lengths.sum()), float((lengths.astype(np.float64) ** 2).sum())
    return layers * (frames * (8 * d * d + 4 * d * feedforward) + pairs * 4 * d)


def language(lengths: NDArray[np.int64], bert: BertShape) -> float:
    """Forward of a BERT over sequences of (N,) tokens."""
    return transformer_layers(
        lengths, bert.hidden_size, bert.intermediate_size, bert.num_hidden_layers
    )


def unimodal(lengths: Lengths, widths: Mapping[str, int], config: RunConfig) -> float:
    """Forward of all encoders and classifiers (Eq. 1-6) over clips of these lengths."""
    model, outputs, total = config.model, config.labels.outputs, 0.0
    for name, encoder in config.modalities.items():
        total += 2.0 * float(lengths[name].sum()) * widths[name] * model.d
        total += transformer_layers(lengths[name], model.d, model.feedforward, encoder.layers)
        total += len(lengths[name]) * (4.0 * model.d**2 + 2.0 * model.d * outputs)
    return total
