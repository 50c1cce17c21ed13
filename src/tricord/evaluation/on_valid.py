"""Votes on valid, by which the rows of what is simple are chosen and decided."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

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
        """The modality that decides most clips rightly by its rule, the first of equals."""
        shares = [(n, self._best_share(n)) for n in self.modalities if n in among]
        return max(shares, key=itemgetter(1))[0]

    def _best_share(self, name: str) -> float:
        outputs = self.of_modality(name)
        return self._share(outputs, self.rule(outputs))

    def _share(self, outputs: Array, decision: Decision) -> float:
        scheme = self.scheme.model_copy(update={"decision": decision})
        return float(np.mean([correct(of_one, self.truth, scheme) for of_one in outputs]))
