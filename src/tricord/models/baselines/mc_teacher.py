"""MC-Teacher (Yuan et al. 2024): a mean teacher, and a filter that says when to believe it.

The filter sees what each pair of modalities and all of them together make of a clip. Where it
accepts the teacher on a clip without a label, the student learns to agree with the teacher.

B clips; P pairs of modalities, in the order of `pair_names`; f width of what stands for a pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from tricord.baseline_config import BaselineConfig, Rate
from tricord.config import Count, Dropout, Positive, Share
from tricord.data.schema import UNLABELLED
from tricord.errors import DataError
from tricord.models.baselines.base import TEXT, Baseline, scores_of
from tricord.models.baselines.mc_teacher_clips import Mixture
from tricord.models.baselines.mc_teacher_parts import (
    FILTER,
    FUSED,
    Outputs,
    Regressor,
    SequenceEncoder,
    pair_names,
)
from tricord.models.baselines.mc_teacher_stage import MCTeacherStage
from tricord.models.entry import Choice, Entry, Range
from tricord.training.loaders import Loaders, subseed
from tricord.training.loop import Stage
from tricord.types import Batch


class MCTeacherConfig(BaselineConfig):
    """Sizes, weights and rates as published for CH-SIMS v2 and CMU-MOSEI; "filter" has a rate.

    hidden: modality -> width of its encoder. post: modality -> width of its part in pairs and in
        the fusion. fusion: f, and the filter's width. encoder_dropout, post_dropout: of the
        sequences' projections, and in front of ``post`` and of the fusion.
    supervised, consistency: weight of the error towards the label, and of the distance to the
        teacher, for each pair and for "fused".
    tolerance_floor, tolerance_span, tolerance_steps: how wrong a teacher that is right may be:
        span * steps / (batches so far + 1) + floor, at most floor + span.
    momentum: the teacher's largest. queue_batch_size, queue_dropout: of the filter's agreement.
    double_softmax: train the filter's softmax with a cross-entropy that takes it for logits.
    detached: the filter's answer to the teacher is a fixed target where it learns to agree. What
        the original lets flow into the teacher itself changes nothing, no optimiser has it.
    filter_accumulates: gradients of the filter's agreement are summed over all batches so far.
    filter_twice: the main optimiser moves the filter as well, by the same gradient.
    """

    frozen_text: ClassVar[bool] = True

    hidden: dict[str, Count]
    post: dict[str, Count]
    fusion: Count
    encoder_dropout: Dropout = 0.2
    post_dropout: Dropout = 0.1
    supervised: dict[str, Share]
    consistency: dict[str, Share]
    tolerance_floor: Positive = 0.2
    tolerance_span: Positive = 0.8
    tolerance_steps: Positive = 80
    momentum: Share = 0.97
    queue_batch_size: Count = 128
    queue_dropout: Dropout = 0.2
    double_softmax: bool = False
    detached: bool = True
    filter_accumulates: bool = False
    filter_twice: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        pairs = pair_names(self.modalities)
        if not pairs:
            raise ValueError("modalities: two are needed, the filter compares pairs")
        for name in ("supervised", "consistency"):
            missing = [n for n in (*pairs, FUSED) if n not in getattr(self, name)]
            if missing:
                raise ValueError(f"{name}: no weight for {missing[0]!r}")
        return self

    def released(self) -> Self:
        """As in the original's program."""
        return self.with_settings(
            {
                "double_softmax": True,
                "detached": False,
                "filter_accumulates": True,
                "filter_twice": True,
                "rounding": 4,
                "text_vector": "first",
            }
        )


