"""What a model's decision hangs on, modality by modality: shuffling and removal against weights.

Permutation importance (Breiman 2001; Fisher, Rudin and Dominici 2019): what the model loses when a
modality's sequences are exchanged between clips, so that they keep their distribution and lose
their relation to the label and to the other modalities. Occlusion: what changes for a clip when
the modality is not there, by the model's own way of doing without. Clips are encoded once: what
is exchanged or left out are the encoders' outputs, which is the same in evaluation mode.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tricord.data.schema import Dataset
from tricord.errors import ConfigError, DataError
from tricord.evaluation.metrics import correct
from tricord.inference.predictor import encode
from tricord.models.cmc import CMC
from tricord.training.cmc import TrainedCMC
from tricord.training.trained import TrainedModel

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Importance:
    """One trained model on the N clips of a split whose label is known.

    modalities: K names, the columns. videos: (N,). present: (N, K).
    weights: (N, K) of MCR, 0 where a modality is absent.
    accuracy_lost, loss_gained: (N, K) by shuffling, the mean over repeats: 1 or 0 less right, nats
        of log loss more. Their means over clips are the modality's permutation importance.
    change: (N, K) of the decided class' probability by removal: before - after, positive where the
        modality spoke for the decision; NaN where it is absent or alone.
    right: (N,) of the whole model. log_loss: (N,).
    """

    modalities: tuple[str, ...]
    videos: NDArray[np.str_]
    present: Bools
    weights: Array
    accuracy_lost: Array
    loss_gained: Array
    change: Array
    right: Bools
    log_loss: Array


@torch.no_grad()
def importance(
    trained: TrainedModel, data: Dataset, split: str, *, repeats: int = 5, seed: int = 0
) -> Importance:
    """Shuffle and remove each modality of a trained CMC; probabilities are not calibrated.

    repeats: how many permutations are averaged, at least 1. seed: of these; the same for every
    model. Raises ConfigError for a model without votes, without a second modality or without
    classes, DataError where no clip has a label.
    """
    if not isinstance(trained, TrainedCMC):
        raise ConfigError(f"{trained.name}: has no weights to compare with; a CMC is needed")
    scheme, model = trained.config.labels, trained.model
    if scheme.head == "regression":
        raise ConfigError(f"{trained.name}: labels.head is 'regression', but classes are needed")
    if len(model.modalities) < 2:
        raise ConfigError(f"{trained.name}: {len(model.modalities)} modality found, 2 are needed")
    if repeats < 1:
        raise ConfigError(f"repeats: {repeats} found, 1 or more expected")
    truth = scheme.to_class(data[split].scores[:, 0])
    known = np.flatnonzero(truth >= 0)
    if not len(known):
        raise DataError(f"{data.source}: split '{split}': no clip has a label")
    h, present = (part[torch.as_tensor(known)] for part in encode(trained, data, split))
    truth = truth[known]

    def score(h: Tensor, present: Tensor) -> tuple[Bools, Array]:
        logits = model.combine(h, present).consensus.double()
        losses = -torch.log_softmax(logits, dim=1)[torch.arange(len(truth)), torch.as_tensor(truth)]
        return correct(logits.numpy(), truth, scheme), losses.numpy()

    right, loss = score(h, present)
    lost, gained = (np.zeros(present.shape) for _ in range(2))
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        order = torch.as_tensor(rng.permutation(len(truth)))  # alike for all modalities
        for k in range(len(model.modalities)):
            now_right, now_loss = score(*_shuffled(h, present, k, order))
            lost[:, k] += (right.astype(float) - now_right) / repeats
            gained[:, k] += (now_loss - loss) / repeats
    return Importance(
        modalities=model.modalities,
        videos=data[split].videos[known],
        present=present.numpy(),
        weights=model.combine(h, present).weights.double().numpy(),
        accuracy_lost=lost,
        loss_gained=gained,
        change=_occluded(model, h, present),
        right=right,
        log_loss=loss,
    )


def _shuffled(h: Tensor, present: Tensor, k: int, order: Tensor) -> tuple[Tensor, Tensor]:
    """With another clip's modality k, and with its absence where that clip has none."""
    h, present = h.clone(), present.clone()
    h[:, k], present[:, k] = h[order, k], present[order, k]
    return h, present


def _occluded(model: CMC, h: Tensor, present: Tensor) -> Array:
    """(N, K) probability of the decided class, before - after each modality is removed."""
    before = model.combine(h, present).probabilities.double()
    decided = before.argmax(dim=1, keepdim=True)
    change = torch.full(present.shape, torch.nan, dtype=torch.float64)
    for k in range(present.shape[1]):
        fewer = present.clone()
        fewer[:, k] = False
        there = present[:, k] & fewer.any(dim=1)
        after = model.combine(h, fewer).probabilities.double()
        drop = (before - after).gather(1, decided)[:, 0]
        change[there, k] = drop[there]
    return change.numpy()
