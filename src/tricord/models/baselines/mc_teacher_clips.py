"""The clips of MC-Teacher: with and without labels together, and what was made of the latter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tricord.data.batching import TensorTable, row_order
from tricord.types import Batch, Frames


@dataclass(frozen=True)
class Mixture:
    """Batches over the clips with and without labels, shuffled together by (seed, epoch).

    In a batch those of ``labelled`` come first, and labels of the others are unknown, whatever
    the file says. ``index`` counts in each clip's own table.
    """

    labelled: TensorTable
    unlabelled: TensorTable
    batch_size: int
    seed: int

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Every clip once."""
        first = len(self.labelled)
        order = row_order(first + len(self.unlabelled), self.seed, epoch)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            with_label = self.labelled.fetch(rows[rows < first])
            without = self.unlabelled.fetch(rows[rows >= first] - first)
            yield _joined(with_label, _forgotten(without))


def _forgotten(batch: Batch) -> Batch:
    return replace(
        batch,
        scores=torch.full_like(batch.scores, math.nan),
        labels=torch.full_like(batch.labels, -1),
    )


def _joined(a: Batch, b: Batch) -> Batch:
    frames = {
        name: Frames(
            torch.cat([x.values, b.frames[name].values]),
            torch.cat([x.lengths, b.frames[name].lengths]),
        )
        for name, x in a.frames.items()
    }
    return Batch(
        frames=frames,
        present=torch.cat([a.present, b.present]),
        index=torch.cat([a.index, b.index]),
        scores=torch.cat([a.scores, b.scores]),
        labels=torch.cat([a.labels, b.labels]),
    )


class Queue:
    """What teacher and student made of this epoch's clips without labels, in their order.

    It is empty between epochs and so no part of what a checkpoint holds.
    """

    def __init__(self) -> None:
        self._teacher: list[Tensor] = []
        self._student: list[Tensor] = []

    def add(self, teacher: Tensor, student: Tensor) -> None:
        """(n, P + 1, f) each."""
        self._teacher.append(teacher.detach())
        self._student.append(student.detach())

    def drain(self, batch_size: int) -> Iterator[Batch]:
        """Batches of places, to be looked up by `of`; then the queue is empty."""
        self._teacher, self._student = [torch.cat(self._teacher)], [torch.cat(self._student)]
        for start in range(0, len(self._teacher[0]), batch_size):
            places = torch.arange(start, min(start + batch_size, len(self._teacher[0])))
            yield Batch(
                frames={},
                present=torch.ones(len(places), 0, dtype=torch.bool),
                index=places,
                scores=torch.full((len(places), 1), math.nan),
                labels=torch.full((len(places), 1), -1),
            )
        self._teacher, self._student = [], []

    def of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The teacher's and the student's (n, P + 1, f), at places that `drain` gave."""
        return self._teacher[0][batch.index], self._student[0][batch.index]
