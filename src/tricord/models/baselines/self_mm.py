"""Self-MM (2021): three unimodal tasks whose labels are made up while training.

B clips, K modalities, N clips in train; tasks are the fusion of all modalities and each alone;
p_s numbers in the hidden layer of task s that its label is made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from tricord.baseline_config import BaselineConfig, Rate
from tricord.config import Count, Dropout
from tricord.data.batching import Loader
from tricord.data.pooling import one_frame
from tricord.data.schema import FeatureTable, Ragged
from tricord.models.baselines.base import TEXT, Baseline, BaselineStage, scores_of
from tricord.models.entry import Choice, Entry, Range
from tricord.nn.heads import FUSION, ScoreHead
from tricord.nn.losses import task_loss
from tricord.nn.recurrent import LastState
from tricord.training.loop import Stateful
from tricord.types import Batch

_SMALLEST = 1e-8  # added to a divisor


class SelfMMConfig(BaselineConfig):
    """The text model is meant to be finetuned (text.finetune); the published rates are for that.

    reader_hidden, reader_width, reader_dropout: of audio and vision: numbers in the LSTM's state,
        numbers that are made of its last one, dropout in between.
    head_width, head_dropout: of each task's head: p_s, dropout in front.
    zero: where clips with a label of exactly 0 belong when centers are taken: to "neither" sign,
        since they say nothing of either, or, as released, to the "positive" ones.
    """

    reader_hidden: dict[str, Count]
    reader_width: dict[str, Count]
    reader_dropout: Dropout = 0
    head_width: dict[str, Count]
    head_dropout: dict[str, Dropout]
    zero: Literal["neither", "positive"] = "neither"
    accumulate: Count = 4

    def released(self) -> Self:
        """Zero is positive, fewer than four batches at an epoch's end are dropped, [CLS]."""
        return self.with_settings({"zero": "positive", "leftovers": "drop", "text_vector": "first"})


class Tasks(NamedTuple):
    """scores: (B, 1 + K), fusion first. features: task -> (B, p_s)."""

    scores: Tensor
    features: Mapping[str, Tensor]


