"""Pseudo Label Generation Module, PLGM (Eq. 19-28)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def refine_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """Soft labels from the model's own outputs (Eq. 21-27).

    logits: (N, c). labels: (N,) hard classes y_kp. Returns (N, c) rows on the simplex.

    The candidate of Eq. 22-24, the class of smallest gradient norm, is the argmax of the
    softmax, since |p - onehot(c)|^2 = |p|^2 - 2 p_c + 1; exact ties go to the first class.
    alpha of Eq. 25 is 0 where both norms vanish. Raises ValueError where shapes do not fit.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} found, "
            "(N, c) and (N,) expected"
        )
    p = torch.softmax(logits, dim=-1)
    base = F.one_hot(labels, p.shape[-1]).to(p.dtype)
    candidate = F.one_hot(p.argmax(dim=-1), p.shape[-1]).to(p.dtype)
    norm = (p - base).norm(dim=-1)
    norm_candidate = (p - candidate).norm(dim=-1)
    total = norm + norm_candidate
    alpha = (norm - norm_candidate) / torch.where(total > 0, total, torch.ones_like(total))
    alpha = alpha.clamp(min=0.0).unsqueeze(-1)
    soft: Tensor = (1 - alpha) * base + alpha * candidate
    return soft


class PseudoLabelBank:
    """The soft label of every clip and modality: one tensor (N, K, c)."""

    def __init__(self, labels: Tensor, classes: int) -> None:
        """labels: (N, K) classes to start from (Eq. 19); -1 where unknown, which never moves."""
        self.known = labels >= 0
        self.soft = F.one_hot(labels.clamp(min=0), classes).float()

    def hard(self, index: Tensor) -> Tensor:
        """Eq. 20: (B,) rows -> (B, K) classes; -1 where unknown."""
        return self.soft[index].argmax(dim=-1).masked_fill(~self.known[index], -1)

    def state_dict(self) -> dict[str, Tensor]:
        """For checkpoints."""
        return {"soft": self.soft.clone(), "known": self.known.clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Set what `state_dict` gave."""
        self.soft = state["soft"].to(self.soft, copy=True)
        self.known = state["known"].to(self.known, copy=True)

    @torch.no_grad()
    def update(
        self, index: Tensor, logits: Tensor, momentum: Tensor, valid: Tensor | None = None
    ) -> None:
        """Eq. 21-28 for the clips of a batch.

        index: (B,) different rows. logits: (B, K, c). momentum: (K,) m_kp of this epoch.
        valid: (B, K) bool, labels of other pairs stay.
        """
        old = self.soft[index]
        base = old.argmax(dim=-1)
        refined = refine_labels(logits.flatten(0, 1).to(old.dtype), base.flatten()).view_as(old)
        keep = momentum.to(old)[None, :, None]
        new = keep * old + (1 - keep) * refined
        moves = self.known[index] if valid is None else self.known[index] & valid
        self.soft[index] = torch.where(moves.unsqueeze(-1), new, old)
