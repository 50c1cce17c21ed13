"""From a table to batches: ragged tensors, a batch of any rows, a reproducible order."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tricord.data.schema import FeatureTable, Ragged
from tricord.labels import LabelScheme
from tricord.types import Batch, Frames


def row_order(rows: int, seed: int, epoch: int, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    """The rows that one of ``world`` processes visits in this epoch, in order.

    A function of its arguments alone. All processes get equally many rows: where they do not
    divide, the first ones of the shuffled order are visited twice.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return np.resize(order, -(-rows // world) * world)[rank::world].astype(np.int64)


@dataclass(frozen=True)
class _RaggedTensor:
    values: Tensor
    ragged: Ragged

    @classmethod
    def of(cls, ragged: Ragged, device: torch.device | str) -> _RaggedTensor:
        with warnings.catch_warnings():
            # A store's frames are mapped and read-only, and nothing here writes to them.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return cls(torch.as_tensor(ragged.values, device=device), ragged)

    def frames(self, rows: NDArray[np.int64], full: bool) -> Frames:
        """The frames of these rows, float16 as float32; ``full`` makes padding count as frames."""
        places = torch.as_tensor(self.ragged.positions(rows))
        values = self.values[places.to(self.values.device)]
        if values.dtype == torch.float16:
            values = values.float()
        found = Frames(values, torch.as_tensor(self.ragged.lengths[rows]))
        if not full:
            return found
        padded, _ = found.pad(self.ragged.padded_length)
        whole = torch.full_like(found.lengths, self.ragged.padded_length)
        return Frames(padded.flatten(0, 1), whole, real=found.lengths)


class TensorTable:
    """A split as tensors on one device; `fetch` makes a batch of any rows.

    sequences: what each modality feeds the model, in the model's order, when it is not just
        the table's own features (tokens for a text encoder, say). Those whose names the table
        does not have are extras: they are no modality, and have no label.
    full_length: padding up to the file's length counts as frames, as in the released code.
    """

    def __init__(
        self,
        table: FeatureTable,
        scheme: LabelScheme,
        *,
        sequences: Mapping[str, Ragged] | None = None,
        full_length: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        used = table.sequences if sequences is None else sequences
        self.sequences = {k: _RaggedTensor.of(s, device) for k, s in used.items()}
        self.full_length = full_length
        modalities = [name for name in used if name in table.sequences]
        self.present = torch.as_tensor(
            np.stack([used[name].lengths > 0 for name in modalities], axis=1), device=device
        )
        columns = [0, *(1 + list(table.sequences).index(name) for name in modalities)]
        scores = table.scores[:, columns]
        self.scores = torch.as_tensor(scores, dtype=torch.float32, device=device)
        self.labels = torch.as_tensor(scheme.to_class(scores), device=device)

    def __len__(self) -> int:
        return len(self.scores)

    def without_sequences(self) -> TensorTable:
        """The same clips and labels, for stages that have kept what they need of the features."""
        other = copy(self)
        other.sequences = {}
        return other

    def fetch(self, rows: NDArray[np.int64] | Tensor) -> Batch:
        """The batch of these rows, in this order."""
        rows = np.asarray(rows)
        index = torch.as_tensor(rows, device=self.scores.device)
        return Batch(
            frames={k: s.frames(rows, self.full_length) for k, s in self.sequences.items()},
            present=self.present[index],
            index=index,
            scores=self.scores[index],
            labels=self.labels[index],
        )


@dataclass(frozen=True)
class Loader:
    """Batches of a table; shuffled by (seed, epoch) where a seed is given, else in file order.

    rows: (n,) of the table's rows; None for all.
    """

    table: TensorTable
    batch_size: int
    seed: int | None = None
    rank: int = 0
    world: int = 1
    rows: NDArray[np.int64] | None = None

    @property
    def clips(self) -> int:
        """How many an epoch visits, in all processes together."""
        return len(self.table) if self.rows is None else len(self.rows)

    def epoch(self, epoch: int = 0) -> Iterator[Batch]:
        """Every row once; the last batch may be smaller."""
        rows = np.arange(len(self.table)) if self.rows is None else self.rows
        if self.seed is not None:
            rows = rows[row_order(len(rows), self.seed, epoch, self.rank, self.world)]
        for start in range(0, len(rows), self.batch_size):
            yield self.table.fetch(rows[start : start + self.batch_size])

    def __len__(self) -> int:
        return math.ceil(self.clips / (self.batch_size * self.world))

    def in_order(self) -> Loader:
        """Batches of the same size, in file order."""
        return replace(self, seed=None, rank=0, world=1)
