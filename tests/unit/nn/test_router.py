"""MCR and the consensus (Eq. 12-14, 34-35) by hand."""

from __future__ import annotations

import math

import torch

from tricord.nn.router import ConsensusRouter, consensus, masked_softmax, pool

FUSED = torch.tensor([[[1.0, 2], [3, 4], [5, 6]]])
TWO = torch.tensor([[True, False, True]])
NONE = torch.zeros(1, 3, dtype=torch.bool)


def test_pool_sums_and_keeps_the_scale_without_a_modality() -> None:
    assert pool(FUSED).tolist() == [[9, 12]]
    assert pool(FUSED, TWO).tolist() == [[9, 12]]  # (6, 8) times 3 / 2
    assert pool(FUSED, torch.tensor([[True, False, False]])).tolist() == [[3, 6]]
    assert pool(FUSED, NONE).tolist() == [[0, 0]]


def test_weights_by_hand() -> None:
    logits = torch.log(torch.tensor([[1.0, 2, 5]]))
    torch.testing.assert_close(masked_softmax(logits, None), torch.tensor([[0.125, 0.25, 0.625]]))
    torch.testing.assert_close(masked_softmax(logits, TWO), torch.tensor([[1 / 6, 0, 5 / 6]]))
    assert masked_softmax(logits, NONE).tolist() == [[0, 0, 0]]


def test_router_is_one_linear_layer_and_a_softmax() -> None:
    router = ConsensusRouter(2, 3)
    with torch.no_grad():
        router.linear.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [0, 0]]))
        router.linear.bias.copy_(torch.tensor([0.0, 0, 2]))
    z = [math.exp(v) for v in (0.5, -1.0, 2.0)]
    expected = torch.tensor([[v / sum(z) for v in z]])
    torch.testing.assert_close(router(torch.tensor([[0.5, -1.0]])), expected)


def test_consensus_is_the_weighted_sum_of_votes() -> None:
    votes = torch.tensor([[[1.0, 0], [0, 4], [8, 8]]])
    weights = torch.tensor([[0.5, 0.25, 0.25]])
    assert consensus(votes, weights).tolist() == [[2.5, 3.0]]
