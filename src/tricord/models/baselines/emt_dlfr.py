"""EMT-DLFR (Sun, Lian, Liu, Tao, IEEE TAC 2023): two views of a clip, one with frames missing.

The complete view and the one with missing frames are drawn together (SimSiam), and from the
second the missing frames are reconstructed. B clips, K modalities; u_m (B, o_m) one vector a
modality, G (B, K d) the global vectors of all of them in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from tricord.baseline_config import BaselineConfig, Rate
from tricord.config import Count, Dropout, Share, TextConfig
from tricord.data.batching import Loader, TensorTable
from tricord.data.corrupt import draw_kept
from tricord.data.schema import FeatureTable, Ragged
from tricord.errors import ConfigError
from tricord.models.baselines.base import TEXT, Baseline, BaselineStage, scores_of
from tricord.models.baselines.missing import draws, drop, kept_name, without_ends
from tricord.models.entry import Choice, Entry, Range
from tricord.nn.attraction import AttractionHeads, attraction
from tricord.nn.exchange import GlobalExchange
from tricord.nn.heads import ScoreHead
from tricord.nn.recurrent import FrameLSTM
from tricord.nn.scale import Scale
from tricord.training.stages import share_right
from tricord.types import Batch, Frames, Modality

GLOBAL = "global"
AUDIO, VISION = str(Modality.AUDIO), str(Modality.VISION)
_SEEDS = {TEXT: 111, AUDIO: 1111, VISION: 11111}  # of the original's missing frames
_RELEASED_SELECT = {"mosei": "score"}  # all others: "total"


class EmtDlfrConfig(BaselineConfig):
    """The text model is meant to be finetuned (text.finetune); the published rates are for that.

    d, attention_heads, depth: of the exchange between global vectors and sequences.
    lstm, vectors: of audio and vision: the LSTM's width, and o_m. bottlenecks: of the SimSiam
        predictors. hidden: of the score's head.
    attract, reconstruct: weights of these parts of the loss.
    standardize: modalities whose numbers are brought to mean 0 and spread 1 of train's frames.
    missing: the share of frames that is missing in the second view, of tokens likewise; scores
        are predicted from that view. Ready text features lose whole frames, as there are no
        tokens to exchange. unknown_token: stands for missing tokens; [UNK] of BERT's vocabularies.
    draws: missing frames of each split are drawn on their own, or, as released, all splits
        "share" the numbers that are drawn.
    second_view: whether it is computed "always", as released, or only "where_it_differs": with
        nothing missing and nothing random in the network it is the first one, and the statistics
        of batch normalisation then move once a batch and not twice.
    select: the epoch is selected by the "score" that valid gets, or by the "total" of all parts of
        the loss, as released for all data sets but CMU-MOSEI.
    """

    accumulate: Count = 4
    d: Count = 32
    attention_heads: Count = 4
    depth: Count = 4
    lstm: dict[str, Count]
    vectors: dict[str, Count]
    bottlenecks: dict[str, Count]
    hidden: Count
    attention_dropout: Dropout = 0
    feedforward_dropout: Dropout = 0
    head_dropout: Dropout = 0
    attract: float = Field(1.0, ge=0)
    reconstruct: float = Field(1.0, ge=0)
    standardize: tuple[str, ...] = ()
    missing: Share = 0
    unknown_token: int = Field(100, ge=0)
    draws: Literal["own", "share"] = "own"
    second_view: Literal["where_it_differs", "always"] = "where_it_differs"
    select: Literal["score", "total"] = "score"

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.d % self.attention_heads:
            raise ValueError(
                f"attention_heads: {self.attention_heads} does not divide d = {self.d}"
            )
        return self

    def released(self) -> Self:
        """Every option as in the released implementation; ``missing`` stays as it is."""
        return self.with_settings(
            {
                "draws": "share",
                "second_view": "always",
                "select": _RELEASED_SELECT.get(self.preset, "total"),
                "leftovers": "drop",
                "text_vector": "first",
            }
        )

    @property
    def random(self) -> bool:
        """Whether two passes of the same clips through the network differ in training."""
        return any((self.attention_dropout, self.feedforward_dropout, self.head_dropout))


def _linear(width: int, out: int, *, bias: bool) -> nn.Module:
    return nn.Identity() if width == out else nn.Linear(width, out, bias=bias)


class SequenceReader(nn.Module):
    """An LSTM, and one affine map of its outputs and of its last state."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.lstm = FrameLSTM(width, hidden)
        self.out = _linear(hidden, out, bias=True)

    def forward(self, x: Frames) -> tuple[Frames, Tensor]:
        """A vector for each frame, and u, (B, o), 0 for a clip without frames."""
        every, last = self.lstm(x)
        empty = (x.lengths == 0).to(last.device)
        u: Tensor = self.out(last[-1]).masked_fill(empty[:, None], 0.0)
        return replace(every, values=self.out(every.values)), u


