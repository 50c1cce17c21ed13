"""MC-Teacher (Yuan et al. 2024): a mean teacher, and a filter that says when to believe it.

The filter sees what each pair of modalities and all of them together make of a clip. Where it
accepts the teacher on a clip without a label, the student learns to agree with the teacher.

B clips; P pairs of modalities, in the order of `pair_names`; f width of what stands for a pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from tricord.config import BaselineConfig, Count, Dropout, Positive, Rate, Share
from tricord.data.batching import Loader
from tricord.data.schema import UNLABELLED
from tricord.errors import DataError
from tricord.models.baselines.base import TEXT, Baseline, BaselineStage, scores_of
from tricord.models.baselines.mc_teacher_clips import Mixture, Queue
from tricord.models.entry import Choice, Entry, Range
from tricord.nn.ema import ModelEMA
from tricord.nn.losses import task_loss
from tricord.nn.recurrent import FrameLSTM
from tricord.training.loaders import Loaders, subseed
from tricord.training.loop import Stage, Stateful
from tricord.training.optim import group_optimizers
from tricord.training.stages import multimodal_goal
from tricord.types import Batch, Frames

FUSED, FILTER = "fused", "filter"  # keys of weights and rates
Part = Literal["mixed", "labelled", "agreement"]


def pair_names(modalities: Iterable[str]) -> list[str]:
    """``text_audio`` and so on, in order."""
    return [f"{a}_{b}" for a, b in combinations(modalities, 2)]


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


class Outputs(NamedTuple):
    """scores: (B, P + 1), one a pair and at the end the fused one, which is the prediction.

    features: (B, P + 1, f), what the scores were made of and the filter sees.
    """

    scores: Tensor
    features: Tensor


class SequenceEncoder(nn.Module):
    """Projection -> dropout -> LSTM -> layer normalisation -> LSTM, both in both directions."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(width, hidden)
        self.dropout = nn.Dropout(dropout)
        self.first = FrameLSTM(hidden, hidden, bidirectional=True)
        self.norm = nn.LayerNorm(2 * hidden)
        self.second = FrameLSTM(2 * hidden, hidden, bidirectional=True)

    def forward(self, x: Frames) -> Tensor:
        """(B, 4 * hidden): the last states of both layers."""
        projected = replace(x, values=self.dropout(self.project(x.values)))
        frames, first = self.first(projected)
        _, second = self.second(replace(frames, values=self.norm(frames.values)))
        return torch.cat([*first, *second], dim=1)


class Regressor(nn.Module):
    """Two layers of which only the second has a ReLU, and a score."""

    def __init__(self, width: int, f: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, f)
        self.second = nn.Linear(f, f)
        self.out = nn.Linear(f, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, f) of each layer, and (B, 1)."""
        first = self.first(x)
        second = torch.relu(self.second(first))
        return first, second, self.out(second)


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


def tolerance(config: MCTeacherConfig, batches: int) -> float:
    """How far from the label a teacher may be that is right, after so many batches."""
    falling = config.tolerance_span * config.tolerance_steps / (batches + 1)
    return min(falling, config.tolerance_span) + config.tolerance_floor


def teacher_momentum(largest: float, batches: int, ratio: float) -> float:
    """min(largest, 1 - (g + 1)^-w): g batches of this epoch before this one, w = ratio.

    0 in an epoch's first batch, so that each epoch's teacher starts as the student.
    """
    return min(largest, 1.0 - math.pow(batches + 1, -ratio))


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """(B, P, f) each -> (B, P): KL of the student's softmax over f from the teacher's."""
    terms = F.kl_div(
        student.log_softmax(dim=-1),
        teacher.log_softmax(dim=-1),
        log_target=True,
        reduction="none",
    )
    return terms.sum(dim=-1)


@dataclass
class Pace:
    """What the teacher's momentum and the tolerance depend on.

    batches: mixed ones so far. within: those of this epoch that the teacher has followed.
    variance: of the pairs' scores in the last batch, None before the first. ratio: of the one
        before it to it.
    """

    batches: int = 0
    within: int = 0
    variance: float | None = None
    ratio: float = 1.0

    def saw(self, variance: float) -> None:
        """Another batch; the ratio is 1 where there is nothing to compare with."""
        self.ratio = self.variance / variance if self.variance and variance else 1.0
        self.variance = variance
        self.batches += 1

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` gave."""
        vars(self).update(state)


