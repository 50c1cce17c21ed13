"""The exchange between global vectors and sequences, clip by clip and by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tricord.nn.encoder import sinusoidal_positions
from tricord.nn.exchange import ContextAttention, ExchangeBlock, GlobalExchange
from tricord.types import Frames

D, HEADS, K = 8, 2, 3
LENGTHS = ((3, 1, 40, 2), (2, 2, 2, 2), (1, 5, 1, 7))  # of each modality's clips


@pytest.fixture
def exchange() -> GlobalExchange:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = GlobalExchange(
            D, K, heads=HEADS, depth=3, attention_dropout=0.0, feedforward_dropout=0.0
        )
    return made.double()


def sequences(lengths: tuple[tuple[int, ...], ...] = LENGTHS) -> list[Frames]:
    generator = torch.Generator().manual_seed(1)
    return [
        Frames(
            torch.randn(sum(of_one), D, generator=generator, dtype=torch.float64),
            torch.tensor(of_one),
        )
        for of_one in lengths
    ]


def global_vectors(clips: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(clips, K, D, generator=generator, dtype=torch.float64)


def attend(module: ContextAttention, x: Tensor, context: Tensor) -> Tensor:
    q, (k, v) = module.query(x), module.key_value(context).chunk(2, dim=-1)
    heads = []
    for part in torch.arange(D).view(HEADS, -1):
        weights = torch.softmax(q[:, part] @ k[:, part].T / (D / HEADS) ** 0.5, dim=1)
        heads.append(weights @ v[:, part])
    out: Tensor = module.out(torch.cat(heads, dim=1))
    return out


def block_by_hand(block: ExchangeBlock, x: Tensor, context: Tensor) -> Tensor:
    x = x + attend(block.listening, block.norm_listener(x), block.norm_context(context))
    x = x + attend(block.own, block.norm_self(x), block.norm_self(x))
    u, v = block.inner.widen(block.norm_inner(x)).split(4 * D, dim=-1)
    out: Tensor = x + block.inner.narrow(u * F.gelu(v))
    return out


def by_hand(module: GlobalExchange, g: Tensor, clips: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """One clip: g (K, d), and (L, d) frames of each modality that has some."""
    clips = [x + sinusoidal_positions(len(x), D, x) for x in clips]
    for _ in range(module.depth):
        told = torch.stack([block_by_hand(module.block, g, x) for x in clips])
        clips = [block_by_hand(module.block, x, g) for x in clips]
        rows = told.flatten(1)
        first, _, second = module.pool
        weights = torch.softmax(second(torch.tanh(first(rows))), dim=0)
        g = (weights * rows).sum(dim=0).view(g.shape)
    return g, clips


def test_every_clip_is_as_by_hand(exchange: GlobalExchange) -> None:
    given, g = sequences(), global_vectors()
    found, frames = exchange(g, torch.ones(4, K, dtype=torch.bool), given, final=True)
    parts = [x.values.split(x.lengths.tolist()) for x in given]
    ends = [x.split(y.lengths.tolist()) for x, y in zip(frames, given, strict=True)]
    for clip in range(4):
        expected, after = by_hand(exchange, g[clip], [of_one[clip] for of_one in parts])
        torch.testing.assert_close(found[clip], expected)
        for modality, of_one in enumerate(ends):
            torch.testing.assert_close(of_one[clip], after[modality])


def test_what_is_not_asked_for_changes_nothing(exchange: GlobalExchange) -> None:
    present = torch.ones(4, K, dtype=torch.bool)
    whole, frames = exchange(global_vectors(), present, sequences(), final=True)
    alone, none = exchange(global_vectors(), present, sequences(), final=False)
    assert torch.equal(whole, alone)
    assert (len(frames), none) == (K, [])


def test_a_modality_without_frames_has_no_say(exchange: GlobalExchange) -> None:
    """Its vector may still be listened to: a text of [CLS] and [SEP] alone has one."""
    given, g = sequences(((3,), (0,), (2,))), global_vectors(1)
    found, frames = exchange(g, torch.ones(1, K, dtype=torch.bool), given, final=True)
    expected, after = by_hand(exchange, g[0], [given[0].values, given[2].values])
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(frames[2], after[1])
    assert frames[1].shape == (0, D)


def test_an_absent_vector_is_not_listened_to(exchange: GlobalExchange) -> None:
    exchange.depth = 1
    given, g = sequences(((3, 2), (0, 4), (2, 2))), global_vectors(2)
    present = torch.tensor([[True, False, True], [True, True, True]])
    other = g.clone()
    other[0, 1] += 1.0
    frames, again = (exchange(x, present, given, final=True)[1] for x in (g, other))
    for x, y in zip(frames, again, strict=True):
        assert torch.equal(x, y)
    _, heard = exchange(other, torch.ones_like(present), given, final=True)
    assert not torch.allclose(heard[0], frames[0])


def test_clips_without_anything_stay_finite(exchange: GlobalExchange) -> None:
    given, g = sequences(((0, 0), (0, 0), (0, 0))), global_vectors(2).requires_grad_()
    found, frames = exchange(g, torch.zeros(2, K, dtype=torch.bool), given, final=True)
    found.sum().backward()
    assert g.grad is not None
    assert bool(found.isfinite().all() and g.grad.isfinite().all())
    assert [len(x) for x in frames] == [0, 0, 0]


def test_dropout_acts_in_training_alone() -> None:
    module = GlobalExchange(
        D, K, heads=HEADS, depth=1, attention_dropout=0.5, feedforward_dropout=0.5
    ).double()
    present = torch.ones(4, K, dtype=torch.bool)

    def run() -> Tensor:
        g: Tensor = module(global_vectors(), present, sequences(), final=False)[0]
        return g

    assert not torch.equal(run(), run())
    module.eval()
    assert torch.equal(run(), run())


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValueError, match="multiple"):
        ContextAttention(8, 3, 0.0)


def test_one_block_serves_all_rounds() -> None:
    sizes = {
        depth: sum(
            p.numel()
            for p in GlobalExchange(
                32, K, heads=4, depth=depth, attention_dropout=0, feedforward_dropout=0
            ).parameters()
        )
        for depth in (1, 4)
    }
    assert sizes == {1: 21_088 + 9_409, 4: 21_088 + 9_409}  # as published for d = 32
