"""SupCon (Eq. 8) and the task loss (Eq. 7, 15, 16) by hand."""

from __future__ import annotations

import math

import pytest
import torch

from tricord.nn.losses import modality_supcon, supcon, task_loss

# Four unit rows; the labels pair 0 with 1 and 2, and leave 3 without a positive.
FEATURES = torch.tensor([[1.0, 0], [0.6, 0.8], [0, 1], [-1, 0]], dtype=torch.float64)
LABELS = torch.tensor([0, 0, 0, 1])
T = 0.5
COSINES = {
    **{(0, 1): 0.6, (0, 2): 0.0, (0, 3): -1.0},
    **{(1, 2): 0.8, (1, 3): -0.6, (2, 3): 0.0},
}


def s(i: int, j: int) -> float:
    return math.exp(COSINES[min(i, j), max(i, j)] / T)


def by_hand(form: str) -> list[float]:
    losses = []
    for i in range(3):
        others = sum(s(i, j) for j in range(4) if j != i)
        positives = [s(i, j) for j in range(3) if j != i]
        if form == "inside":
            losses.append(-math.log(sum(positives) / others))
        else:
            losses.append(sum(-math.log(p / others) for p in positives) / len(positives))
    return losses


@pytest.mark.parametrize("form", ["inside", "outside"])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_supcon_by_hand(form: str, shape: tuple[int, ...]) -> None:
    expected = torch.tensor(by_hand(form), dtype=torch.float64)
    labels = LABELS.reshape(shape)
    found = supcon(FEATURES, labels, T, form, "none")  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected)
    mean = supcon(FEATURES, labels, temperature=T, form=form)  # type: ignore[arg-type]
    torch.testing.assert_close(mean, expected.mean())


def test_the_two_forms_differ_and_agree_with_one_positive() -> None:
    assert supcon(FEATURES, LABELS, T) < supcon(FEATURES, LABELS, T, "outside")
    pairs = torch.tensor([0, 0, 1, 1])
    torch.testing.assert_close(
        supcon(FEATURES, pairs, T), supcon(FEATURES, pairs, T, "outside"), rtol=1e-12, atol=0
    )


def test_released_arithmetic_subtracts_the_self_term_in_float32() -> None:
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(24, 8), dim=1)
    labels = torch.arange(24) % 2
    ratio = torch.exp((features @ features.T) / 0.07)
    positives = (labels[:, None] == labels) & ~torch.eye(24, dtype=torch.bool)
    literal = -torch.log((ratio * positives).sum(dim=1) / (ratio.sum(dim=1) - ratio.diagonal()))
    found = supcon(features, labels, reduction="none", arithmetic="released")
    assert torch.equal(found, literal)
    stable = supcon(features, labels, reduction="none")
    exact = supcon(features.double(), labels, reduction="none")
    assert (stable - exact).abs().max() < 1e-5 < (found - exact).abs().max()


@pytest.mark.parametrize("size", [0, 1, 3])
@pytest.mark.parametrize("arithmetic", ["stable", "released"])
def test_without_positives_supcon_is_zero(size: int, arithmetic: str) -> None:
    loss = supcon(FEATURES[:size], torch.arange(size), arithmetic=arithmetic)  # type: ignore[arg-type]
    assert loss.shape == ()
    assert loss == 0
    assert loss.dtype == FEATURES.dtype


def test_supcon_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="labels: 3 found, 4 expected"):
        supcon(FEATURES, LABELS[:3])
    for temperature in (0.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="temperature"):
            supcon(FEATURES, LABELS, temperature)


def test_modality_supcon_stacks_the_modalities() -> None:
    h = torch.stack([FEATURES[:2], FEATURES[2:]], dim=1)  # modality 0: rows 0, 1; 1: rows 2, 3
    targets = torch.tensor([[0, 0], [0, 1]])
    everything = torch.ones(2, 2, dtype=torch.bool)
    found = modality_supcon(h, targets, everything, T, "inside", "stable")
    torch.testing.assert_close(found, supcon(FEATURES, LABELS, T))
    some = torch.tensor([[True, False], [True, True]])  # row 2 is left out
    kept = torch.tensor([0, 1, 3])
    found = modality_supcon(h, targets, some, T, "inside", "stable")
    torch.testing.assert_close(found, supcon(FEATURES[kept], LABELS[kept], T))
    nothing = modality_supcon(h, targets, ~everything, T, "inside", "stable")
    assert nothing == 0


def test_task_loss_by_hand() -> None:
    p = torch.tensor([[[0.5, 0.5], [0.8, 0.2]], [[0.25, 0.75], [0.1, 0.9]]])
    outputs = p.log() + 3.0  # a constant does not matter to the softmax
    targets = torch.tensor([[0, 1], [0, 1]])
    expected = torch.tensor(
        [-(math.log(0.5) + math.log(0.25)) / 2, -(math.log(0.2) + math.log(0.9)) / 2]
    )
    torch.testing.assert_close(task_loss(outputs, targets), expected)


def test_task_loss_leaves_out_what_is_not_valid() -> None:
    outputs = torch.tensor([[[0.5, 0.5], [0.8, 0.2]], [[0.25, 0.75], [0.1, 0.9]]]).log()
    outputs.requires_grad_()
    targets = torch.tensor([[-1, -1], [0, -1]])
    valid = targets >= 0
    losses = task_loss(outputs, targets, valid)
    torch.testing.assert_close(losses, torch.tensor([-math.log(0.25), 0.0]))
    losses.sum().backward()
    assert outputs.grad is not None
    assert not outputs.grad[~valid].any()


def test_task_loss_of_scores_is_the_absolute_error() -> None:
    outputs = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
    targets = torch.tensor([[0.0, 2.5], [1.0, float("nan")]])
    valid = torch.tensor([[True, True], [True, False]])
    assert task_loss(outputs, targets, valid).tolist() == [1.5, 0.5]
    assert task_loss(outputs, torch.zeros(2, 2)).tolist() == [2.0, 3.0]


def test_a_target_that_is_left_out_may_be_nan_and_gives_no_gradient() -> None:
    outputs = torch.tensor([[[1.0]], [[3.0]]], requires_grad=True)
    targets = torch.tensor([[0.0], [float("nan")]])
    task_loss(outputs, targets, ~targets.isnan()).sum().backward()
    assert outputs.grad is not None
    assert outputs.grad.flatten().tolist() == [1.0, 0.0]