class MCTeacherStage(BaselineStage[MCTeacher]):
    """An epoch has three parts: clips with and without labels together, those with labels once
    more, and then the filter alone, which learns to answer teacher and student alike.
    """

    def __init__(
        self,
        model: MCTeacher,
        train: Loader,
        valid: Loader,
        mixture: Mixture,
        *,
        best_file: Path | None = None,
    ) -> None:
        super().__init__(model, train, valid, best_file=best_file)
        config = model.config
        self.mixture = mixture
        self.teacher = ModelEMA(model)
        self.pace, self.queue = Pace(), Queue()
        self._part: Part = "mixed"
        (self.filter_optimizer,) = group_optimizers(
            {FILTER: model.filter.parameters()}, config.rates, nn.Module(), config.text
        )
        self.clips = len(mixture.labelled) * 2 + len(mixture.unlabelled) * 2
        pairs = [*pair_names(model.widths), FUSED]
        self._supervised = torch.tensor([config.supervised[name] for name in pairs])
        self._consistency = torch.tensor([config.consistency[name] for name in pairs])

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """Of all but the filter, which has one of its own."""
        config = self.model.config
        groups = self.model.groups()
        of_filter = groups.pop(FILTER)
        if config.filter_twice:
            groups["other"] += of_filter
        return list(group_optimizers(groups, config.rates, self.model.language, config.text))

    def members(self) -> Mapping[str, Stateful]:
        """The teacher, its pace and the filter's optimiser as well."""
        return {
            **super().members(),
            "teacher": self.teacher.model,
            "pace": self.pace,
            "filter_optimizer": self.filter_optimizer,
        }

    def begin_epoch(self, epoch: int) -> None:
        """The teacher has dropout too: the two see a clip differently."""
        super().begin_epoch(epoch)
        self.teacher.model.train()
        self.pace.within = 0

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The three parts, one after the other; `step` knows which is on."""
        self._part = "mixed"
        yield from self.mixture.epoch(epoch)
        self._part = "labelled"
        yield from super().batches(epoch)
        self._part = "agreement"
        yield from self.queue.drain(self.model.config.queue_batch_size)
        self.filter_optimizer.zero_grad(set_to_none=True)

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """One batch of whichever part."""
        if self._part == "agreement":
            return {"agreement": self._agree(batch)}
        return super().step(batch)

    def loss(self, batch: Batch) -> Mapping[str, Tensor]:
        """Of the student; the filter learns on the way."""
        if self._part == "labelled":
            return super().loss(batch)
        student = self.model.outputs(batch)
        with torch.no_grad():
            teacher = self.teacher.model.outputs(batch)
        known = batch.label >= 0
        filtering = self._learn_filter(teacher, batch, known)
        accepted = ~known & self._accepts(teacher)
        self.queue.add(teacher.features[~known], student.features[~known])
        self.pace.saw(float(student.scores[:, :-1].detach().var(dim=1, correction=0).mean()))
        supervised = self._errors(student, batch) @ self._supervised
        consistent = self._distances(student, teacher, accepted) @ self._consistency
        return {
            "loss": supervised + consistent,
            "supervised": supervised,
            "consistency": consistent,
            "filter": filtering,
            "accepted": accepted.float().mean(),
        }

    def _errors(self, student: Outputs, batch: Batch) -> Tensor:
        """(P + 1,) mean absolute errors over the clips with a label, 0 where there are none."""
        goal, known = multimodal_goal(batch, self.model.config.labels)
        shape = student.scores.shape
        return task_loss(student.scores.unsqueeze(-1), goal.expand(shape), known.expand(shape))

    def _distances(self, student: Outputs, teacher: Outputs, accepted: Tensor) -> Tensor:
        """(P + 1,) over the accepted clips: sums of divergences, and the mean distance of M."""
        apart = divergence(student.features[:, :-1], teacher.features[:, :-1])
        summed = apart.masked_fill(~accepted[:, None], 0.0).sum(dim=0)
        mean = task_loss(student.scores[:, -1:, None], teacher.scores[:, -1:], accepted[:, None])
        return torch.cat([summed, mean])

    @torch.no_grad()
    def _accepts(self, teacher: Outputs) -> Tensor:
        """(B,) bool: the filter takes the teacher to be right."""
        return self.model.trust(teacher.features).argmax(dim=1) == 1

    def _learn_filter(self, teacher: Outputs, batch: Batch, known: Tensor) -> Tensor:
        """A step of the filter on the clips with a label, where the teacher's error is known."""
        if not bool(known.any()):
            return teacher.scores.new_zeros(())
        config = self.model.config
        guess, label = teacher.scores[known, -1], batch.scores[known, 0]
        close = (guess - label).abs() <= tolerance(config, self.pace.batches)
        right = close & (guess * label > 0)
        logits = self.model.trust(teacher.features[known])
        if config.double_softmax:
            logits = logits.softmax(dim=1)
        loss = F.cross_entropy(logits, right.long())
        self.filter_optimizer.zero_grad(set_to_none=True)
        self._step_filter(loss, keep=config.filter_twice)
        return loss.detach()

    def _agree(self, batch: Batch) -> Tensor:
        """A step of the filter towards the same answer to teacher and student."""
        config = self.model.config
        teacher, student = self.queue.of(batch)
        target = self.model.trust(teacher)
        loss = F.kl_div(
            self.model.trust(F.dropout(student, config.queue_dropout)).log_softmax(dim=1),
            (target.detach() if config.detached else target).log_softmax(dim=1),
            log_target=True,
            reduction="batchmean",
        )
        self._step_filter(loss, keep=config.filter_accumulates)
        return loss.detach()

    def _step_filter(self, loss: Tensor, *, keep: bool) -> None:
        """keep: leave the gradient, for another step or another optimiser."""
        torch.autograd.backward(loss)
        self.filter_optimizer.step()
        if not keep:
            self.filter_optimizer.zero_grad(set_to_none=True)

    def after_update(self) -> None:
        """The teacher follows, where clips without labels are learnt from."""
        if self._part == "mixed":
            pace = self.pace
            momentum = teacher_momentum(self.model.config.momentum, pace.within, pace.ratio)
            self.teacher.update(self.model, momentum)
            pace.within += 1


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
