"""A model as the harness knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

from torch import nn

from tricord.data.schema import FeatureTable, Ragged
from tricord.features.language import TextEncoder


class Network(nn.Module):
    """Weights, and a language model in front of them that may be trained.

    language: modality -> language model, used for integer tokens only.
    predict_clips: how many are predicted at once.
    needs_all: whether it can only predict from data that has every modality it was trained with.
    reads_words: whether its text is the words themselves, beside the modalities it is given.
    """

    language: nn.ModuleDict
    predict_clips: ClassVar[int] = 256  # at once; more are no faster
    needs_all: ClassVar[bool] = True
    reads_words: ClassVar[bool] = False

    def inputs(self, table: FeatureTable, sequences: Mapping[str, Ragged]) -> Mapping[str, Ragged]:
        """What the model makes of a split's sequences, once: modality -> sequences, and more.

        Raises DataError where the split lacks what it needs.
        """
        return sequences

    @property
    def size(self) -> int:
        """Parameters outside the language model, trained or not (Table IV)."""
        language = {id(p) for p in self.language.parameters()}
        return sum(p.numel() for p in self.parameters() if id(p) not in language)

    def recompute_activations(self) -> None:
        """From here on, backward passes compute them again: less memory, more time."""
        for encoder in self.language.values():
            cast(TextEncoder, encoder).recompute_activations()
