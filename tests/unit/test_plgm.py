"""PLGM (Eq. 19-28) by hand."""

from __future__ import annotations

import math

import pytest
import torch

from tricord.plgm import PseudoLabelBank, refine_labels


def logits_of(*p: float) -> torch.Tensor:
    return torch.tensor([p], dtype=torch.float64).log()


def test_refinement_by_hand() -> None:
    # p = (.7, .2, .1), base 1: norms |p - e_1| and |p - e_0| of Eq. 21 and 23
    norm = math.sqrt(0.7**2 + 0.8**2 + 0.1**2)
    norm_candidate = math.sqrt(0.3**2 + 0.2**2 + 0.1**2)
    alpha = (norm - norm_candidate) / (norm + norm_candidate)
    found = refine_labels(logits_of(0.7, 0.2, 0.1), torch.tensor([1]))
    expected = torch.tensor([[alpha, 1 - alpha, 0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_a_label_the_model_agrees_with_stays() -> None:
    found = refine_labels(logits_of(0.7, 0.2, 0.1), torch.tensor([0]))
    assert found.tolist() == [[1, 0, 0]]


def test_ties_go_to_the_first_class() -> None:
    # equal norms: alpha is 0, so a label among the tied ones stays
    found = refine_labels(torch.zeros(3, 3), torch.arange(3))
    assert torch.equal(found, torch.eye(3))
    # the candidate is class 0 and not class 1
    found = refine_labels(torch.tensor([[2.0, 2.0, 0.0]]), torch.tensor([2]))
    assert found[0, 0] > 0
    assert found[0, 1] == 0


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_a_saturated_softmax_gives_no_nan(size: float) -> None:
    logits = torch.tensor([[size, 0, -size]])
    assert refine_labels(logits, torch.tensor([0])).tolist() == [[1, 0, 0]]
    assert refine_labels(logits, torch.tensor([2])).tolist() == [[1, 0, 0]]  # alpha is 1


def test_any_number_of_classes_and_none_of_clips() -> None:
    found = refine_labels(logits_of(0.6, 0.4), torch.tensor([1]))
    assert found.shape == (1, 2)
    assert refine_labels(torch.zeros(0, 7), torch.zeros(0, dtype=torch.long)).shape == (0, 7)


@pytest.mark.parametrize(("logits", "labels"), [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (2, 1))])
def test_shapes_that_do_not_fit_are_refused(
    logits: tuple[int, ...], labels: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"\(N, c\) and \(N,\) expected"):
        refine_labels(torch.zeros(logits), torch.zeros(labels, dtype=torch.long))


def bank() -> PseudoLabelBank:
    """Three clips, two modalities; the first modality of clip 2 has no label."""
    return PseudoLabelBank(torch.tensor([[0, 1], [2, 2], [-1, 0]]), classes=3)


def test_the_bank_starts_from_the_labels() -> None:
    labels = bank()
    assert labels.soft.shape == (3, 2, 3)
    assert labels.hard(torch.tensor([2, 0])).tolist() == [[-1, 0], [0, 1]]


def test_bank_update_by_hand() -> None:
    labels = bank()
    p = torch.tensor([0.7, 0.2, 0.1])
    logits = p.log().expand(2, 2, 3)
    refined = refine_labels(p.log()[None], torch.tensor([2]))[0]  # base 2
    momentum = torch.tensor([0.9, 0.0])

    labels.update(torch.tensor([1, 0]), logits, momentum)

    onehot = torch.eye(3)
    torch.testing.assert_close(labels.soft[1, 0], 0.9 * onehot[2] + 0.1 * refined)
    torch.testing.assert_close(labels.soft[1, 1], refined)
    torch.testing.assert_close(labels.soft[0, 0], onehot[0])  # the model agrees
    base_one = refine_labels(p.log()[None], torch.tensor([1]))[0]
    torch.testing.assert_close(labels.soft[0, 1], base_one)
    torch.testing.assert_close(labels.soft[2], bank().soft[2])  # not in the batch


def test_the_base_of_the_next_update_is_the_current_hard_label() -> None:
    labels = PseudoLabelBank(torch.tensor([[0]]), classes=2)
    sure = torch.tensor([[[-9.0, 9.0]]])
    for _ in range(3):  # moves by half of alpha, nearly 1, each time: class 1 after two updates
        labels.update(torch.tensor([0]), sure, torch.tensor([0.4]))
    assert labels.hard(torch.tensor([0])).tolist() == [[1]]
    before = labels.soft.clone()
    labels.update(torch.tensor([0]), torch.zeros(1, 1, 2), torch.tensor([0.4]))
    assert labels.soft[0, 0, 1] > before[0, 0, 1]  # a tie leaves the base, now class 1


def test_momentum_one_and_invalid_pairs_and_unknown_labels_stay() -> None:
    logits = torch.tensor([-9.0, 9.0, -9.0]).expand(3, 2, 3)
    rows = torch.arange(3)
    labels = bank()
    labels.update(rows, logits, torch.ones(2))
    assert torch.equal(labels.soft, bank().soft)
    labels.update(rows, logits, torch.zeros(2), valid=torch.zeros(3, 2, dtype=torch.bool))
    assert torch.equal(labels.soft, bank().soft)
    labels.update(rows, logits, torch.zeros(2))
    assert labels.hard(rows)[2, 0] == -1
    assert torch.equal(labels.soft[2, 0], bank().soft[2, 0])
    assert labels.hard(rows)[0, 0] == 1


def test_bank_state_round_trip_is_a_copy() -> None:
    labels, other = bank(), PseudoLabelBank(torch.zeros(3, 2, dtype=torch.long), classes=3)
    state = labels.state_dict()
    other.load_state_dict(state)
    labels.update(torch.arange(3), torch.randn(3, 2, 3), torch.zeros(2))
    assert torch.equal(other.soft, bank().soft)
    assert torch.equal(other.known, bank().known)
