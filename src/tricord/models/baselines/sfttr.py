"""SFTTR: parts close to and far from the text, contrasted, then fused one after the other.

Sun and Tian, COLING 2025. B clips, K = 3 modalities in the order text, audio, vision; E the width
of an encoder's vector, h = E / 2 that of a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from tricord.baseline_config import BaselineConfig, Rate
from tricord.config import Count, Dropout, Positive, Share, TextConfig
from tricord.errors import ConfigError
from tricord.models.baselines.base import TEXT, Baseline, BaselineStage, scores_of
from tricord.models.baselines.sfttr_companions import DRAWN
from tricord.models.baselines.sfttr_parts import CrossEncoder, Part, SequenceEncoder, mlp
from tricord.models.baselines.sfttr_stages import FusionStage, UnimodalStage
from tricord.models.entry import Choice, Entry, Range
from tricord.training.loaders import Loaders
from tricord.training.loop import Stage
from tricord.types import MODALITIES, Batch, Modality

AUDIO, VISION = str(Modality.AUDIO), str(Modality.VISION)
Weight = Annotated[float, Field(ge=0)]


class StagePlan(Rate):
    """Optimiser and length of one stage.

    optimizer: "adam" is Adam with AMSGrad, its decay part of the gradient; "adamw" apart from it.
    warmup: epochs until the full rate, at most half of all; from there it falls to 0 in a line.
    keep_from: the first epoch that may be kept, or the last one where there are fewer.
    """

    optimizer: Literal["adam", "adamw"] = "adamw"
    epochs: Annotated[int, Field(ge=0)]
    batch_size: Count
    warmup: Weight
    keep_from: Count


class SFTTRConfig(BaselineConfig):
    """Defaults are the published ones for CH-SIMS; `config` has those of the other data sets.

    Network. width: E. layers, positions: of the audio and the vision encoder; frames beyond its
        positions are left out, as words beyond ``text.max_length`` are. mono: whether there is a
        head for single parts; without a weight it is built, for the published size, and not
        trained.
    Stages. pretraining: by modality; a text encoder's own rate and decay are those of ``text``.
        Fusion: epochs, batch_size, rates.other, warmup and keep_from, as in `StagePlan`.
        unfrozen: what of a language model trains after a third of the text stage.
        select: the number on valid that chooses the epoch of fusion; mean absolute error too
        where labels have no sign.
    Companions. refresh: epochs between rankings. reach: share of a ranking that is walked. kept:
        length of the lists. match: when labels are equal. train_companions: their predictions
        are in the loss too.
    Oddities of the original, sound by default. padding_from: "lengths", or "zero_sum" takes every
        frame whose numbers add up to 0 for padding, but a clip's first. pooling: the mean over
        "frames", or over "all_positions", padding up to ``positions`` included. companions: a
        clip's "neighbours", or as released "rank_positions", places in its ranking that are taken
        for numbers of clips. decayed: "weights", or as "released" also the norms outside the
        cross encoders and, in the text stage and with Adam, all biases.
    Ours throughout: every epoch ends with validation, on CMU-MOSEI too, where the original has it
        every 100 steps; companions are ranked, and texts read for fusion, without dropout.
    """

    width: Count = 768
    heads: Count = 8
    feedforward: Count = 768
    dropout: Dropout = 0.5
    layers: dict[str, Count]
    positions: dict[str, Count]
    close_dropout: Dropout = 0.3
    far_dropout: Dropout = 0.5
    cross_layers: Count = 2
    cross_heads: Count = 8
    cross_feedforward: Count = 256
    cross_dropout: Dropout = 0.1
    cross_positions: Annotated[int, Field(ge=4)] = 240  # four are used
    mono: bool = True

    patience: Count | None = None
    pretraining: dict[str, StagePlan]
    warmup: Weight = 1
    keep_from: Count = 11
    unfrozen: Literal["all", "last_layer"] = "last_layer"
    select: Literal["accuracy", "mae"] = "accuracy"
    contrast_weight: Weight = 0.1
    mono_weight: Weight = 0.01
    temperature: Positive = 0.5

    refresh: Count = 10
    reach: Share = 0.5
    kept: Annotated[int, Field(ge=DRAWN)] = 10
    match: Literal["exact", "rounded"] = "exact"
    train_companions: bool = True

    padding_from: Literal["lengths", "zero_sum"] = "lengths"
    pooling: Literal["frames", "all_positions"] = "frames"
    companions: Literal["neighbours", "rank_positions"] = "neighbours"
    decayed: Literal["weights", "released"] = "weights"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % (2 * self.cross_heads) or self.width % self.heads:
            raise ValueError("width: a multiple of heads and of twice cross_heads is needed")
        if not self.mono and self.mono_weight:
            raise ValueError("mono_weight: must be 0 without mono")
        for name in ("layers", "positions", "pretraining"):
            if missing := {AUDIO, VISION} - set(getattr(self, name)):
                raise ValueError(f"{name}.{min(missing)}: is needed")
        return self

    @property
    def fusion(self) -> StagePlan:
        """The last stage as a plan."""
        return StagePlan(
            **self.rates["other"].model_dump(),
            epochs=self.epochs,
            batch_size=self.batch_size,
            warmup=self.warmup,
            keep_from=self.keep_from,
        )

    def released(self) -> Self:
        """Every oddity as in the released implementation, [CLS]."""
        return self.with_settings(
            {
                "padding_from": "zero_sum",
                "pooling": "all_positions",
                "companions": "rank_positions",
                "decayed": "released",
                "text_vector": "first",
            }
        )


class SFTTR(Baseline):
    """Encoders, close and far parts, three cross encoders in a row, a decoder."""

    config: SFTTRConfig
    stage: ClassVar[type[BaselineStage[Any]]] = FusionStage

    def __init__(self, config: SFTTRConfig, widths: Mapping[str, int]) -> None:
        """Raises ConfigError without text, audio and vision."""
        if missing := [name for name in MODALITIES if name not in widths]:
            raise ConfigError(f"modalities: SFTTR needs {missing[0]!r} too")
        super().__init__(config, widths)
        half = config.width // 2
        sizes = {TEXT: self.widths[TEXT], AUDIO: config.width, VISION: config.width}
        self.encoders = nn.ModuleDict(
            {n: SequenceEncoder(config, n, self.widths[n]) for n in (AUDIO, VISION)}
        )
        self.close = nn.ModuleDict(
            {n: Part(size, half, config.close_dropout) for n, size in sizes.items()}
        )
        self.far = nn.ModuleDict(
            {n: Part(size, half, config.far_dropout) for n, size in sizes.items()}
        )
        self.cross = nn.ModuleDict({n: CrossEncoder(config) for n in ("others", "text", "close")})
        self.decoder = mlp(half, config.width, half, half // 2, half // 4, 1)
        self.mono: nn.Sequential | None = None
        if config.mono:
            self.mono = mlp(half, half // 2, half // 4, 1)
            self.mono.requires_grad_(config.mono_weight > 0)

    def forward(self, batch: Batch) -> Tensor:
        """(B, 1) scores."""
        return self.fuse(*self.split(batch))

    def vector(self, batch: Batch, name: str) -> Tensor:
        """x_k, (B, E)."""
        if name == TEXT:
            return self.sentence(batch)
        found: Tensor = self.encoders[name](batch.frames[name])
        return found

    def sentence(self, batch: Batch) -> Tensor:
        """x_T, (B, width of text): the first state, through the pooler of a BERT in the model.

        Ready features have none, and so stand for themselves, first or mean.
        """
        vectors = super().sentence(batch)
        if batch.frames[TEXT].values.is_floating_point() or not self.config.first_frame:
            return vectors
        pooler = getattr(self.language[TEXT].model, "pooler", None)
        if not isinstance(getattr(pooler, "dense", None), nn.Linear):
            return vectors
        assert isinstance(pooler, nn.Module)
        pooled: Tensor = pooler(vectors[:, None])
        return pooled

    def vectors(self, batch: Batch) -> dict[str, Tensor]:
        """x_k of every modality."""
        return {name: self.vector(batch, name) for name in self.widths}

    def classifier(self, name: str) -> nn.Sequential:
        """A head for a modality's vector in the stage that trains its encoder by itself."""
        width = self.widths[TEXT] if name == TEXT else self.config.width
        return mlp(width, max(1, width // 2), max(1, width // 4), max(1, width // 8), 1)

    def split(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """s_k and r_k, (K, B, h) each: what is close to the text and what is far from it."""
        vectors = self.vectors(batch)
        close = torch.stack([self.close[name](x) for name, x in vectors.items()])
        far = torch.stack([self.far[name](x) for name, x in vectors.items()])
        return close, far

    def fuse(self, close: Tensor, far: Tensor) -> Tensor:
        """Far parts of audio and vision; then that of text; then all close ones: (B, 1)."""
        text, *others = far
        x = self.cross["others"](torch.stack(others, dim=1), (0, 1))
        x = self.cross["text"](torch.cat([text[:, None], x], dim=1), (0, 1, 1))
        x = self.cross["close"](torch.cat([x, close.sum(0)[:, None]], dim=1), (0, 0, 0, 1))
        scores: Tensor = self.decoder(x.mean(dim=1))
        return scores

    def stages(self, loaders: Loaders, best_file: Path | None = None) -> Iterator[Stage]:
        """Each encoder by itself, text only where it is a language model; then fusion."""
        tokens = self.config.text.finetune
        for name in (TEXT, VISION, AUDIO):
            if name != TEXT or TEXT in self.language:
                length = self.config.pretraining[name]
                yield UnimodalStage(self, name, *loaders.of(length.batch_size, tokens=tokens))
        yield FusionStage(
            self, *loaders.of(self.config.batch_size, tokens=tokens), best_file=best_file
        )


def _plan(
    batch_size: int,
    epochs: int,
    warmup: int,
    kept_after: int,
    lr: float = 1e-4,
    optimizer: Literal["adam", "adamw"] = "adamw",
) -> StagePlan:
    """As the released settings say it."""
    return StagePlan(
        lr=lr,
        weight_decay=1e-3,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        warmup=warmup,
        keep_from=kept_after + 1,
    )


_SIMS: dict[str, Any] = {
    "text": TextConfig(lr=1e-5, max_length=256),
    "layers": {AUDIO: 2, VISION: 1},
    "positions": {AUDIO: 400, VISION: 55},
    "epochs": 50,
    "pretraining": {
        TEXT: _plan(64, 150, 5, 50, lr=1e-5),
        VISION: _plan(64, 300, 10, 50, optimizer="adam"),
        AUDIO: _plan(64, 300, 10, 30, optimizer="adam"),
    },
}
_CMU: dict[str, Any] = {
    "mono_weight": 0,
    "keep_from": 2,
    "unfrozen": "all",
    "select": "mae",
    "refresh": 2,
    "match": "rounded",
    "train_companions": False,
}
_PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "ch-sims": _SIMS,
    "ch-sims-v2": {**_SIMS, "positions": {AUDIO: 925, VISION: 232}},
    "mosi": {
        **_CMU,
        "text": TextConfig(lr=1e-4, max_length=256),
        "layers": {AUDIO: 2, VISION: 2},
        "positions": {AUDIO: 375, VISION: 500},
        "mono": False,
        "epochs": 25,
        "batch_size": 16,
        "reach": 1,
        "pretraining": {
            TEXT: _plan(128, 200, 5, 66, lr=1e-4),
            VISION: _plan(128, 100, 5, 20, optimizer="adam"),
            AUDIO: _plan(128, 100, 10, 30, optimizer="adam"),
        },
    },
    "mosei": {
        **_CMU,
        "text": TextConfig(lr=1e-5, max_length=256),
        "layers": {AUDIO: 3, VISION: 3},
        "positions": {AUDIO: 500, VISION: 500},
        "epochs": 6,
        "batch_size": 8,
        "reach": 0.1,
        "kept": 50,
        "pretraining": {
            TEXT: _plan(64, 150, 5, 50, lr=1e-5),
            VISION: _plan(128, 300, 10, 5),
            AUDIO: _plan(128, 300, 10, 5),
        },
    },
}
_SMALL: Mapping[str, Any] = {
    "width": 32,
    "heads": 2,
    "feedforward": 32,
    "layers": {AUDIO: 1, VISION: 1},
    "positions": {AUDIO: 100, VISION: 100},
    "cross_heads": 2,
    "cross_feedforward": 16,
    "cross_positions": 4,
    "epochs": 3,
    "keep_from": 1,
    "pretraining": dict.fromkeys((TEXT, VISION, AUDIO), _plan(32, 2, 1, 0)),
}


def config(preset: str) -> SFTTRConfig:
    """The released settings; a small model and few epochs for a preset that has none."""
    return SFTTRConfig(
        preset=preset,
        labels=scores_of(preset),
        rates={"other": Rate(lr=1e-4, weight_decay=1e-3)},
        **_PUBLISHED.get(preset, _SMALL),
    )


ENTRIES = (
    Entry(
        name="sfttr",
        title="SFTTR",
        paper="Sequential Fusion of Text-close and Text-far Representations for Multimodal "
        "Sentiment Analysis (COLING 2025)",
        year=2025,
        licence="none stated; written from the equations, not from the program",
        config=config,
        build=SFTTR,
        needs=("text, audio and vision",),
        published={
            "ch-sims": 20_898_434,
            "ch-sims-v2": 20_608_130,
            "mosi": 23_573_761,
            "mosei": 30_984_578,
        },
        uses=(
            "labels of each modality",
            "a text encoder to train (text.encoder, text.finetune), as published",
        ),
        search={
            "rates.other.lr": Range(3e-5, 3e-4, log=True),
            "batch_size": Choice((8, 16, 32)),
            "contrast_weight": Choice((0.0, 0.05, 0.1, 0.2)),
            "temperature": Range(0.1, 1.0, log=True),
            "close_dropout": Range(0.1, 0.5),
            "far_dropout": Range(0.1, 0.5),
        },
    ),
)
