"""SFTTR's companions: clips like and unlike each one, and the contrast with them.

Sun and Tian, COLING 2025. N clips of train; h the width of a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from tricord.device import CPU

if TYPE_CHECKING:
    from tricord.models.baselines.sfttr import SFTTRConfig

KINDS = 3  # alike and near, unlike and far, unlike and near
DRAWN = 2  # of each kind
_RANKED = 1 << 22  # similarities ranked at a time: tens of megabytes


def contrast(close: Tensor, far: Tensor, temperature: float) -> Tensor:
    """The contrastive loss of each anchor, (B,), with 20 positive pairs in the mean.

    close, far: (3, 7, B, h), s_k and r_k, text first, of the anchor and its companions, two alike
    and four unlike. With S = cosine / temperature, a positive pair costs
    -log(e^S / (e^S + sum over negatives of e^S)).

    Within each s_k the anchor is drawn to its two and away from its four. Of each clip s_T is drawn
    to the other s_k and away from the r_k. The anchor's s_T has the negatives of both kinds.
    """
    close, far = F.normalize(close, dim=-1), F.normalize(far, dim=-1)
    own = (close[:, :1] * close[:, 1:]).sum(-1) / temperature  # (3, 6, B)
    alike, unlike = own[:, :DRAWN], own[:, DRAWN:]
    drawn = (close[:1] * close[1:]).sum(-1) / temperature  # (2, 7, B)
    away = (close[:1] * far).sum(-1) / temperature  # (3, 7, B)
    both = torch.cat([unlike[0], away[:, 0]]).logsumexp(dim=0)  # (B,)
    within = torch.cat([both[None], unlike[1:].logsumexp(dim=1)])  # (3, B)
    between = torch.cat([both[None], away[:, 1:].logsumexp(dim=0)])  # (7, B)
    costs = [F.softplus(within[:, None] - alike), F.softplus(between - drawn)]
    return torch.cat([cost.flatten(0, 1) for cost in costs]).mean(dim=0)


class Companions:
    """For each clip of train, lists of clips by kind, drawn from for every batch.

    A ranking of all clips by the cosine of their vectors is walked from its front: the first with
    the same label are alike and near, the first with another unlike and near; and from its back:
    the first with another are unlike and far. Clips without a label are in no list.

    As released, the lists hold places in the ranking in place of clips, and a clip may be its own
    companion. The original draws from Python's generator, this from torch's.
    """

    def __init__(self, config: SFTTRConfig, device: torch.device = CPU) -> None:
        self.released = config.companions == "rank_positions"
        self.rounded = config.match == "rounded"
        self.reach, self.kept = config.reach, config.kept
        self.lists = torch.zeros(KINDS, 0, config.kept, dtype=torch.long, device=device)
        self.counts = torch.zeros(KINDS, 0, dtype=torch.long, device=device)

    def state_dict(self) -> dict[str, Tensor]:
        """The lists and how much of each is filled."""
        return {"lists": self.lists, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Set what `state_dict` gave."""
        self.lists = state["lists"].to(self.lists, copy=True)
        self.counts = state["counts"].to(self.counts, copy=True)

    def rank(self, vectors: Tensor, scores: Tensor) -> None:
        """Make the lists anew. vectors: (N, width); scores: (N,), NaN where unknown."""
        labels = scores.round() if self.rounded else scores
        found = list(self._walks(F.normalize(vectors, dim=1, eps=1e-6), labels))
        self.lists = torch.cat([lists for lists, _ in found], dim=1)
        self.counts = torch.cat([counts for _, counts in found], dim=1)

    def _walks(self, units: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """(3, n, kept) lists and (3, n) counts of n clips after the other; N x N never exists."""
        clips = len(units)
        reach = max(1, int(self.reach * clips))
        rows = torch.arange(clips, device=units.device)
        for some in torch.split(rows, max(1, _RANKED // clips)):
            ranking = (units[some] @ units.T).argsort(dim=1, descending=True, stable=True)
            theirs, ours = labels[ranking], labels[some, None]
            same = theirs == ours
            unlike = ~same & ~theirs.isnan() & ~ours.isnan()
            if not self.released:
                same &= ranking != some[:, None]
            entries = rows.expand_as(ranking) if self.released else ranking
            walks = (
                (same[:, :reach], entries),
                (unlike.flip(1)[:, :reach], entries.flip(1)),
                (unlike[:, :reach], entries),
            )
            lists, counts = zip(*(self._first(*walk) for walk in walks), strict=True)
            yield torch.stack(lists), torch.stack(counts)

    def _first(self, wanted: Tensor, entries: Tensor) -> tuple[Tensor, Tensor]:
        """(n, kept) the first entries that are wanted, and (n,) how many there are."""
        length = wanted.shape[1]
        places = torch.arange(length, device=wanted.device).where(wanted, length)
        first = places.topk(min(self.kept, length), dim=1, largest=False).values
        lists = entries.gather(1, first.clamp(max=length - 1))
        return F.pad(lists, (0, self.kept - lists.shape[1])), (first < length).sum(dim=1)

    def draw(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(6, B) companions of these clips, and (B,) bool: whether there are any of each kind.

        Two different ones of each kind, in the order of `KINDS`; the only one twice. Clips for
        which a kind is missing get themselves.
        """
        lists, counts = self.lists[:, rows], self.counts[:, rows]
        keys = torch.rand(lists.shape, device=lists.device)
        empty = torch.arange(self.kept, device=lists.device) >= counts[..., None]
        places = keys.masked_fill(empty, 1.0).topk(DRAWN, dim=-1, largest=False).indices
        places = torch.where(counts[..., None] == 1, 0, places)
        complete = (counts > 0).all(dim=0)
        drawn = lists.gather(-1, places).transpose(1, 2).flatten(0, 1)
        return torch.where(complete, drawn, rows), complete