class SelfMM(Baseline):
    """A vector a modality, and a head for each of them and for all side by side."""

    config: SelfMMConfig

    def __init__(self, config: SelfMMConfig, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        self.readers = nn.ModuleDict()
        vectors = {}
        for name, width in self.widths.items():
            vectors[name] = width
            if name != TEXT:
                vectors[name] = config.reader_width[name]
                self.readers[name] = LastState(
                    width, config.reader_hidden[name], vectors[name], config.reader_dropout
                )
        self.heads = nn.ModuleDict(
            {
                name: ScoreHead(width, config.head_width[name], config.head_dropout[name])
                for name, width in {FUSION: sum(vectors.values()), **vectors}.items()
            }
        )

    def inputs(self, table: FeatureTable, sequences: Mapping[str, Ragged]) -> Mapping[str, Ragged]:
        """Of ready text features only what stands for the sentence."""
        chosen = dict(super().inputs(table, sequences))
        if TEXT in chosen and chosen[TEXT].values.ndim > 1:
            chosen[TEXT] = one_frame(chosen[TEXT], self.sentence_pool)
        return chosen

    def forward(self, batch: Batch) -> Tensor:
        """(B, 1): the score of the fusion task."""
        score: Tensor = self.heads[FUSION](self._vectors(batch)[FUSION]).score
        return score

    def tasks(self, batch: Batch) -> Tasks:
        """Scores of all tasks and what labels are made from."""
        found = {name: self.heads[name](x) for name, x in self._vectors(batch).items()}
        scores = torch.cat([output.score for output in found.values()], dim=1)
        return Tasks(scores, {name: output.first for name, output in found.items()})

    def _vectors(self, batch: Batch) -> dict[str, Tensor]:
        """Task -> (B, width): each modality's, and first all of them side by side."""
        each = {
            name: self.sentence(batch) if name == TEXT else self.readers[name](batch.frames[name])
            for name in self.widths
        }
        return {FUSION: torch.cat(list(each.values()), dim=1), **each}

    def parts(self) -> Mapping[str, nn.Module]:
        """The readers of audio and vision."""
        return dict(self.readers.items())


def relative_distance(features: Tensor, centers: Tensor) -> Tensor:
    """delta_s: how much nearer to the positive center than to the negative one.

    features: (B, p_s). centers: (2, p_s), positive first. Returns (B,): the difference of the two
    distances by the first, so that a scale of the features, such as sqrt(p_s), cancels.
    """
    positive, negative = (torch.linalg.vector_norm(features - c, dim=1) for c in centers)
    delta: Tensor = (negative - positive) / (positive + _SMALLEST)
    return delta


def candidates(distances: Tensor, label: Tensor) -> Tensor:
    """The labels that a batch's distances ask for: mean of a scaled and a shifted y_m.

    distances: (B, 1 + K) delta_s, fusion first. label: (B, 1) y_m. Returns (B, K), unbounded. They
    may have another sign than y_m, which is the point of them.
    """
    fusion, own = distances[:, :1], distances[:, 1:]
    scaled = own / (fusion + _SMALLEST) * label
    shifted = label + own - fusion
    return (scaled + shifted) / 2


def weighted_errors(scores: Tensor, labels: Tensor) -> Tensor:
    """The loss of each task: mean |y^_s - y_s|, weighted by tanh|y_s - y_m| for a modality.

    scores, labels: (B, 1 + K), fusion first; a label is NaN where unknown and then left out.
    Returns (1 + K,).
    """
    known = ~labels.isnan()
    labels = labels.nan_to_num()
    weights = torch.tanh((labels - labels[:, :1]).abs())
    weights[:, 0] = 1.0
    # a weight is not negative, so it may go inside the absolute value
    return task_loss((weights * scores).unsqueeze(2), weights * labels, known)


class LabelGenerator:
    """The labels of all tasks and the features they are made from, for every clip of train (ULGM).

    labels: (N, 1 + K), fusion first, which stays; NaN where unknown or the modality is absent.
    features: task -> (N, p_s), each clip's as last seen.
    """

    def __init__(
        self,
        scores: Tensor,
        present: Tensor,
        widths: Mapping[str, int],
        bounds: tuple[float, float],
        zero: Literal["neither", "positive"] = "neither",
    ) -> None:
        """scores: (N,) y_m, what all labels start as. present: (N, K). widths: task -> p_s.

        bounds: what labels are kept within. zero: as in `SelfMMConfig`.
        """
        own = scores[:, None].masked_fill(~present, torch.nan)
        self.labels = torch.cat([scores[:, None], own], dim=1)
        self.features = {name: scores.new_zeros(len(scores), p) for name, p in widths.items()}
        self.bounds, self.zero = bounds, zero

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        features = {name: table.clone() for name, table in self.features.items()}
        return {"labels": self.labels.clone(), "features": features}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` gave."""
        self.labels = state["labels"].to(self.labels, copy=True)
        self.features = {
            name: state["features"][name].to(table, copy=True)
            for name, table in self.features.items()
        }

    def centers(self) -> dict[str, Tensor]:
        """Task -> (2, p_s): the mean features of its positive and of its negative labels.

        NaN for a sign that no clip has.
        """
        positive = self.labels >= 0 if self.zero == "positive" else self.labels > 0
        sides = torch.stack([positive, self.labels < 0])
        found = {}
        for side, (name, table) in zip(sides.unbind(dim=2), self.features.items(), strict=True):
            members = side.to(table)
            found[name] = members @ table / members.sum(dim=1, keepdim=True)
        return found

    @torch.no_grad()
    def update(self, epoch: int, index: Tensor, features: Mapping[str, Tensor]) -> None:
        """After a step: from epoch 2 move the batch's labels, then keep its features.

        epoch: from 1. index: (B,) different rows. features: task -> (B, p_s). Labels move towards
        `candidates` by 2 / (epoch + 1), with the centers that the batches before have left.
        """
        if epoch > 1:
            self._move(epoch, index, features)
        for name, table in self.features.items():
            table[index] = features[name].to(table)

    def _move(self, epoch: int, index: Tensor, features: Mapping[str, Tensor]) -> None:
        distances = [relative_distance(features[name], c) for name, c in self.centers().items()]
        labels = self.labels[index]
        new = candidates(torch.stack(distances, dim=1).to(labels), labels[:, :1])
        old, new = labels[:, 1:], new.clamp(*self.bounds)
        moved = ((epoch - 1) * old + 2 * new) / (epoch + 1)
        # without a center on either side there is nothing to move by
        self.labels[index, 1:] = torch.where(new.isnan(), old, moved)


class SelfMMStage(BaselineStage[SelfMM]):
    """All tasks at once; the unimodal ones count as far as their labels differ from y_m."""

    def __init__(
        self, model: SelfMM, train: Loader, valid: Loader, *, best_file: Path | None = None
    ) -> None:
        super().__init__(model, train, valid, best_file=best_file)
        config, table = model.config, train.table
        self.generator = LabelGenerator(
            table.scores[:, 0],
            table.present,
            {name: config.head_width[name] for name in model.heads},
            (config.labels.low, config.labels.high),
            config.zero,
        )
        self._epoch = 1
        self._features: Mapping[str, Tensor] = {}

    def members(self) -> Mapping[str, Stateful]:
        """Labels and features of train as well."""
        return {**super().members(), "labels": self.generator}

    def begin_epoch(self, epoch: int) -> None:
        """The label generator's momentum depends on the epoch."""
        super().begin_epoch(epoch)
        self._epoch = epoch

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """The sum over tasks; in epoch 1 labels are all y_m, and only the fusion task counts."""
        tasks = self.model.tasks(batch)
        self._features = tasks.features
        errors = weighted_errors(tasks.scores, self.generator.labels[batch.index])
        return {"loss": errors.sum(), FUSION: errors[0]}

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Labels move after they were used."""
        losses = super().step(batch)
        self.generator.update(self._epoch, batch.index, self._features)
        self._features = {}
        return losses


SelfMM.stage = SelfMMStage


def _config(
    preset: str,
    *,
    reader: Mapping[str, tuple[int, int]],
    head: Mapping[str, tuple[int, float]],
    rates: Mapping[str, tuple[float, float]],
    **options: Any,
) -> SelfMMConfig:
    """reader: (hidden, width); head: (p_s, dropout); rates: (lr, weight decay)."""
    return SelfMMConfig(
        preset=preset,
        labels=scores_of(preset),
        reader_hidden={name: hidden for name, (hidden, _) in reader.items()},
        reader_width={name: width for name, (_, width) in reader.items()},
        head_width={name: p for name, (p, _) in head.items()},
        head_dropout={name: dropout for name, (_, dropout) in head.items()},
        rates={name: Rate(lr=lr, weight_decay=decay) for name, (lr, decay) in rates.items()},
        **options,
    )


# The original's own settings; for CH-SIMS v2 it has none, and those of CH-SIMS give Table IV's size
_SIMS: dict[str, Any] = {
    "reader": {"audio": (16, 16), "vision": (64, 32)},
    "head": {"fusion": (128, 0.0), "text": (64, 0.1), "audio": (16, 0.1), "vision": (32, 0.0)},
    "rates": {"audio": (5e-3, 0.01), "vision": (5e-3, 0.01), "other": (1e-3, 1e-3)},
}
_SETTINGS: Mapping[str, dict[str, Any]] = {
    "ch-sims": _SIMS,
    "ch-sims-v2": _SIMS,
    "mosi": {
        "reader": {"audio": (32, 16), "vision": (64, 32)},
        "head": {"fusion": (128, 0.1), "text": (64, 0.0), "audio": (16, 0.1), "vision": (32, 0.1)},
        "rates": {"audio": (1e-3, 0.01), "vision": (1e-4, 1e-3), "other": (1e-3, 1e-3)},
    },
    "mosei": {
        "reader": {"audio": (32, 16), "vision": (32, 32)},
        "head": {"fusion": (128, 0.0), "text": (32, 0.1), "audio": (16, 0.0), "vision": (16, 0.1)},
        "rates": {"audio": (5e-3, 0.0), "vision": (1e-4, 0.0), "other": (1e-3, 0.01)},
    },
    "tiny": {
        "reader": {"audio": (4, 4), "vision": (4, 4)},
        "head": {"fusion": (8, 0.1), "text": (6, 0.1), "audio": (4, 0.1), "vision": (4, 0.1)},
        "rates": {"other": (3e-3, 0.0)},
        "epochs": 5,
        "accumulate": 1,
    },
}


def config(preset: str) -> SelfMMConfig:
    """The published settings for a data set; those of CH-SIMS where there are none."""
    return _config(preset, **_SETTINGS.get(preset, _SIMS))


ENTRIES = (
    Entry(
        name="self-mm",
        title="Self-MM",
        paper="Learning Modality-Specific Representations with Self-Supervised Multi-Task "
        "Learning for Multimodal Sentiment Analysis",
        year=2021,
        licence="MIT; ours is written from equations and recorded numbers, not from it",
        config=config,
        build=SelfMM,
        published={"ch-sims": 381_380, "ch-sims-v2": 244_676, "mosi": 206_980, "mosei": 172_532},
        uses=("a text encoder to train (text.encoder, text.finetune), as published",),
        search={
            "reader_hidden.audio": Choice((16, 32, 64)),
            "reader_hidden.vision": Choice((16, 32, 64)),
            "head_width.fusion": Choice((64, 128, 256)),
            "head_dropout.fusion": Range(0.0, 0.5),
            "rates.other.lr": Range(1e-4, 1e-2, log=True),
            "accumulate": Choice((1, 4)),
        },
    ),
)
