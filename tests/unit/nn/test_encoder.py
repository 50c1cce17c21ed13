"""The encoder of Eq. 1-4 and its parts, against hand-computed numbers and torch's own layers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from builders import repeatable
from tricord.nn.encoder import (
    EncoderLayer,
    FrameNorm,
    SelfAttention,
    UnimodalEncoder,
    masked_mean,
    sinusoidal_positions,
)
from tricord.types import Frames

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
@pytest.mark.parametrize("clips", [None, 2])
def test_frame_norm_is_torchs_over_all_frames(training: bool, clips: int | None) -> None:
    ours, theirs = FrameNorm(3).double(), nn.BatchNorm1d(3).double()
    with torch.no_grad():
        for name, value in ours.state_dict().items():
            if value.is_floating_point():
                value.copy_(frames(3, seed=len(name)).abs() + 0.5)
    theirs.load_state_dict(ours.state_dict())
    ours.train(training)
    theirs.train(training)
    x = frames(6, 3)
    torch.testing.assert_close(ours(x, clips), theirs(x))
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
    assert bool(ours.num_batches_tracked == 1) is training  # type: ignore[comparison-overlap]


def test_with_equal_lengths_the_sums_run_as_over_padded_clips() -> None:
    """To the last bit, which repeating a recorded run needs."""
    ours, theirs = FrameNorm(3), nn.BatchNorm1d(3)
    x = frames(2, 4, 3).float()
    expected = theirs(x.transpose(1, 2)).transpose(1, 2)
    assert torch.equal(ours(x.flatten(0, 1), 2), expected.flatten(0, 1))
    assert torch.equal(ours.running_var, theirs.running_var)  # type: ignore[arg-type]


@pytest.mark.parametrize("clips", [None, 1])
def test_a_single_frame_in_training_uses_running_statistics_and_keeps_them(
    clips: int | None,
) -> None:
    norm = FrameNorm(2)
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
    found = norm(torch.tensor([[5.0, 8.0]]), clips)
    torch.testing.assert_close(found, torch.tensor([[4.0, 7.0]]), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(before[k], v) for k, v in norm.state_dict().items())
    found.sum().backward()
    assert norm.weight.grad is not None


def test_frame_norm_of_a_batch_without_any_frame() -> None:
    norm = FrameNorm(2)
    for training in (True, False):
        norm.train(training)
        assert norm(torch.ones(0, 2)).shape == (0, 2)
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
        found = ours(x, MASK)[MASK]
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
    x = frames(6, 3)
    shuffled = x[torch.tensor([3, 1, 5, 0, 2, 4])]
    lengths = torch.tensor([6])
    plain, placed = encoder(), encoder(positions=True)
    torch.testing.assert_close(plain(Frames(x, lengths)), plain(Frames(shuffled, lengths)))
    difference = placed(Frames(x, lengths)) - placed(Frames(shuffled, lengths))
    assert difference.abs().max() > 1e-3


class Plain(nn.Module):
    """Eq. 1-4 on padded clips with torch's own modules; no frame of padding counts."""

    def __init__(self, ours: UnimodalEncoder) -> None:
        super().__init__()
        d, width, _ = ours.proj.weight.shape
        self.norm = nn.BatchNorm1d(width)
        self.proj = nn.Conv1d(width, d, 1, bias=False)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(d, 2, 12, dropout=0.0, batch_first=True, norm_first=True)
            for _ in ours.layers
        )
        self.double().load_state_dict(ours.state_dict())

    def forward(self, x: Frames) -> Tensor:
        padded, mask = x.pad()
        padded = padded.masked_scatter(mask[..., None], self.norm(padded[mask]))  # Eq. 2
        hidden = self.proj(padded.transpose(1, 2)).transpose(1, 2)  # Eq. 1
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=~mask)
        kept = hidden.masked_fill(~mask[..., None], 0.0).sum(dim=1)
        return nn.functional.normalize(kept / mask.sum(dim=1, keepdim=True), dim=1)  # Eq. 3-4


@pytest.mark.parametrize("training", [True, False])
@repeatable
@given(st.lists(st.integers(2, 70), min_size=1, max_size=6), st.sampled_from([1, 40, 4096]))
def test_encoder_is_the_padded_one(training: bool, sizes: list[int], chunk: int) -> None:
    """Whatever is computed together: outputs, gradients and running statistics are the same."""
    model = encoder(input_norm=True).train(training)
    plain = Plain(model).train(training)
    x = Frames(frames(sum(sizes), 3), torch.tensor(sizes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tricord.nn.chunks.CHUNK_FRAMES", chunk)
        h = model(x)
    expected = plain(x)
    torch.testing.assert_close(h, expected)
    direction = frames(*h.shape, seed=2)
    (h * direction).sum().backward()
    (expected * direction).sum().backward()
    others = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, others[name].grad)
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, plain.get_buffer(name))


def test_text_has_no_input_norm_and_the_projection_no_bias() -> None:
    assert encoder().norm is None
    assert encoder().proj.bias is None
    assert encoder().proj.kernel_size == (1,)


def test_a_clip_without_frames_is_zero_and_touches_no_other() -> None:
    x = frames(6, 3)
    model = encoder(input_norm=True).train()
    h = model(Frames(x, torch.tensor([4, 0, 2])))
    assert not h[1].any()
    again = encoder(input_norm=True).train()(Frames(x, torch.tensor([4, 2])))
    torch.testing.assert_close(h[[0, 2]], again)
    h.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_a_batch_without_any_frame_is_zero() -> None:
    model = encoder(input_norm=True).train()
    h = model(Frames(frames(0, 3), torch.tensor([0, 0])))
    assert h.shape == (2, 8)
    assert not h.any()


def test_without_layers_the_encoder_is_the_mean_of_projections() -> None:
    model = encoder(layers=0)
    x = frames(4, 3)
    expected = model.proj.weight[:, :, 0] @ x.mean(dim=0)
    found = model(Frames(x, torch.tensor([4])))
    torch.testing.assert_close(found[0], expected / expected.norm())


def test_recomputed_activations_are_the_same_and_are_not_kept() -> None:
    x = Frames(frames(60, 3), torch.tensor([20, 1, 0, 39]))
    results, kept = [], []
    for recompute in (False, True):
        model = encoder(input_norm=True, dropout=0.3, attention_dropout=0.3).train()
        model.recompute = recompute
        numbers = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal numbers
            numbers += tensor.numel()
            return tensor

        torch.manual_seed(5)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            h = model(x)
        kept.append(numbers)
        h.square().mul(torch.arange(8)).sum().backward()
        results.append([h, *(p.grad for p in model.parameters())])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    assert kept[1] < kept[0] / 5
