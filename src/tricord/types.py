"""The shared vocabulary: modalities, polarity, subsets, frames, a batch, a prediction.

Shapes: B clips in a batch, K modalities, F_k frames in all of them, c classes, d shared width.
torch is loaded where it computes: much that names a modality or a polarity needs no tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
class Frames:
    """The sequences of B clips, one after the other: F frames in all, without padding.

    values: (F, width) floats, or (F,) integer tokens for a text encoder.
    lengths: (B,) int64, always on the CPU, 0 where a clip has no frame; their sum is F.
    real: (B,) how many of each clip's frames are real where padding counts as frames too
        (fidelity 1, ``padding="ignored"``); None where all are.
    """

    values: Tensor
    lengths: Tensor
    real: Tensor | None = None

    @classmethod
    def pack(cls, padded: Tensor, lengths: Tensor, real: Tensor | None = None) -> Frames:
        """The first ``lengths`` frames of each row of (B, L, ...)."""
        lengths = lengths.clamp(0, padded.shape[1]).cpu()
        mask = inside(lengths, padded.shape[1]).to(padded.device)
        return cls(padded[mask], lengths, real)

    def pad(self, length: int | None = None) -> tuple[Tensor, Tensor]:
        """(B, L, ...) with zeros at the end, and (B, L) bool, True for a frame.

        length: L, or None for the longest of these clips, and at least 1.
        """
        longest = max(1, int(self.lengths.max())) if length is None else length
        mask = inside(self.lengths, longest).to(self.values.device)
        padded = self.values.new_zeros(*mask.shape, *self.values.shape[1:])
        padded[mask] = self.values
        return padded, mask

    def to(self, device: torch.device | str) -> Frames:
        """The same frames on another device."""
        return replace(self, values=self.values.to(device))

    def __len__(self) -> int:
        return len(self.lengths)


def inside(lengths: Tensor, longest: int) -> Tensor:
    """(B, longest) bool: True for the first ``lengths``, (B,), of each row."""
    import torch

    return torch.arange(longest)[None, :] < lengths[:, None]


@dataclass(frozen=True)
class Batch:
    """B clips.

    frames: per modality, features or tokens.
    present: (B, K) bool, False where the whole modality is missing.
    index: (B,) row numbers in the split.
    scores: (B, 1 + K) raw scores, multimodal first; NaN where unknown.
    labels: (B, 1 + K) classes, multimodal first; -1 where unknown.
    """

    frames: Mapping[str, Frames]
    present: Tensor
    index: Tensor
    scores: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.index)

    @property
    def size(self) -> int:
        """Frames of all modalities; flags that a model keeps beside them are none."""
        import torch

        return sum(len(f.values) for f in self.frames.values() if f.values.dtype != torch.bool)

    @property
    def label(self) -> Tensor:
        """(B,) the multimodal class y_m."""
        return self.labels[:, 0]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(
            frames={k: f.to(device) for k, f in self.frames.items()},
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
    score: (B, 1) of a score head, where there is one.
    """

    consensus: Tensor
    votes: Tensor
    weights: Tensor
    h: Tensor
    score: Tensor | None = None

    @property
    def probabilities(self) -> Tensor:
        """(B, c) softmax of the consensus."""
        return self.consensus.softmax(dim=-1)
