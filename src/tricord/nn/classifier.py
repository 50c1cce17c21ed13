"""ResidualClassifier p_k (Eq. 5-6, 11)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tricord.nn.dropout import Dropout


class ResidualClassifier(nn.Module):
    """p_k: h + Linear(Dropout(ReLU(Linear(h)))), then a linear layer to c outputs."""

    def __init__(self, d: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.proj1 = nn.Linear(d, d)
        self.proj2 = nn.Linear(d, d)
        self.out = nn.Linear(d, outputs)
        self.dropout = Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        """(..., d) -> (..., c) logits."""
        residual = self.proj2(self.dropout(F.relu(self.proj1(h))))
        logits: Tensor = self.out(residual + h)
        return logits
