"""What a report is about: models, data, and what they decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tricord.data.schema import Dataset, FeatureTable
from tricord.evaluation.table import Evaluation
from tricord.inference.predictor import Predictions, predict
from tricord.labels import LabelScheme
from tricord.training.cmc import TrainedCMC


@dataclass(frozen=True)
class Subject:
    """All that the sections look at; as `tricord.report.write_report` is given it."""

    evaluation: Evaluation
    models: Mapping[str, Sequence[TrainedCMC]]
    data: Dataset
    split: str

    @property
    def name(self) -> str:
        """The first model's, whose figures and clips are shown."""
        return next(iter(self.models))

    @property
    def first(self) -> TrainedCMC:
        """The first seed of the first model."""
        return self.models[self.name][0]

    @property
    def several_seeds(self) -> bool:
        """Whether the table is over more than the seed shown."""
        return len(self.models[self.name]) > 1

    @property
    def scheme(self) -> LabelScheme:
        """Of the first model."""
        return self.first.config.labels

    @property
    def simulated(self) -> bool:
        """Whether anything here comes from a generator."""
        return self.data.simulated or self.first.simulated

    @property
    def trained_on(self) -> bool:
        """Whether this is the data that the first model was trained on."""
        return self.evaluation.fingerprint == self.first.fingerprint

    @property
    def table(self) -> FeatureTable:
        """The N clips of the split."""
        return self.data[self.split]

    @cached_property
    def predictions(self) -> Predictions:
        """Of the first model."""
        return predict(self.first, self.data, self.split)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether the first model decides each clip rightly."""
        return np.asarray(self.evaluation.row(self.name).right[0])
