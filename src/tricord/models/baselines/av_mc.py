"""AV-MC (2022), its supervised variant: audio and vision mixed between clips.

B clips, K modalities; tasks are the fusion of all modalities and each alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from tricord.baseline_config import BaselineConfig, Rate
from tricord.config import Count, Dropout
from tricord.data.pooling import one_frame
from tricord.data.schema import FeatureTable, Ragged
from tricord.models.baselines.base import TEXT, Baseline, BaselineStage, scores_of
from tricord.models.entry import Choice, Entry, Range
from tricord.nn.clips import mean_frames
from tricord.nn.dropout import Dropout as DropoutLayer
from tricord.nn.encoder import FrameNorm
from tricord.nn.heads import FUSION, ScoreHead
from tricord.nn.losses import task_loss
from tricord.training.stages import share_right, task_goals
from tricord.types import Batch


class AVMCConfig(BaselineConfig):
    """Text features are those of a frozen language model as they are, without its dropout.

    encoder_width, encoder_dropout: of each modality's encoder. head_width: of each head;
        head_dropout: in front of all heads. task_weights: what each task's loss counts.
    output: what the fused score is bounded to: the range of the "labels", or the "unit" range
        (-1, 1), whatever labels there are, the only constants that were published with this
        variant. For CH-SIMS the two are the same; on CMU-MOSI scores near 3 are out of reach of
        the second, though their sign is not.
    """

    frozen_text: ClassVar[bool] = True

    encoder_width: dict[str, Count]
    encoder_dropout: Dropout
    head_width: dict[str, Count]
    head_dropout: Dropout
    task_weights: dict[str, float]
    output: Literal["labels", "unit"] = "labels"

    def released(self) -> Self:
        """Scores in (-1, 1), the loss that selects by 4 decimals, [CLS]."""
        return self.with_settings({"output": "unit", "rounding": 4, "text_vector": "first"})


def _encoder(width: int, hidden: int, dropout: float) -> nn.Sequential:
    """A clip's mean frame -> ``hidden`` numbers: batch normalisation and three layers with ReLU."""
    layers: list[nn.Module] = [FrameNorm(width), DropoutLayer(dropout)]
    for wide in (width, hidden, hidden):
        layers += [nn.Linear(wide, hidden), nn.ReLU()]
    return nn.Sequential(*layers)


