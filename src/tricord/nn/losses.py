"""Losses of both stages (Eq. 7-9, 15-18): cross-entropy per modality and SupCon."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

SupConForm = Literal["inside", "outside"]
Arithmetic = Literal["stable", "released"]


def supcon(
    features: Tensor,
    labels: Tensor,
    temperature: float = 0.07,
    form: SupConForm = "inside",
    reduction: Literal["mean", "none"] = "mean",
    arithmetic: Arithmetic = "stable",
    valid: Tensor | None = None,
) -> Tensor:
    """Supervised contrastive loss (Eq. 8; Khosla et al. 2020).

    features: (n, d). labels: (n,) or (n, 1), rows of equal label are positives.
    form: "inside" is -log(sum over positives of S_ij / sum over j != i of S_ij), the released
        one; "outside" is the mean over positives of -log(S_ij / sum over j != i of S_ij),
        with S = exp(f f' / temperature).
    reduction: "mean" over the anchors that have a positive; "none" gives them one by one.
    arithmetic: "released" sums the self term and subtracts it again without shifting by the
        maximum, which costs up to 5e-2 an anchor in float32 and overflows at low temperature;
        it exists to repeat the released training run (fidelity 6).
    valid: (n,) bool, rows to leave out are False; None keeps all.
    Returns a scalar, or (anchors with a positive,). Without any positive the loss is 0.
    Raises ValueError for a temperature that is not above 0 or labels that do not fit.
    """
    labels = labels.reshape(-1)
    if len(labels) != len(features):
        raise ValueError(f"labels: {len(labels)} found, {len(features)} expected")
    if not temperature > 0:
        raise ValueError(f"temperature: {temperature} found, a number above 0 expected")
    other = ~torch.eye(len(features), dtype=torch.bool, device=features.device)
    if valid is not None:
        other = other & valid[:, None] & valid[None, :]
    positive = (labels[:, None] == labels[None, :]) & other
    anchors = positive.any(dim=1)
    similarity = (features @ features.T) / temperature
    if arithmetic == "released":
        losses = _released_supcon(similarity, positive, anchors, valid)
    else:
        losses = _stable_supcon(similarity, positive, other, form)
    if reduction == "none":
        return losses[anchors]
    if arithmetic == "released" and bool(anchors.any()):
        return losses[anchors].mean()  # summed in the order of the released code
    # by masks and not by picking rows, whose number an accelerator would be waited for
    return losses.masked_fill(~anchors, 0.0).sum() / anchors.sum().clamp(min=1)


def _stable_supcon(similarity: Tensor, positive: Tensor, other: Tensor, form: str) -> Tensor:
    lowest = torch.finfo(similarity.dtype).min
    others = torch.logsumexp(similarity.masked_fill(~other, lowest), dim=1)
    if form == "inside":
        return others - torch.logsumexp(similarity.masked_fill(~positive, lowest), dim=1)
    number = positive.sum(dim=1).clamp(min=1)
    return others - (similarity * positive).sum(dim=1) / number


def _released_supcon(
    similarity: Tensor, positive: Tensor, anchors: Tensor, valid: Tensor | None
) -> Tensor:
    ratio = torch.exp(similarity)
    if valid is not None:
        ratio = ratio * valid
    others = ratio.sum(dim=1) - ratio.diagonal()
    shares = (ratio * positive).sum(dim=1) / others
    return -torch.log(shares.masked_fill(~anchors, 1.0))


def task_loss(outputs: Tensor, targets: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean loss per column: CE for classes (Eq. 7, 15, 16), absolute error for scores.

    outputs: (B, K, c). targets: (B, K), integer classes or floating scores (then c is 1).
    valid: (B, K) bool; clips that are not valid are left out of their column's mean.
    Returns (K,); 0 for a column without a valid clip.
    """
    if targets.is_floating_point():
        losses = (outputs.squeeze(-1) - targets).abs()
    else:
        # a target that is left out may be -1
        safe = targets if valid is None else targets.masked_fill(~valid, 0)
        losses = F.cross_entropy(outputs.flatten(0, 1), safe.flatten(), reduction="none")
        losses = losses.view(targets.shape)
    if valid is None:
        return losses.mean(dim=0)
    return losses.masked_fill(~valid, 0.0).sum(dim=0) / valid.sum(dim=0).clamp(min=1)


def modality_supcon(
    h: Tensor,
    targets: Tensor,
    valid: Tensor,
    temperature: float,
    form: SupConForm,
    arithmetic: Arithmetic,
) -> Tensor:
    """Eq. 8: SupCon over the modalities of all clips, stacked as [h_t; h_a; h_v].

    h: (B, K, d); targets: (B, K) labels that make positives; valid: (B, K) bool.
    """
    stacked = h.transpose(0, 1).flatten(0, 1)
    return supcon(
        stacked,
        targets.T.flatten(),
        temperature,
        form,
        arithmetic=arithmetic,
        valid=valid.T.flatten(),
    )
