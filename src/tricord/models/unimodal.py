"""Unimodal: encoder f_k and classifier p_k of one modality (Eq. 1-6), what stage 1 trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tricord.config import EncoderConfig, ModelConfig
from tricord.errors import ModelError
from tricord.models import released
from tricord.nn.classifier import ResidualClassifier
from tricord.nn.encoder import UnimodalEncoder
from tricord.types import Frames


@dataclass(frozen=True)
class UnimodalOutput:
    """h: (B, d) unit rows (Eq. 4); logits: (B, c) (Eq. 5)."""

    h: Tensor
    logits: Tensor


class Unimodal(nn.Module):
    """p_k(f_k(x)) of one modality."""

    def __init__(self, encoder: UnimodalEncoder, classifier: ResidualClassifier) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier

    @classmethod
    def build(
        cls, width: int, outputs: int, modality: EncoderConfig, model: ModelConfig
    ) -> Unimodal:
        """From settings; width: numbers per frame, outputs: c."""
        return cls(
            UnimodalEncoder(
                width,
                model.d,
                layers=modality.layers,
                heads=modality.heads,
                feedforward=model.feedforward,
                dropout=model.dropout,
                attention_dropout=model.attention_dropout,
                input_norm=modality.input_norm,
                positions=model.positions,
            ),
            ResidualClassifier(model.d, outputs, model.output_dropout),
        )

    @classmethod
    def from_released(cls, state: Mapping[str, Any], heads: int) -> Unimodal:
        """From a unimodal state with the released parameter names; padding then counts.

        state: names -> numpy arrays or torch tensors; the modality is read from the names, the
        sizes from the shapes; the dtype stays; a language model's weights are left out. Raises
        ModelError for an unknown or missing key.
        """
        return cls.from_state(released.unimodal_state(state), heads)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], heads: int) -> Unimodal:
        """From our own parameter names, sizes read from the shapes, in evaluation mode.

        Raises ModelError for a missing, surplus or misshapen entry.
        """
        for key in ("encoder.proj.weight", "classifier.out.bias"):
            if key not in state:
                raise ModelError(f"state: missing {key}")
        d, width, _ = state["encoder.proj.weight"].shape
        model = cls(
            UnimodalEncoder(
                width,
                d,
                layers=released.count_layers(state),
                heads=heads,
                feedforward=released.feedforward(state, d),
                dropout=ModelConfig().dropout,
                attention_dropout=ModelConfig().attention_dropout,
                input_norm=any(key.startswith("encoder.norm.") for key in state),
            ),
            ResidualClassifier(d, len(state["classifier.out.bias"]), ModelConfig().output_dropout),
        )
        return released.load(model.to(state["encoder.proj.weight"].dtype), state).eval()

    def forward(self, x: Frames) -> UnimodalOutput:
        """p_k(f_k(x)) of B clips."""
        h = self.encoder(x)
        return UnimodalOutput(h, self.classifier(h))

    @torch.no_grad()
    def predict_features(self, x: Tensor, lengths: Tensor | None = None) -> UnimodalOutput:
        """Evaluation mode, x: (B, L, width).

        lengths: (B,) real frames; None where every frame counts.
        """
        self.eval()
        full = torch.full((len(x),), x.shape[1]) if lengths is None else torch.as_tensor(lengths)
        output: UnimodalOutput = self(Frames.pack(x, full))
        return output