class MCTeacher(Baseline):
    """The student; the teacher is an average of it, and prediction is the student's."""

    config: MCTeacherConfig

    def __init__(self, config: MCTeacherConfig, widths: Mapping[str, int]) -> None:
        super().__init__(config, widths)
        config = self.config
        self.encoders, self.post = nn.ModuleDict(), nn.ModuleDict()
        for name, width in self.widths.items():
            hidden = config.hidden[name]
            if name == TEXT:
                self.encoders[name], size = nn.Linear(width, hidden), hidden
            else:
                self.encoders[name] = SequenceEncoder(width, hidden, config.encoder_dropout)
                size = 4 * hidden
            self.post[name] = nn.Linear(size, config.post[name])
        self.dropout = nn.Dropout(config.post_dropout)
        self.pairs = nn.ModuleDict(
            {
                f"{a}_{b}": Regressor(config.post[a] + config.post[b], config.fusion)
                for a, b in combinations(self.widths, 2)
            }
        )
        self.fused = Regressor(sum(config.post[name] for name in self.widths), config.fusion)
        self.filter = nn.Sequential(
            nn.Linear((len(self.pairs) + 1) * config.fusion, config.fusion),
            nn.ReLU(),
            nn.Linear(config.fusion, 2),
        )
        # stored by the original without use, and counted in its size
        self.bounds = nn.Parameter(torch.tensor([-1.0, 1.0]), requires_grad=False)

    def parts(self) -> Mapping[str, nn.Module]:
        """Encoders of sequences and the filter have rates of their own."""
        encoders = {name: net for name, net in self.encoders.items() if name != TEXT}
        return {**encoders, FILTER: self.filter}

    def outputs(self, batch: Batch) -> Outputs:
        """Scores of the pairs and of all modalities, and the features they come from."""
        post = {name: self._post(batch, name) for name in self.widths}
        scores, features = [], []
        for (a, b), regressor in zip(combinations(post, 2), self.pairs.values(), strict=True):
            first, _, score = regressor(torch.cat([post[a], post[b]], dim=1))
            scores.append(score)
            features.append(first)
        _, second, score = self.fused(self.dropout(torch.cat(list(post.values()), dim=1)))
        return Outputs(torch.cat([*scores, score], dim=1), torch.stack([*features, second], dim=1))

    def _post(self, batch: Batch, name: str) -> Tensor:
        x = self.sentence(batch) if name == TEXT else self.frames(batch, name)
        return torch.relu(self.post[name](self.dropout(self.encoders[name](x))))

    def trust(self, features: Tensor) -> Tensor:
        """(B, P + 1, f) -> (B, 2): logits of "wrong" and "right"."""
        logits: Tensor = self.filter(features.flatten(1))
        return logits

    def forward(self, batch: Batch) -> Tensor:
        """(B, 1)."""
        return self.outputs(batch).scores[:, -1:]

    def stages(self, loaders: Loaders, best_file: Path | None = None) -> Iterator[Stage]:
        """One stage; raises DataError where there are no clips without labels."""
        if UNLABELLED not in loaders.data or not len(loaders.data[UNLABELLED]):
            raise DataError(
                f"{loaders.data.source}: split '{UNLABELLED}' not found, needed by MC-Teacher: "
                "clips of the same kind as those of 'train', labels are not needed; "
                f"there is {list(loaders.data)}"
            )
        config = self.config
        train, valid = loaders.of(config.batch_size, tokens=False)
        mixture = Mixture(
            train.table,
            loaders.table(UNLABELLED, tokens=False),
            config.batch_size,
            subseed(loaders.seed, "order of labelled and unlabelled rows"),
        )
        yield MCTeacherStage(self, train, valid, mixture, best_file=best_file)


# The paper's program has settings for two data sets; CH-SIMS takes those of its second version,
# and CMU-MOSI those of CMU-MOSEI. The widths for CMU-MOSEI are those, with one width for pairs,
# fusion and filter, that give its published size.
V2: dict[str, Any] = {
    "hidden": {"text": 64, "audio": 32, "vision": 64},
    "post": {"text": 8, "audio": 8, "vision": 32},
    "fusion": 64,
}
MOSEI: dict[str, Any] = {
    "hidden": {"text": 64, "audio": 32, "vision": 64},
    "post": {"text": 16, "audio": 16, "vision": 32},
    "fusion": 32,
}
TINY: dict[str, Any] = {
    "hidden": {"text": 8, "audio": 4, "vision": 4},
    "post": {"text": 4, "audio": 4, "vision": 4},
    "fusion": 8,
    "batch_size": 16,
    "epochs": 3,
}
SETTINGS = {"ch-sims": V2, "ch-sims-v2": V2, "mosi": MOSEI, "mosei": MOSEI, "tiny": TINY}
SUPERVISED = {FUSED: 0.8, "text_vision": 1.0, "text_audio": 1.0, "audio_vision": 0.8}
CONSISTENCY = {FUSED: 0.8, "text_vision": 0.2, "text_audio": 0.8, "audio_vision": 1.0}
RATES = {
    "audio": Rate(lr=1e-4),
    "vision": Rate(lr=1e-4, weight_decay=1e-4),
    "other": Rate(lr=1e-4, weight_decay=1e-4),
    FILTER: Rate(lr=0.05),
}


def config(preset: str) -> MCTeacherConfig:
    """The published settings; those of CH-SIMS v2 for a data set of another name."""
    own = {"batch_size": 64, **SETTINGS.get(preset, V2)}
    return MCTeacherConfig(
        preset=preset,
        labels=scores_of(preset),
        rates=RATES,
        supervised=SUPERVISED,
        consistency=CONSISTENCY,
        **own,
    )


ENTRIES = (
    Entry(
        name="mc-teacher",
        title="MC-Teacher",
        paper="Yuan, Fang, Xu, Gao, IEEE/ACM TASLP 2024",
        year=2024,
        licence="none given and incomplete; written from a description of it",
        config=config,
        build=MCTeacher,
        needs=(f"a split '{UNLABELLED}' of clips without labels", "two modalities at least"),
        search={
            "post_dropout": Range(0.0, 0.5),
            "encoder_dropout": Range(0.0, 0.5),
            "batch_size": Choice((32, 64, 128)),
            "rates.other.lr": Range(3e-5, 1e-3, log=True),
            "rates.filter.lr": Range(1e-3, 1e-1, log=True),
        },
    ),
)
