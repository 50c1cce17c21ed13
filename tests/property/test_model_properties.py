"""The whole network for any lengths: padding, order, absence, batches of one, extreme values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from builders import (
    NO_DROPOUT,
    WIDTHS,
    features,
    random_clips,
    repeatable,
    small_model,
    to_batch,
)
from tricord.models import CMC
from tricord.types import MODALITIES, Batch, Prediction

SEEDS = st.integers(0, 2**32 - 1)
PARTS = ("consensus", "votes", "weights", "h")


def lengths(shortest: int = 0, clips: int = 4) -> st.SearchStrategy[list[list[int]]]:
    """(B, K) frames per clip and modality; at least one modality of every clip is there."""
    row = st.lists(st.integers(shortest, 5), min_size=3, max_size=3).filter(any)
    return st.lists(row, min_size=1, max_size=clips)


def run(model: CMC, batch: Batch, training: bool) -> tuple[Prediction, dict[str, Tensor]]:
    """The outputs, and the gradients of a loss that sees all of them."""
    model.train(training)
    model.zero_grad()
    p = model(batch)
    generator = torch.Generator().manual_seed(0)
    loss = torch.zeros((), dtype=p.h.dtype)
    for name in PARTS:
        value = getattr(p, name)
        direction = torch.randn(value.shape[1:], generator=generator, dtype=torch.float64)
        loss = loss + (value * direction.to(value)).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return p, {name: q.grad for name, q in model.named_parameters() if q.grad is not None}


def assert_same(one: Any, other: Any) -> None:
    for name in PARTS:
        torch.testing.assert_close(getattr(one[0], name), getattr(other[0], name))
    assert one[1].keys() == other[1].keys()
    for name, gradient in one[1].items():
        torch.testing.assert_close(gradient, other[1][name], rtol=1e-6, atol=1e-9, msg=name)


def is_finite(result: tuple[Prediction, dict[str, Tensor]]) -> bool:
    values = [getattr(result[0], name) for name in PARTS]
    return all(bool(v.isfinite().all()) for v in [*values, *result[1].values()])


@repeatable
@given(SEEDS, lengths())
def test_weights_sum_to_one_and_rows_are_unit(seed: int, frames: list[list[int]]) -> None:
    batch = to_batch(random_clips(frames, seed))
    p = small_model().eval()(batch)
    ones = torch.ones(len(batch), dtype=torch.float64)
    torch.testing.assert_close(p.weights.sum(dim=1), ones)
    assert not p.weights[~batch.present].any()
    torch.testing.assert_close(p.h.norm(dim=-1), batch.present.double())
    torch.testing.assert_close(p.probabilities.sum(dim=1), ones)


@repeatable
@given(SEEDS, lengths(), st.integers(1, 4), st.floats(-1e3, 1e3))
def test_more_masked_padding_changes_nothing(
    seed: int, frames: list[list[int]], extra: int, filler: float
) -> None:
    clips = random_clips(frames, seed)
    model = small_model().eval()
    values, real = features(clips, extra, filler)
    p, expected = model.predict_features(values, real), model(to_batch(clips))
    for name in PARTS:
        torch.testing.assert_close(getattr(p, name), getattr(expected, name))


@repeatable
@given(SEEDS, lengths())
def test_ignored_padding_sees_frames_and_no_lengths(seed: int, frames: list[list[int]]) -> None:
    clips = random_clips(frames, seed)
    values, real = features(clips)
    model = small_model({"model.padding": "ignored"})
    without = model.predict_features(values)
    p = model.predict_features(values, real)
    for name in PARTS:
        assert torch.equal(getattr(p, name), getattr(without, name))
    masked = small_model()
    full = {name: torch.full_like(n, values[name].shape[1]) for name, n in real.items()}
    p = masked.predict_features(values, full)
    for name in PARTS:
        torch.testing.assert_close(getattr(p, name), getattr(without, name))


@repeatable
@given(SEEDS, lengths(), st.permutations(MODALITIES))
def test_permuting_modalities_permutes_votes_and_weights(
    seed: int, frames: list[list[int]], names: list[str]
) -> None:
    model = small_model().eval()
    order = [MODALITIES.index(name) for name in names]
    other = CMC({name: model.parts[name] for name in names}, d=8, temperature=model.temperature)
    other.double().eval()
    assert model.router is not None
    assert other.router is not None
    for entry in ("weight", "bias"):
        source = getattr(model.router.linear, entry)
        getattr(other.router.linear, entry).data.copy_(source[order])
    values, real = features(random_clips(frames, seed))
    one, two = model.predict_features(values, real), other.predict_features(values, real)
    torch.testing.assert_close(two.consensus, one.consensus)
    for part in ("votes", "weights", "h"):
        torch.testing.assert_close(getattr(two, part), getattr(one, part)[:, order])


@pytest.mark.parametrize("training", [True, False])
@repeatable
@given(SEEDS, lengths(), st.data())
def test_permuting_clips_permutes_outputs(
    training: bool, seed: int, frames: list[list[int]], data: st.DataObject
) -> None:
    clips = random_clips(frames, seed)
    order = data.draw(st.permutations(range(len(clips))))
    model, other = small_model(NO_DROPOUT).train(training), small_model(NO_DROPOUT).train(training)
    p, q = model(to_batch(clips)), other(to_batch([clips[i] for i in order]))
    for name in PARTS:
        torch.testing.assert_close(getattr(q, name), getattr(p, name)[order])


@repeatable
@given(SEEDS, lengths())
def test_in_evaluation_a_clip_does_not_see_the_others(seed: int, frames: list[list[int]]) -> None:
    clips = random_clips(frames, seed)
    model = small_model().eval()
    together, alone = model(to_batch(clips)), [model(to_batch([clip])) for clip in clips]
    for name in PARTS:
        torch.testing.assert_close(
            getattr(together, name), torch.cat([getattr(p, name) for p in alone])
        )


@repeatable
@given(SEEDS, lengths(shortest=1), st.sampled_from(MODALITIES))
def test_an_absent_modality_leaves_votes_as_without_it(
    seed: int, frames: list[list[int]], gone: str
) -> None:
    clips = random_clips(frames, seed)
    model = small_model()
    left = [name for name in MODALITIES if name != gone]
    two = CMC({n: model.parts[n] for n in left}, d=8, temperature=model.temperature).double()
    values, real = features(clips)
    rest = {k: v for k, v in values.items() if k != gone}
    sizes = {k: real[k] for k in rest}
    p, q = model.predict_features(rest, sizes), two.predict_features(rest, sizes)
    kept = [MODALITIES.index(name) for name in left]
    torch.testing.assert_close(p.votes[:, kept], q.votes)
    torch.testing.assert_close(p.h[:, kept], q.h)
    assert not p.weights[:, MODALITIES.index(gone)].any()
    # not naming it, and naming it with length 0, are the same
    by_length = model.predict_features(values, {**real, gone: torch.zeros_like(real[gone])})
    for name in PARTS:
        torch.testing.assert_close(getattr(by_length, name), getattr(p, name))


@pytest.mark.parametrize("padding", ["masked", "ignored"])
@repeatable
@given(SEEDS, st.lists(st.integers(0, 2), min_size=3, max_size=3).filter(any))
def test_a_batch_of_one_trains(padding: str, seed: int, frames: list[int]) -> None:
    model = small_model({"model.padding": padding})
    batch = to_batch(random_clips([frames], seed), padding == "ignored")
    assert is_finite(run(model, batch, training=True))


@pytest.mark.parametrize("padding", ["masked", "ignored"])
def test_one_clip_of_one_frame_trains_every_parameter(padding: str) -> None:
    """Batch normalisation has no variance to take: its running statistics are used and stay."""
    model = small_model({"model.padding": padding, **NO_DROPOUT})
    before = {k: v.clone() for k, v in model.state_dict().items()}
    result = run(model, to_batch(random_clips([[1, 1, 1]])), training=True)
    assert is_finite(result)
    assert result[1].keys() == dict(model.named_parameters()).keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


EXTREME = st.sampled_from([0.0, 1.0, -1e4, 1e4, 1e10, 1e-30, -3e38, 3e38])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("padding", ["masked", "ignored"])
@repeatable
@given(lengths(clips=3), st.data())
def test_no_finite_input_gives_nan(
    training: bool, padding: str, frames: list[list[int]], data: st.DataObject
) -> None:
    """Constant columns, zeros, and numbers of any size next to each other."""
    cell = st.one_of(EXTREME, st.floats(allow_nan=False, allow_infinity=False, width=32))
    clips = [
        {
            name: torch.as_tensor(data.draw(arrays(np.float32, (length, width), elements=cell)))
            for (name, width), length in zip(WIDTHS.items(), row, strict=True)
        }
        for row in frames
    ]
    model = small_model({"model.padding": padding, **NO_DROPOUT}, dtype=torch.float32)
    p, gradients = run(model, to_batch(clips, padding == "ignored"), training)
    for name in PARTS:
        assert getattr(p, name).isfinite().all(), name
    for name, gradient in gradients.items():
        assert not gradient.isnan().any(), name
    for name, value in model.state_dict().items():
        assert not value.isnan().any(), name
