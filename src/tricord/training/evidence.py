"""Fitting `EvidenceSum` on valid: a scale for each vote and a shift for each class."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch import Tensor

from tricord.nn.router import EvidenceSum

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR = 0.5  # weight of a scale's, or a shift's, squared distance from the plain mean: one clip's


@torch.no_grad()
def fit_evidence(
    evidence: EvidenceSum, votes_of: Callable[[Tensor], Tensor], present: Tensor, labels: Tensor
) -> None:
    """Set every subset's row from the clips that have all of the subset.

    votes_of: (N, K) bool, what is taken as present -> (N, K, c) votes of clips that no weight was
    fitted to: a vote depends on what else is there (PFM), so that those of a subset are asked for
    without the rest. present: (N, K); labels: (N,), -1 where unknown. Rows stay as they are where
    no clip has the subset.
    """
    here, y = present.cpu().numpy(), labels.cpu().numpy()
    for subset in product((False, True), repeat=here.shape[1]):
        members = np.array(subset)
        clips = here[:, members].all(axis=1) & (y >= 0)
        if members.any() and clips.any():
            there = present & torch.as_tensor(members, device=present.device)
            votes = votes_of(there).cpu().double().numpy()
            scale, shift = _fit(votes[clips][:, members], y[clips])
            full = np.zeros(len(members))
            full[members] = scale
            evidence.set_row(*(torch.as_tensor(part) for part in (members, full, shift)))


def _fit(votes: Floats, labels: Ints) -> tuple[Floats, Floats]:
    """(K',) scales, at least 0, and (c,) shifts of least log loss, held to the plain mean."""
    number, classes = votes.shape[1:]
    wanted = np.eye(classes)[labels]
    start = np.concatenate([np.ones(number), np.zeros(classes)])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        shares, shift = parameters[:number] / number, parameters[number:]
        logs = log_softmax(np.einsum("k,nkc->nc", shares, votes) + shift, axis=1)
        slope = np.exp(logs) - wanted
        gradient = np.concatenate(
            [np.einsum("nc,nkc->k", slope, votes) / number, slope.sum(axis=0)]
        )
        away = parameters - start
        value = -(wanted * logs).sum() + PRIOR * (away @ away)
        return float(value), gradient + 2 * PRIOR * away

    bounds = [(0, None)] * number + [(None, None)] * classes
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:number] / number, found[number:]
