"""Tables II and III and section IV-A-4 as functions: one RunConfig per data set.

``method``: "paper" is the paper's; "tricord" is ours, with the same encoders
(docs/method-beyond.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tricord.config import (
    EncoderConfig,
    FinetuneConfig,
    ModelConfig,
    Momentum,
    PretrainConfig,
    RunConfig,
)
from tricord.errors import ConfigError
from tricord.labels import LabelScheme, sentiment
from tricord.types import Modality, Polarity

# Section IV-A-4: (initial, decay) of Eq. 30 for pseudo labels and for EMA models
_LABEL_MOMENTUM = {
    Modality.TEXT: Momentum(initial=0.8, decay=0.5),
    Modality.AUDIO: Momentum(initial=0.99, decay=0.5),
    Modality.VISION: Momentum(initial=0.99, decay=0.5),
}
_MODEL_MOMENTUM = {
    Modality.TEXT: Momentum(initial=0.8, decay=2.5),
    Modality.AUDIO: Momentum(initial=0.9, decay=5.0),
    Modality.VISION: Momentum(initial=0.6, decay=2.0),
}
AUTOMATIC = "automatic"  # the name where there is none: settings come from the data
BOUNDS = (1.0, 3.0)  # of signed scores: CH-SIMS's, then CMU-MOSI's
MOST_GRADES = 11  # whole numbers that are classes: 0 to 10 at most
FEW_CLIPS = 5  # of a class: with fewer in train a user is warned
Method = Literal["paper", "tricord"]
METHODS: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    "tricord": {
        "pretrain.refine": "posterior",
        "pretrain.ema_epochs": 3,
        "finetune.router": "evidence",
        "labels.decision": "sides",
    },
}


def _run(
    preset: str,
    labels: LabelScheme,
    method: Method,
    *,
    layers: int,
    heads: int,
    output_dropout: float,
) -> RunConfig:
    config = RunConfig(
        preset=preset,
        labels=labels,
        model=ModelConfig(output_dropout=output_dropout),
        modalities={
            str(m): EncoderConfig(
                layers=layers,
                heads=heads,
                input_norm=m is not Modality.TEXT,  # Eq. 2
                label_momentum=_LABEL_MOMENTUM[m],
                model_momentum=_MODEL_MOMENTUM[m],
            )
            for m in Modality
        },
    )
    return config.with_settings(METHODS[method])


def ch_sims(method: Method = "paper") -> RunConfig:
    """CH-SIMS: Chinese, scores in [-1, 1], non-positive against positive."""
    labels = sentiment(Polarity.NON_POSITIVE, 1.0)
    return _run("ch-sims", labels, method, layers=5, heads=4, output_dropout=0.4)


def ch_sims_v2(method: Method = "paper") -> RunConfig:
    """CH-SIMS v2 (supervised part): as CH-SIMS, other features."""
    labels = sentiment(Polarity.NON_POSITIVE, 1.0)
    return _run("ch-sims-v2", labels, method, layers=4, heads=2, output_dropout=0.3)


def mosi(method: Method = "paper") -> RunConfig:
    """CMU-MOSI: English, scores in [-3, 3], negative against non-negative."""
    labels = sentiment(Polarity.NON_NEGATIVE, 3.0)
    return _run("mosi", labels, method, layers=2, heads=4, output_dropout=0.5)


def mosei(method: Method = "paper") -> RunConfig:
    """CMU-MOSEI: as CMU-MOSI, ten times larger."""
    labels = sentiment(Polarity.NON_NEGATIVE, 3.0)
    return _run("mosei", labels, method, layers=2, heads=4, output_dropout=0.0)


def tiny(method: Method = "paper") -> RunConfig:
    """One layer and a few epochs: for trying things out and for tests."""
    labels = sentiment(Polarity.NON_POSITIVE, 1.0)
    config = _run("tiny", labels, method, layers=1, heads=2, output_dropout=0.1)
    return config.model_copy(
        update={
            "pretrain": PretrainConfig(epochs=3, batch_size=32),
            "finetune": FinetuneConfig(epochs=3, batch_size=32),
        }
    )


class Preset(Protocol):
    """A data set's settings."""

    def __call__(self, method: Method = "paper") -> RunConfig: ...


PRESETS: dict[str, Preset] = {
    "ch-sims": ch_sims,
    "ch-sims-v2": ch_sims_v2,
    "mosi": mosi,
    "mosei": mosei,
    "tiny": tiny,
}


def get(name: str, method: Method = "paper") -> RunConfig:
    """The preset of this name; raises ConfigError with the names there are."""
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r} does not exist; there is: {', '.join(PRESETS)}")
    return PRESETS[name](method)


@dataclass(frozen=True)
class Size:
    """Whose settings suit a number of clips.

    below: clips of train, fewer than these; None for any number. why: in words.
    """

    below: int | None
    preset: str
    why: str


# Rough marks: CMU-MOSI and CH-SIMS train on some 1300 clips, CMU-MOSEI on 16 thousand (Table II).
SIZES = (
    Size(600, "mosi", "fewer than 600 clips to train on"),
    Size(6000, "ch-sims", "600 to 5999 clips to train on, as CH-SIMS has"),
    Size(None, "mosei", "6000 clips to train on or more, as CMU-MOSEI has"),
)


def of_size(clips: int) -> Size:
    """The settings for this many clips of train."""
    return next(size for size in SIZES if size.below is None or clips < size.below)
