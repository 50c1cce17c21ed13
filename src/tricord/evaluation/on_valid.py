"""Votes on valid, by which the rows of what is simple are chosen and decided."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from tricord.data.schema import Dataset
from tricord.evaluation.metrics import correct
from tricord.labels import Decision, LabelScheme
from tricord.training.cmc import TrainedCMC

Array = NDArray[np.float64]
VotesOf = Callable[[TrainedCMC, Dataset, str], Array]


@dataclass(frozen=True)
class OnValid:
    """votes: (S, N, K, c), of one model a seed, on the labelled clips of valid. truth: (N,)."""

    modalities: tuple[str, ...]
    scheme: LabelScheme
    votes: Array
    truth: NDArray[np.int64]

    @classmethod
    def of(cls, trained: Sequence[TrainedCMC], data: Dataset, votes_of: VotesOf) -> OnValid | None:
        """None where valid is not there or has no label."""
        if "valid" not in data:
            return None
        scheme = trained[0].config.labels
        truth = scheme.to_class(data["valid"].scores[:, 0])
        known = truth >= 0
        if not known.any():
            return None
        votes = np.stack([votes_of(t, data, "valid")[known] for t in trained])
        return cls(trained[0].model.modalities, scheme, votes, truth[known])

    def rule(self, outputs: Array) -> Decision:
        """The model's own rule, or "ends" where that decides more of (S, N, c) outputs rightly.

        Votes are not trained for the rule of the consensus, and what is simple must not lose by it.
        """
        return max((self.scheme.decision, "ends"), key=lambda d: self._share(outputs, d))

    def of_modality(self, name: str) -> Array:
        """(S, N, c) its votes."""
        return np.asarray(self.votes[:, :, self.modalities.index(name)])

    def best(self, among: Collection[str]) -> str:
        """The modality that decides most clips rightly by its rule.

        Of equals, as on a small valid, that with the least log loss; of equal scores the first.
        """
        return max((n for n in self.modalities if n in among), key=self._worth)

    def _worth(self, name: str) -> tuple[float, float]:
        """Share of right decisions, and the mean logarithm of what the true classes are given."""
        outputs = self.of_modality(name)
        share = self._share(outputs, self.rule(outputs))
        if self.scheme.head == "regression":
            return share, 0.0
        logs = log_softmax(outputs, axis=-1)
        return share, float(logs[:, np.arange(len(self.truth)), self.truth].mean())

    def _share(self, outputs: Array, decision: Decision) -> float:
        scheme = self.scheme.model_copy(update={"decision": decision})
        return float(np.mean([correct(of_one, self.truth, scheme) for of_one in outputs]))