@dataclass(frozen=True)
class View:
    """scores: (B, 1). vectors: u_m, and G under `GLOBAL`, each (B, width).

    present: of each vector, (B,) bool. inputs: what each modality's sequence was made of.
    frames: of each sequence after the exchange, (F, d); empty where not asked for.
    """

    scores: Tensor
    vectors: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    inputs: Mapping[str, Frames]
    frames: Mapping[str, Tensor]


class EmtDlfr(Baseline):
    """Vectors and sequences of all modalities, their exchange, and a score of [u_m; ...; G]."""

    config: EmtDlfrConfig

    def __init__(self, config: EmtDlfrConfig, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        self.scales = nn.ModuleDict()
        self.readers = nn.ModuleDict()
        sizes = dict(self.widths)
        for name, width in self.widths.items():
            if name in config.standardize:
                self.scales[name] = Scale(width)
            if name != TEXT:
                sizes[name] = config.vectors[name]
                self.readers[name] = SequenceReader(width, config.lstm[name], sizes[name])
        self.shared = nn.ModuleDict({k: _linear(n, config.d, bias=False) for k, n in sizes.items()})
        self.exchange = GlobalExchange(
            config.d,
            len(sizes),
            heads=config.attention_heads,
            depth=config.depth,
            attention_dropout=config.attention_dropout,
            feedforward_dropout=config.feedforward_dropout,
        )
        sizes[GLOBAL] = len(sizes) * config.d
        self.similarity = nn.ModuleDict(
            {name: AttractionHeads(size, config.bottlenecks[name]) for name, size in sizes.items()}
        )
        self.reconstruct = nn.ModuleDict(
            {name: nn.Linear(config.d, width) for name, width in self.widths.items()}
        )
        self.head = ScoreHead(sum(sizes.values()), config.hidden, config.head_dropout)

    def parts(self) -> Mapping[str, nn.Module]:
        """The LSTMs have rates of their own."""
        return dict(self.readers.items())

    def inputs(self, table: FeatureTable, sequences: Mapping[str, Ragged]) -> Mapping[str, Ragged]:
        """With flags of the frames that are kept in the second view, where some are missing."""
        if not self.config.missing:
            return sequences
        split = None if self.config.draws == "share" else table.name
        flags = {
            kept_name(name): draw_kept(
                sequence,
                self.config.missing,
                draws(_SEEDS[name], split),
                ends=name == TEXT and self.config.first_frame,
            )
            for name, sequence in sequences.items()
        }
        return {**sequences, **flags}

    def check_unknown_token(self) -> None:
        """Raises ConfigError where the language model that is trained has no such token."""
        for name, encoder in self.language.items():
            known = cast(Any, encoder).model.get_input_embeddings().num_embeddings
            if self.config.missing and self.config.unknown_token >= known:
                raise ConfigError(
                    f"setting unknown_token: {self.config.unknown_token} found, but the "
                    f"language model of {name} knows {known}"
                )

    def standardize(self, train: TensorTable) -> None:
        """Take mean and spread from the frames of train."""
        for name, scale in self.scales.items():
            assert isinstance(scale, Scale)
            scale.fit(train.sequences[name].values)

    def forward(self, batch: Batch) -> Tensor:
        """(B, 1) scores, from what is not missing."""
        return self.view(self.read(batch, missing=self.config.missing > 0)).scores

    def views(self, batch: Batch) -> tuple[View, View]:
        """Complete, and with missing frames; twice the same one where they do not differ."""
        config = self.config
        complete = self.view(self.read(batch, missing=False))
        changes = config.random or len(self.language) > 0 or config.second_view == "always"
        if not config.missing and not (self.training and changes):
            return complete, complete
        missing = config.missing > 0
        return complete, self.view(self.read(batch, missing=missing), frames=missing)

    def read(self, batch: Batch, *, missing: bool) -> dict[str, Frames]:
        """Features of each modality."""
        found = {}
        for name in self.widths:
            frames = batch.frames[name]
            kept = batch.frames[kept_name(name)] if missing else None
            if not frames.values.is_floating_point():
                if kept is not None:
                    frames = drop(frames, kept, self.config.unknown_token)
                found[name] = self.language[name](frames)
                continue
            if name in self.scales:
                frames = self.scales[name](frames)
            found[name] = frames if kept is None else drop(frames, kept)
        return found

    def sequence_of(self, name: str, frames: Frames) -> Frames:
        """A modality's frames that are not all of its vector: no [CLS], no [SEP]."""
        return without_ends(frames) if name == TEXT and self.config.first_frame else frames

    def view(self, features: Mapping[str, Frames], *, frames: bool = False) -> View:
        """The network for one view; frames: also those after the exchange."""
        inputs = {name: self.sequence_of(name, x) for name, x in features.items()}
        sequences, vectors = {}, {}
        for name, x in features.items():
            if name == TEXT:
                sequences[name], vectors[name] = inputs[name], self.sentence_pool(x)
            else:
                sequences[name], vectors[name] = self.readers[name](x)
        device = next(iter(vectors.values())).device
        present = {name: (x.lengths > 0).to(device) for name, x in features.items()}
        g, last = self.exchange(
            torch.stack([self.shared[name](u) for name, u in vectors.items()], dim=1),
            torch.stack(list(present.values()), dim=1),
            [replace(x, values=self.shared[name](x.values)) for name, x in sequences.items()],
            final=frames,
        )
        vectors[GLOBAL] = g.flatten(1)
        present[GLOBAL] = torch.ones(len(g), dtype=torch.bool, device=device)
        scores = self.head(torch.cat(list(vectors.values()), dim=1)).score
        after = dict(zip(inputs, last, strict=True)) if frames else {}
        return View(scores, vectors, present, inputs, after)

    def attraction(self, complete: View, missing: View) -> Tensor:
        """The sum over all vectors of what draws both views together."""
        total = complete.scores.new_zeros(())
        for name, heads in self.similarity.items():
            here = complete.present[name]
            first = heads(complete.vectors[name][here])
            second = first if missing is complete else heads(missing.vectors[name][here])
            total = total + attraction(*first, *second)
        return total

    def reconstruction(self, complete: View, missing: View, batch: Batch) -> Tensor:
        """The sum over modalities of the mean smooth L1 error of the missing frames' numbers.

        Towards what the complete view was made of, without gradient.
        """
        total = complete.scores.new_zeros(())
        for name, head in self.reconstruct.items():
            gone = ~self.sequence_of(name, batch.frames[kept_name(name)]).values
            target = complete.inputs[name].values[gone].detach()
            errors = F.smooth_l1_loss(head(missing.frames[name][gone]), target, reduction="sum")
            total = total + errors / max(1, target.numel())
        return total


class EmtDlfrStage(BaselineStage[EmtDlfr]):
    """Scores of both views, their attraction, the reconstruction of what is missing."""

    def __init__(
        self, model: EmtDlfr, train: Loader, valid: Loader, *, best_file: Path | None = None
    ) -> None:
        super().__init__(model, train, valid, best_file=best_file)
        model.check_unknown_token()
        model.standardize(train.table)

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """score' + w1 (attraction + score) + w2 reconstruction; score': with frames missing."""
        return self._losses(batch, *self.model.views(batch))

    def _losses(self, batch: Batch, complete: View, missing: View) -> dict[str, Tensor]:
        config = self.model.config
        score = self.task_loss(missing.scores, batch)
        attract = self.model.attraction(complete, missing)
        total = score + config.attract * (attract + self.task_loss(complete.scores, batch))
        parts = {"score": score, "attract": attract}
        if config.missing:
            parts["reconstruct"] = self.model.reconstruction(complete, missing, batch)
            total = total + config.reconstruct * parts["reconstruct"]
        return {"loss": total, **parts}

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """What selects as "loss": the error of the score, or the total."""
        if self.model.config.select == "score":
            return super()._evaluate(batch, epoch)
        complete, missing = self.model.views(batch)
        right = share_right(missing.scores, batch.label, self.model.config.labels)
        return {**self._losses(batch, complete, missing), **right}


EmtDlfr.stage = EmtDlfrStage


def _rates(audio: Rate, vision: Rate, other: Rate) -> dict[str, Rate]:
    return {AUDIO: audio, VISION: vision, "other": other}


def _config(preset: str, **settings: object) -> EmtDlfrConfig:
    """What all data sets share: 16 and 32 numbers for audio and vision, the bottlenecks."""
    shared: dict[str, object] = {
        "lstm": {AUDIO: 16, VISION: 32},
        "vectors": {AUDIO: 16, VISION: 32},
        "bottlenecks": {GLOBAL: 128, TEXT: 256, AUDIO: 8, VISION: 16},
        "hidden": 256,
    }
    tree = {"preset": preset, "labels": scores_of(preset), **shared, **settings}
    return EmtDlfrConfig.model_validate(tree)


def _ch_sims(preset: str) -> EmtDlfrConfig:
    rate = Rate(lr=1e-3)
    return _config(
        preset,
        attract=0.5,
        reconstruct=0.5,
        standardize=(AUDIO, VISION),
        rates=_rates(rate, rate, rate),
        text=TextConfig(lr=2e-5),
    )


def _mosi(preset: str) -> EmtDlfrConfig:
    return _config(
        preset,
        lstm={AUDIO: 32, VISION: 64},
        d=128,
        depth=3,
        attention_dropout=0.3,
        feedforward_dropout=0.1,
        head_dropout=0.3,
        rates=_rates(
            Rate(lr=1e-3, weight_decay=0.01),
            Rate(lr=1e-4, weight_decay=1e-3),
            Rate(lr=1e-3, weight_decay=1e-3),
        ),
    )


def _mosei(preset: str) -> EmtDlfrConfig:
    rate = Rate(lr=1e-4, weight_decay=1e-3)
    return _config(
        preset,
        batch_size=16,
        d=128,
        depth=2,
        hidden=128,
        rates=_rates(rate, rate, rate),
        text=TextConfig(lr=2e-5),
    )


def _tiny(preset: str) -> EmtDlfrConfig:
    rate = Rate(lr=3e-3)
    return _config(
        preset,
        epochs=3,
        accumulate=1,
        d=8,
        attention_heads=2,
        depth=1,
        hidden=16,
        lstm={AUDIO: 4, VISION: 8},
        vectors={AUDIO: 4, VISION: 8},
        bottlenecks={GLOBAL: 8, TEXT: 8, AUDIO: 2, VISION: 4},
        standardize=(AUDIO, VISION),
        rates=_rates(rate, rate, rate),
    )


def config(preset: str) -> EmtDlfrConfig:
    """The published settings, with no frames missing."""
    make = {"mosi": _mosi, "mosei": _mosei, "tiny": _tiny}.get(preset, _ch_sims)
    return make(preset)


ENTRIES = (
    Entry(
        name="emt-dlfr",
        title="EMT-DLFR",
        paper="Efficient Multimodal Transformer with Dual-Level Feature Restoration for Robust "
        "Multimodal Sentiment Analysis",
        year=2023,
        licence="MIT; written anew from its equations",
        config=config,
        build=EmtDlfr,
        uses=("a text encoder to train (text.encoder, text.finetune), as published",),
        search={
            "depth": Choice((1, 2, 3, 4)),
            "head_dropout": Range(0.0, 0.5),
            "attract": Range(0.1, 1.0),
            "rates.other.lr": Range(1e-4, 3e-3, log=True),
        },
        published={
            "ch-sims": 1_525_592,
            "ch-sims-v2": 1_439_164,
            "mosi": 2_322_779,
            "mosei": 2_115_583,
        },
    ),
)
