"""The head of three layers."""

from __future__ import annotations

import torch
from torch import nn

from tricord.nn.heads import ScoreHead


def filled(layer: nn.Linear, weight: list[list[float]], bias: list[float]) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))


def test_layers_by_hand() -> None:
    head = ScoreHead(2, 2, 0.5).eval()
    filled(head.first, [[1.0, 1.0], [-1.0, 0.0]], [0.0, 0.5])
    filled(head.second, [[2.0, 0.0], [-1.0, 1.0]], [1.0, 0.0])
    filled(head.out, [[1.0, 10.0]], [-20.0])
    found = head(torch.tensor([[1.0, 2.0], [-3.0, 1.0]]))
    assert found.first.tolist() == [[3.0, 0.0], [0.0, 3.5]]
    assert found.second.tolist() == [[7.0, 0.0], [1.0, 3.5]]
    assert found.score.tolist() == [[-13.0], [16.0]]


def test_dropout_is_on_the_input_alone() -> None:
    head = ScoreHead(50, 3, 0.9).train()
    x = torch.ones(1, 50)
    assert not torch.equal(head(x).first, head(x).first)
    nothing = torch.zeros(1, 50)  # dropout leaves it as it is
    assert torch.equal(head(nothing).score, head(nothing).score)
