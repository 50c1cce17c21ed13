"""MC-Teacher's training: a teacher that follows, a filter that learns when to believe it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tricord.data.batching import Loader
from tricord.models.baselines.base import BaselineStage
from tricord.models.baselines.mc_teacher_clips import Mixture, Queue
from tricord.models.baselines.mc_teacher_parts import FILTER, FUSED, Outputs, pair_names
from tricord.nn.ema import ModelEMA
from tricord.nn.losses import task_loss
from tricord.training.loop import Stateful
from tricord.training.optim import group_optimizers
from tricord.training.stages import multimodal_goal
from tricord.types import Batch

if TYPE_CHECKING:
    from tricord.models.baselines.mc_teacher import MCTeacher, MCTeacherConfig

Part = Literal["mixed", "labelled", "agreement"]


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


class MCTeacherStage(BaselineStage["MCTeacher"]):
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
        pairs, device = [*pair_names(model.widths), FUSED], next(model.parameters()).device
        shares = [[of[name] for name in pairs] for of in (config.supervised, config.consistency)]
        self._supervised, self._consistency = torch.tensor(shares, device=device)

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
