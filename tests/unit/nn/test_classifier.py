"""The residual classifier of Eq. 5-6."""

from __future__ import annotations

import torch

from tricord.nn.classifier import ResidualClassifier


def test_by_hand() -> None:
    classifier = ResidualClassifier(2, 1, dropout=0.9).eval()
    classifier.load_state_dict(
        {
            "proj1.weight": torch.tensor([[1.0, 0], [0, -1]]),
            "proj1.bias": torch.tensor([1.0, 0]),
            "proj2.weight": torch.tensor([[2.0, 5], [0, 5]]),
            "proj2.bias": torch.tensor([0.5, 0]),
            "out.weight": torch.tensor([[1.0, 10]]),
            "out.bias": torch.tensor([0.25]),
        }
    )
    # h = (3, 4): ReLU (4, 0); residual (8.5, 0); sum (11.5, 4); out 11.5 + 40 + 0.25
    assert classifier(torch.tensor([3.0, 4.0])).tolist() == [51.75]


def test_dropout_acts_on_the_residual_alone() -> None:
    torch.manual_seed(0)
    classifier = ResidualClassifier(4, 4, dropout=0.999)  # nothing of the residual comes through
    with torch.no_grad():
        classifier.proj2.bias.zero_()
        classifier.out.weight.copy_(torch.eye(4))
        classifier.out.bias.zero_()
    h = torch.randn(2, 4)
    torch.testing.assert_close(classifier(h), h)


def test_any_leading_shape() -> None:
    assert ResidualClassifier(4, 7, dropout=0.1)(torch.zeros(2, 5, 4)).shape == (2, 5, 7)
