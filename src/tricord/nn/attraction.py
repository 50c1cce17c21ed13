"""Two views of the same clips drawn together without negatives (Chen and He 2021)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tricord.nn.encoder import FrameNorm


class AttractionHeads(nn.Module):
    """z = BN(W v + b) without scale and shift, p = W2 relu(BN(W1 z)) + b2."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(width, width), FrameNorm(width, affine=False))
        self.predict = nn.Sequential(
            nn.Linear(width, bottleneck, bias=False),
            FrameNorm(bottleneck),
            nn.ReLU(),
            nn.Linear(bottleneck, width),
        )

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """(B, width) -> z and p, both (B, width)."""
        z = self.project(v)
        return z, self.predict(z)


def attraction(z: Tensor, p: Tensor, z2: Tensor, p2: Tensor) -> Tensor:
    """-1/2 [cos(p2, sg z) + cos(p, sg z2)], the mean over B clips; 0 without any.

    sg: without gradient. All (B, width).
    """
    alike = F.cosine_similarity(p2, z.detach()) + F.cosine_similarity(p, z2.detach())
    return -alike.sum() / (2 * max(1, len(alike)))
