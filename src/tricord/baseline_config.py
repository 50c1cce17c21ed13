"""What the settings of all baselines have; the paper's own model is in `tricord.config`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tricord.config import CommonConfig, Count, Positive, Settings
from tricord.errors import ConfigError
from tricord.types import MODALITIES


class Rate(Settings):
    """Of one optimiser group."""

    lr: Positive
    weight_decay: Annotated[float, Field(ge=0)] = 0


class BaselineConfig(CommonConfig):
    """What the settings of all baselines have; each model's own file adds the rest.

    epochs: at most; most of the originals have no limit but their patience.
    accumulate: batches whose gradients are summed before a step. leftovers: what becomes of fewer
        at an epoch's end; the originals drop them.
    rates: by optimiser group: a modality, or "other".
    possible_heads: which kinds of output the model can have (`LabelScheme.head`). frozen_text:
        whether it takes a language model's features as they are, as published.
    text_vector: what stands for a whole sentence: its first frame (the [CLS] of a language model),
        or the mean of its frames; "auto" takes the first where text.encoder names a model.
    rounding: decimals of the loss that selects the epoch; None for all.
    """

    possible_heads: ClassVar[tuple[str, ...]] = ("regression",)
    frozen_text: ClassVar[bool] = False

    modalities: tuple[str, ...] = MODALITIES
    epochs: Count = 200
    patience: Count | None = 8
    batch_size: Count = 32
    accumulate: Count = 1
    leftovers: Literal["step", "drop"] = "step"
    rates: dict[str, Rate]
    text_vector: Literal["auto", "first", "mean"] = "auto"
    rounding: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.labels.head not in self.possible_heads:
            raise ValueError(
                f"labels.head: this model has no {self.labels.head!r}, it needs scores"
            )
        if self.frozen_text and self.text.finetune:
            raise ValueError("text.finetune: this model's language model is frozen, as published")
        if "other" not in self.rates:
            raise ValueError("rates.other: is needed")
        return self

    @property
    def first_frame(self) -> bool:
        """Whether a sentence is represented by its first frame."""
        if self.text_vector == "auto":
            return self.text.encoder is not None
        return self.text_vector == "first"

    def only(self, names: Iterable[str]) -> Self:
        """The same settings for those of its modalities that the data has: text, audio, vision."""
        names = list(names)
        if strange := [n for n in names if n not in MODALITIES]:
            raise ConfigError(f"modalities: no settings for {strange[0]!r}")
        found = [n for n in MODALITIES if n in names and n in self.modalities]
        if not found:
            wanted, there = ", ".join(self.modalities), ", ".join(names)
            raise ConfigError(f"modalities: this model reads {wanted}; the data has {there}")
        return self._with({"modalities": found})
