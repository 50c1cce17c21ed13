"""MCR and the consensus (Eq. 12-14, 34-35) by hand."""

from __future__ import annotations

import math

import torch

from tricord.nn.router import ConsensusRouter, EvidenceSum, consensus, masked_softmax, pool

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


def test_evidence_is_the_mean_of_those_present_until_it_is_fitted() -> None:
    votes = torch.tensor([[[1.0, 3], [5, 7], [100, 200]]]).expand(2, -1, -1)
    present = torch.tensor([[True, True, False], [False, False, False]])
    found, weights = EvidenceSum(3, 2).eval()(votes, present)
    assert found.tolist() == [[3, 5], [0, 0]]
    assert weights.tolist() == [[0.5, 0.5, 0], [0, 0, 0]]


def test_evidence_has_a_row_for_every_subset() -> None:
    evidence = EvidenceSum(2, 2).eval()
    both, first = torch.tensor([True, True]), torch.tensor([True, False])
    evidence.set_row(both, torch.tensor([0.5, 1.5]), torch.tensor([1.0, -1.0]))
    evidence.set_row(first, torch.tensor([2.0, 9.0]), torch.zeros(2))
    votes = torch.tensor([[[1.0, 0], [0, 2]]]).expand(2, -1, -1)
    found, weights = evidence(votes, torch.stack([both, first]))
    assert found.tolist() == [[1.5, 2], [2, 0]]
    assert weights.tolist() == [[0.25, 0.75], [1, 0]]
    spared, _ = evidence.train()(votes, torch.stack([both, first]))  # training: the plain mean
    assert spared.tolist() == [[0.5, 1], [1, 0]]