class AVMC(Baseline):
    """An encoder and a head for each modality; the heads' hidden layers are fused."""

    config: AVMCConfig

    def __init__(self, config: AVMCConfig, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        out, p = config.encoder_width, config.head_width
        self.encoders = nn.ModuleDict(
            {
                name: nn.Linear(width, out[name])
                if name == TEXT
                else _encoder(width, out[name], config.encoder_dropout)
                for name, width in self.widths.items()
            }
        )
        self.heads = nn.ModuleDict(
            {name: ScoreHead(out[name], p[name], config.head_dropout) for name in self.widths}
        )
        # no nonlinearity between these layers, as published
        self.fusion = nn.Sequential(
            DropoutLayer(config.head_dropout),
            nn.Linear(sum(p[name] for name in self.widths), p[FUSION]),
            nn.Linear(p[FUSION], p[FUSION]),
            nn.Linear(p[FUSION], 1),
        )
        low, high = (-1.0, 1.0)
        if config.output == "labels":
            low, high = config.labels.low, config.labels.high
        # parameters, so that they count as published, though nothing trains them
        self.low = nn.Parameter(torch.tensor([low]), requires_grad=False)
        self.range = nn.Parameter(torch.tensor([high - low]), requires_grad=False)

    def inputs(self, table: FeatureTable, sequences: Mapping[str, Ragged]) -> Mapping[str, Ragged]:
        """One frame a clip: its mean, or the sentence's; tokens are left as they are."""
        chosen = super().inputs(table, sequences)
        return {
            name: one_frame(s, self.sentence_pool if name == TEXT else mean_frames)
            if s.values.ndim > 1
            else s
            for name, s in chosen.items()
        }

    def parts(self) -> Mapping[str, nn.Module]:
        """The encoders of audio and vision."""
        return {name: module for name, module in self.encoders.items() if name != TEXT}

    def forward(self, batch: Batch) -> Tensor:
        """(B, 1): the score of the fusion task."""
        return self.tasks(self.vectors(batch))[:, :1]

    def vectors(self, batch: Batch) -> dict[str, Tensor]:
        """Modality -> (B, width): its mean frame, 0 where it is absent; the whole text."""
        return {
            name: self.sentence(batch) if name == TEXT else mean_frames(batch.frames[name])
            for name in self.widths
        }

    def tasks(self, vectors: Mapping[str, Tensor]) -> Tensor:
        """(B, 1 + K) scores, fusion first: one pass from vectors that may be mixed."""
        found = {name: self.heads[name](self.encoders[name](x)) for name, x in vectors.items()}
        features = torch.cat([output.second for output in found.values()], dim=1)
        fused = self.range * torch.sigmoid(self.fusion(features)) + self.low
        return torch.cat([fused, *(output.score for output in found.values())], dim=1)


class Mixing(NamedTuple):
    """share: lambda, what a clip keeps of its own. partner: (B,) the clip that gives the rest."""

    share: Tensor
    partner: Tensor


def draw_mixing(clips: int) -> Mixing:
    """lambda from Beta(1, 1), which is uniform, and a random permutation."""
    return Mixing(torch.rand(()), torch.randperm(clips))


class AVMCStage(BaselineStage[AVMC]):
    """Three passes a batch: as it is, with mixed audio, with mixed vision.

    Tasks without labels of their own learn the multimodal one.
    """

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """The sum of the passes, in this order, which batch normalisation sees as well."""
        goals, known = task_goals(batch)
        vectors = self.model.vectors(batch)
        errors = task_loss(self.model.tasks(vectors).unsqueeze(2), goals, known)
        losses = {"plain": self._weights(errors) @ errors}
        for name in self.model.parts():
            losses[f"mixed_{name}"] = self._mixed(name, vectors, goals, known)
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    def _mixed(
        self, name: str, vectors: Mapping[str, Tensor], goals: Tensor, known: Tensor
    ) -> Tensor:
        """The loss of a pass in which one modality is mixed, and with it its goal and y_m."""
        share, partner = draw_mixing(len(goals))
        mixed = share * vectors[name] + (1 - share) * vectors[name][partner]
        scores = self.model.tasks({**vectors, name: mixed}).unsqueeze(2)
        own = task_loss(scores, goals, known)
        other = task_loss(scores, goals[partner], known[partner])
        shares = torch.ones_like(own)
        shares[0] = shares[1 + list(vectors).index(name)] = share
        errors = shares * own + (1 - shares) * other
        return self._weights(errors) @ errors

    def _weights(self, like: Tensor) -> Tensor:
        """(1 + K,) of the tasks, fusion first."""
        weights = self.model.config.task_weights
        return like.new_tensor([weights[name] for name in (FUSION, *self.model.widths)])

    def _evaluate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """All tasks select the epoch, as in training but not mixed."""
        scores = self.model.tasks(self.model.vectors(batch))
        errors = task_loss(scores.unsqueeze(2), *task_goals(batch))
        right = share_right(scores[:, :1], batch.label, self.model.config.labels)
        return {"loss": self._weights(errors) @ errors, FUSION: errors[0], **right}


AVMC.stage = AVMCStage


def config(preset: str) -> AVMCConfig:
    """One setting for all data sets, as published."""
    settings = AVMCConfig(
        preset=preset,
        labels=scores_of(preset),
        encoder_width={"text": 64, "audio": 16, "vision": 16},
        encoder_dropout=0.1,
        head_width={"text": 32, "audio": 32, "vision": 64, FUSION: 16},
        head_dropout=0.3,
        task_weights={FUSION: 1.0, "text": 0.2, "audio": 0.8, "vision": 0.4},
        rates={
            "audio": Rate(lr=5e-4),
            "vision": Rate(lr=1e-3),
            "other": Rate(lr=5e-4, weight_decay=5e-4),
        },
    )
    return settings.model_copy(update={"epochs": 5}) if preset == "tiny" else settings


ENTRIES = (
    Entry(
        name="av-mc",
        title="AV-MC",
        paper="Make Acoustic and Visual Cues Matter: CH-SIMS v2.0 Dataset and AV-Mixup "
        "Consistent Module",
        year=2022,
        licence="none stated; ours is written from equations and recorded numbers alone",
        config=config,
        build=AVMC,
        published={"ch-sims": 76_162, "ch-sims-v2": 66_442, "mosi": 63_256, "mosei": 64_768},
        uses=("labels of each modality",),
        search={
            "encoder_dropout": Range(0.0, 0.5),
            "head_dropout": Range(0.0, 0.5),
            "head_width.fusion": Choice((16, 32, 64)),
            "rates.audio.lr": Range(1e-4, 1e-2, log=True),
            "rates.vision.lr": Range(1e-4, 1e-2, log=True),
            "rates.other.lr": Range(1e-4, 1e-2, log=True),
        },
    ),
)
