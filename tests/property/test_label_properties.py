"""PLGM, SupCon, momentum and the task loss for any input."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from builders import repeatable
from tricord.nn.ema import momentum_at
from tricord.nn.losses import modality_supcon, supcon, task_loss
from tricord.plgm import PseudoLabelBank, refine_labels

ANY = st.floats(allow_nan=False, allow_infinity=False, width=32)
MODERATE = st.floats(-30, 30)
FORMS = st.sampled_from(["inside", "outside"])


def logits_and_labels(elements: st.SearchStrategy[float], dtype: type) -> st.SearchStrategy:
    shapes = st.tuples(st.integers(1, 5), st.integers(2, 6))
    return shapes.flatmap(
        lambda s: st.tuples(
            arrays(dtype, s, elements=elements).map(torch.as_tensor),
            arrays(np.int64, s[0], elements=st.integers(0, s[1] - 1)).map(torch.as_tensor),
        )
    )


def assert_simplex(soft: Tensor) -> None:
    assert soft.isfinite().all()
    assert (soft >= 0).all()
    torch.testing.assert_close(soft.sum(dim=-1), torch.ones(soft.shape[:-1], dtype=soft.dtype))


@repeatable
@given(logits_and_labels(ANY, np.float32))
def test_refined_labels_stay_on_the_simplex(case: tuple[Tensor, Tensor]) -> None:
    assert_simplex(refine_labels(*case))


@repeatable
@given(logits_and_labels(MODERATE, np.float64))
def test_the_smallest_gradient_norm_is_at_the_argmax(case: tuple[Tensor, Tensor]) -> None:
    """Eq. 22-24 as written: the gradient norm |p - onehot(c)| of every class c."""
    logits, labels = case
    p = torch.softmax(logits, dim=-1)
    norms = (p[:, None, :] - torch.eye(p.shape[1], dtype=p.dtype)).norm(dim=-1)  # (N, c)
    top = norms.sort(dim=-1).values
    clear = top[:, 1] - top[:, 0] > 1e-9
    candidate = norms.argmin(dim=-1)
    assert torch.equal(candidate[clear], p.argmax(dim=-1)[clear])
    # and Eq. 25-27 with that candidate
    rows = torch.arange(len(p))
    own, other = norms[rows, labels], norms[rows, candidate]
    alpha = ((own - other) / (own + other).clamp(min=1e-300)).clamp(min=0)[:, None]
    eye = torch.eye(p.shape[1], dtype=p.dtype)
    expected = (1 - alpha) * eye[labels] + alpha * eye[candidate]
    torch.testing.assert_close(refine_labels(logits, labels)[clear], expected[clear])


@repeatable
@given(logits_and_labels(MODERATE, np.float64), st.floats(-100, 100))
def test_a_constant_added_to_the_logits_changes_nothing(
    case: tuple[Tensor, Tensor], shift: float
) -> None:
    logits, labels = case
    top = logits.sort(dim=-1).values
    assume(bool((top[:, -1] - top[:, -2] > 1e-6).all()))  # no tie for the shift to break
    found = refine_labels(logits + shift, labels)
    torch.testing.assert_close(found, refine_labels(logits, labels))


@repeatable
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(1, 3), st.data())
def test_the_bank_stays_on_the_simplex(
    seed: int, classes: int, modalities: int, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(seed)
    start = torch.randint(-1, classes, (6, modalities), generator=generator)
    bank = PseudoLabelBank(start, classes)
    for _ in range(4):
        rows = torch.randperm(6, generator=generator)[:4]
        scale = data.draw(st.sampled_from([0.1, 3.0, 1e6]))
        logits = torch.randn(4, modalities, classes, generator=generator) * scale
        momentum = torch.rand(modalities, generator=generator)
        valid = torch.rand(4, modalities, generator=generator) > 0.3
        before = bank.soft.clone()
        bank.update(rows, logits, momentum, valid)
        assert_simplex(bank.soft)
        moved = (bank.soft != before).any(dim=-1)
        allowed = torch.zeros_like(moved)
        allowed[rows] = valid & (start[rows] >= 0)
        assert not (moved & ~allowed).any()


@repeatable
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), FORMS, st.data())
def test_supcon_does_not_depend_on_the_order_of_rows(
    seed: int, rows: int, form: str, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (rows,), generator=generator)
    order = torch.tensor(data.draw(st.permutations(range(rows))))
    torch.testing.assert_close(
        supcon(features[order], labels[order], 0.5, form),  # type: ignore[arg-type]
        supcon(features, labels, 0.5, form),  # type: ignore[arg-type]
    )


@repeatable
@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            arrays(np.float32, (n, 3), elements=st.floats(-1e4, 1e4, width=32)),
            arrays(np.int64, n, elements=st.integers(0, 2)),
        )
    ),
    st.floats(1e-3, 1e3),
    FORMS,
)
def test_supcon_of_finite_features_is_finite_with_its_gradient(
    case: tuple[np.ndarray, np.ndarray], temperature: float, form: str
) -> None:
    features = torch.as_tensor(case[0]).requires_grad_()
    loss = supcon(features, torch.as_tensor(case[1]), temperature, form)  # type: ignore[arg-type]
    assert loss.isfinite()
    assert loss >= 0
    if loss.requires_grad:
        loss.backward()
        assert features.grad is not None
        assert features.grad.isfinite().all()


@repeatable
@given(st.integers(0, 2**32 - 1), arrays(bool, (5, 3)))
def test_losses_with_absent_modalities_are_those_of_the_others(
    seed: int, valid_array: np.ndarray
) -> None:
    generator = torch.Generator().manual_seed(seed)
    valid = torch.as_tensor(valid_array)
    outputs = torch.randn(5, 3, 4, generator=generator, dtype=torch.float64)
    h = torch.nn.functional.normalize(outputs, dim=-1)
    targets = torch.randint(0, 4, (5, 3), generator=generator)
    found = task_loss(outputs, targets.masked_fill(~valid, -1), valid)
    for k in range(3):
        rows = valid[:, k]
        alone = task_loss(outputs[rows, k : k + 1], targets[rows, k : k + 1])
        expected = alone[0] if bool(rows.any()) else torch.zeros((), dtype=torch.float64)
        torch.testing.assert_close(found[k], expected)
    everyone = torch.ones_like(valid)
    torch.testing.assert_close(task_loss(outputs, targets, everyone), task_loss(outputs, targets))
    contrast = modality_supcon(h, targets, valid, 0.5, "inside", "stable")
    stacked = [(h[b, k], targets[b, k]) for k in range(3) for b in range(5) if valid[b, k]]
    if stacked:
        rows_h, rows_y = (torch.stack(part) for part in zip(*stacked, strict=True))
        torch.testing.assert_close(contrast, supcon(rows_h, rows_y, 0.5))
    else:
        assert contrast == 0


@repeatable
@given(
    st.floats(0, 1),
    st.floats(0, 10),
    st.integers(1, 5000),
    st.sampled_from(["closed", "recursive"]),
)
def test_momentum_rises_from_initial_towards_one(
    initial: float, decay: float, epoch: int, schedule: str
) -> None:
    value = momentum_at(initial, decay, epoch, schedule)  # type: ignore[arg-type]
    assert initial - 1e-12 <= value <= 1
    assert value <= momentum_at(initial, decay, epoch + 1, schedule) + 1e-12  # type: ignore[arg-type]
