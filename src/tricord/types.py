"""The shared vocabulary: modalities, polarity, subsets, a batch, a prediction.

Shapes: B clips in a batch, K modalities, L_k frames, c classes, d shared width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor


class Modality(StrEnum):
    """The three modalities of the paper; any other names work as well."""

    TEXT = "text"
    AUDIO = "audio"
    VISION = "vision"


MODALITIES: tuple[str, ...] = tuple(str(m) for m in Modality)


class Polarity(StrEnum):
    """Which side zero falls on when a label is split in two (section IV-A-3)."""

    NON_POSITIVE = "non_positive"  # CH-SIMS family: score > 0 is positive
    NON_NEGATIVE = "non_negative"  # CMU family: score >= 0 is positive


class Subset(StrEnum):
    """D_test and its two parts (footnote 3 of the paper)."""

    TEST = "D_test"
    MSC = "D_msc"
    MSI = "D_msi"


@dataclass(frozen=True)
class Batch:
    """B clips.

    values: per modality (B, L_k, width_k) floats, or (B, L_k) integer tokens for a text encoder.
    masks: per modality (B, L_k) bool, True where a frame is real.
    present: (B, K) bool, False where the whole modality is missing.
    index: (B,) row numbers in the split.
    scores: (B, 1 + K) raw scores, multimodal first; NaN where unknown.
    labels: (B, 1 + K) classes, multimodal first; -1 where unknown.
    """

    values: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    present: Tensor
    index: Tensor
    scores: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.index)

    @property
    def label(self) -> Tensor:
        """(B,) the multimodal class y_m."""
        return self.labels[:, 0]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(
            values={k: v.to(device) for k, v in self.values.items()},
            masks={k: v.to(device) for k, v in self.masks.items()},
            present=self.present.to(device),
            index=self.index.to(device),
            scores=self.scores.to(device),
            labels=self.labels.to(device),
        )


@dataclass(frozen=True)
class Prediction:
    """What the model says of B clips; modalities in the model's order (text, audio, vision).

    consensus: (B, c) logits (Eq. 14).
    votes: (B, K, c) logits per modality (Eq. 11).
    weights: (B, K), rows sum to 1 (Eq. 35), 0 where a modality is absent.
    h: (B, K, d) unit rows (Eq. 4), before PFM; 0 where a modality is absent.
    """

    consensus: Tensor
    votes: Tensor
    weights: Tensor
    h: Tensor

    @property
    def probabilities(self) -> Tensor:
        """(B, c) softmax of the consensus."""
        return torch.softmax(self.consensus, dim=-1)
