"""The encoder of Eq. 1-4 and its parts, against hand-computed numbers and torch's own layers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tricord.nn.encoder import (
    EncoderLayer,
    MaskedBatchNorm,
    SelfAttention,
    UnimodalEncoder,
    masked_mean,
    sinusoidal_positions,
)

MASK = torch.tensor([[True, True, True, False], [True, False, False, False]])


def encoder(**options: object) -> UnimodalEncoder:
    torch.manual_seed(0)
    settings = {
        "layers": 2,
        "heads": 2,
        "feedforward": 12,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "input_norm": False,
        **options,
    }
    return UnimodalEncoder(3, 8, **settings).double().eval()  # type: ignore[arg-type]


def frames(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_masked_mean_by_hand() -> None:
    hidden = torch.tensor([[[1.0, 2], [3, 6], [9, 9]], [[5, 7], [9, 9], [9, 9]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert masked_mean(hidden, mask).tolist() == [[2, 4], [5, 7]]
    assert masked_mean(hidden, torch.zeros_like(mask)).tolist() == [[0, 0], [0, 0]]
    torch.testing.assert_close(masked_mean(hidden, None)[0], torch.tensor([13 / 3, 17 / 3]))


@pytest.mark.parametrize("training", [True, False])
def test_masked_batch_norm_is_torchs_over_the_real_frames(training: bool) -> None:
    ours, theirs = MaskedBatchNorm(3).double(), nn.BatchNorm1d(3).double()
    with torch.no_grad():
        for name, value in ours.state_dict().items():
            if value.is_floating_point():
                value.copy_(frames(3, seed=len(name)).abs() + 0.5)
    theirs.load_state_dict(ours.state_dict())
    ours.train(training)
    theirs.train(training)
    x = frames(2, 4, 3)
    x[~MASK] = 1e6  # what padding holds must not matter

    found = ours(x, MASK)

    real = torch.cat([x[0, :3], x[1, :1]])
    torch.testing.assert_close(found[MASK], theirs(real))
    assert not found[~MASK].any()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    assert bool(ours.num_batches_tracked == 1) is training  # type: ignore[comparison-overlap]


def test_batch_norm_without_a_mask_counts_every_frame() -> None:
    ours, theirs = MaskedBatchNorm(3), nn.BatchNorm1d(3)
    x = frames(2, 4, 3).float()
    expected = theirs(x.transpose(1, 2)).transpose(1, 2)
    assert torch.equal(ours(x), expected)
    assert torch.equal(ours.running_var, theirs.running_var)  # type: ignore[arg-type]


@pytest.mark.parametrize("masked", [True, False])
def test_a_single_frame_in_training_uses_running_statistics_and_keeps_them(masked: bool) -> None:
    norm = MaskedBatchNorm(2)
    norm.load_state_dict(
        {
            "weight": torch.tensor([2.0, 3]),
            "bias": torch.tensor([0.0, 1]),
            "running_mean": torch.tensor([1.0, 2]),
            "running_var": torch.tensor([4.0, 9]),
            "num_batches_tracked": torch.tensor(7),
        }
    )
    before = {k: v.clone() for k, v in norm.state_dict().items()}
    norm.train()
    x = torch.tensor([[[5.0, 8.0]]])
    mask = torch.ones(1, 1, dtype=torch.bool) if masked else None
    found = norm(x, mask)
    torch.testing.assert_close(found, torch.tensor([[[4.0, 7.0]]]), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(before[k], v) for k, v in norm.state_dict().items())
    found.sum().backward()
    assert norm.weight.grad is not None


def test_batch_norm_of_a_batch_without_any_real_frame() -> None:
    norm = MaskedBatchNorm(2)
    for training in (True, False):
        norm.train(training)
        found = norm(torch.ones(2, 3, 2), torch.zeros(2, 3, dtype=torch.bool))
        assert not found.any()
    assert not norm.running_mean.any()  # type: ignore[union-attr]


def test_attention_is_initialised_as_torchs() -> None:
    torch.manual_seed(3)
    ours = SelfAttention(8, 2, 0.1).state_dict()
    torch.manual_seed(3)
    theirs = nn.MultiheadAttention(8, 2).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


def test_attention_refuses_heads_that_do_not_divide_d() -> None:
    with pytest.raises(ValueError, match="8 is not a multiple of heads = 3"):
        SelfAttention(8, 3, 0.0)


@pytest.mark.parametrize("masked", [True, False])
def test_layer_is_torchs_pre_norm_layer(masked: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, norm_first=True, batch_first=True)
    theirs.double().eval()
    ours = EncoderLayer(8, 2, 12, 0.1, 0.1).double().eval()
    state = {k: frames(*v.shape, seed=i) for i, (k, v) in enumerate(theirs.state_dict().items())}
    theirs.load_state_dict(state)
    ours.load_state_dict(state)
    x = frames(2, 4, 8)
    if masked:
        found = ours(x, MASK[:, None, None, :])[MASK]
        expected = theirs(x, src_key_padding_mask=~MASK)[MASK]
    else:
        found, expected = ours(x, None), theirs(x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_attention_dropout_acts_in_training_only() -> None:
    attention = SelfAttention(8, 2, 0.5).double()
    x = frames(2, 4, 8)
    assert not torch.equal(attention(x, None), attention(x, None))
    attention.eval()
    assert torch.equal(attention(x, None), attention(x, None))


def test_positions_by_hand() -> None:
    like = torch.zeros((), dtype=torch.float64)
    found = sinusoidal_positions(3, 4, like)
    expected = [
        [f(t * rate) for rate in (1.0, 0.01) for f in (math.sin, math.cos)] for t in range(3)
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert sinusoidal_positions(3, 5, like).shape == (3, 5)


def test_only_positions_make_the_order_of_frames_matter() -> None:
    x = frames(2, 6, 3)
    shuffled = x[:, torch.tensor([3, 1, 5, 0, 2, 4])]
    plain, placed = encoder(), encoder(positions=True)
    torch.testing.assert_close(plain(x), plain(shuffled))
    assert (placed(x) - placed(shuffled)).abs().max() > 1e-3


def test_encoder_is_the_chain_of_its_equations() -> None:
    model = encoder(input_norm=True)
    x = frames(2, 4, 3)
    assert model.norm is not None
    hidden = model.proj(model.norm(x, MASK).transpose(1, 2)).transpose(1, 2)  # Eq. 1-2
    for layer in model.layers:
        hidden = layer(hidden, MASK[:, None, None, :])
    mean = torch.stack([hidden[0, :3].mean(dim=0), hidden[1, 0]])  # Eq. 3
    torch.testing.assert_close(model(x, MASK), mean / mean.norm(dim=1, keepdim=True))  # Eq. 4


def test_text_has_no_input_norm_and_the_projection_no_bias() -> None:
    assert encoder().norm is None
    assert encoder().proj.bias is None
    assert encoder().proj.kernel_size == (1,)


def test_a_clip_without_frames_is_zero_and_touches_no_other() -> None:
    model = encoder(input_norm=True).train()
    x = frames(3, 4, 3)
    mask = torch.tensor([[True] * 4, [False] * 4, [True, True, False, False]])
    h = model(x, mask)
    assert not h[1].any()
    torch.testing.assert_close(h[[0, 2]].norm(dim=1), torch.ones(2, dtype=torch.float64))
    others = torch.tensor([0, 2])
    again = encoder(input_norm=True).train()(x[others], mask[others])
    torch.testing.assert_close(h[others], again)
    h.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_without_layers_the_encoder_is_the_mean_of_projections() -> None:
    model = encoder(layers=0)
    x = frames(1, 4, 3)
    expected = model.proj.weight[:, :, 0] @ x[0].mean(dim=0)
    torch.testing.assert_close(model(x)[0], expected / expected.norm())
