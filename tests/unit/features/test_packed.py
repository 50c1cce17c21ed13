"""Tokens without padding through language models of several families: as padded calls give."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    GPT2Config,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
)

from tiny_bert import VOCABULARY, WIDTH
from tricord.features.language import TextEncoder
from tricord.features.packed import PADDED_CLIPS
from tricord.types import Frames

POSITIONS = 40
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": POSITIONS,
}
SPECIAL = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)
FAMILIES: dict[str, Any] = {
    "bert": BertConfig(**COMMON),
    "roberta": RobertaConfig(**COMMON),  # positions begin behind the padding token's id
    "distilbert": DistilBertConfig(
        vocab_size=VOCABULARY,
        dim=WIDTH,
        n_layers=2,
        n_heads=2,
        hidden_dim=24,
        max_position_embeddings=POSITIONS,
    ),
    "albert": AlbertConfig(**COMMON, embedding_size=8),
    "deberta": DebertaV2Config(**COMMON, relative_attention=True, pos_att_type="c2p|p2c"),
    "mpnet": MPNetConfig(**COMMON),  # relative positions
    "modernbert": ModernBertConfig(  # looks through windows, 2 tokens to each side
        **COMMON, **SPECIAL, cls_token_id=0, sep_token_id=0, local_attention=4
    ),
    "gpt2": GPT2Config(  # looks backwards only
        vocab_size=VOCABULARY,
        n_embd=WIDTH,
        n_layer=2,
        n_head=2,
        n_positions=POSITIONS,
        bos_token_id=0,
        eos_token_id=0,
    ),
}
PACKED = {"bert", "roberta", "distilbert", "albert"}
LENGTHS = (4, 0, 12, 4, 1, 30)


def family(name: str, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: nn.Module = AutoModel.from_config(copy.deepcopy(FAMILIES[name]))
    return model.eval()


def some(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> Frames:
    """More tokens in all than the models have positions."""
    generator = torch.Generator().manual_seed(seed)
    return Frames(
        torch.randint(5, VOCABULARY, (sum(lengths),), generator=generator), torch.tensor(lengths)
    )


def one_by_one(model: nn.Module, tokens: Frames) -> Tensor:
    """Each clip on its own, by the model itself."""
    clips = torch.split(tokens.values, tokens.lengths.tolist())
    ones = [c[None] for c in clips if len(c)]
    return torch.cat([model(input_ids=c).last_hidden_state[0] for c in ones])


@pytest.mark.parametrize("name", FAMILIES)
def test_states_are_those_of_each_clip_on_its_own(name: str) -> None:
    encoder = TextEncoder(family(name))
    assert encoder.packed == (name in PACKED)
    found = encoder(some())
    assert found.lengths.tolist() == list(LENGTHS)
    torch.testing.assert_close(found.values, one_by_one(family(name), some()))


@pytest.mark.parametrize("name", ["bert", "deberta"])
def test_gradients_are_those_of_each_clip_on_its_own(name: str) -> None:
    encoder, model = TextEncoder(family(name)), family(name)
    weight = torch.linspace(-1, 1, WIDTH)
    (encoder(some()).values * weight).square().sum().backward()
    (one_by_one(model, some()) * weight).square().sum().backward()
    expected = dict(model.named_parameters())
    assert sum(p.grad is not None for p in expected.values()) > 30
    for key, p in encoder.model.named_parameters():
        torch.testing.assert_close(p.grad, expected[key].grad, rtol=1e-4, atol=1e-4)


def test_tokens_are_one_row_without_padding() -> None:
    encoder = TextEncoder(family("bert"))
    assert encoder.packed
    rows: list[tuple[int, ...]] = []
    embed: Any = encoder.model.get_submodule("embeddings.word_embeddings")
    embed.register_forward_hook(lambda _, args, out: rows.append(tuple(args[0].shape)))
    encoder(some())
    assert rows == [(1, sum(LENGTHS))]


@pytest.mark.parametrize("name", ["bert", "deberta"])
def test_clips_do_not_see_each_other(name: str) -> None:
    encoder = TextEncoder(family(name))
    changed = some()
    changed.values[:4] = some(seed=1).values[:4]
    before, after = encoder(some()).values, encoder(changed).values
    assert (before[:4] - after[:4]).abs().max() > 1e-2
    torch.testing.assert_close(before[4:], after[4:])


@pytest.mark.parametrize("name", ["bert", "deberta"])
@pytest.mark.parametrize("lengths", [(), (0,), (0, 0)])
def test_no_tokens_are_no_states_and_no_call(name: str, lengths: tuple[int, ...]) -> None:
    encoder = TextEncoder(family(name))
    encoder.model.register_forward_pre_hook(lambda *_: pytest.fail("called"))
    found = encoder(some(lengths))
    assert found.values.shape == (0, WIDTH)
    assert found.lengths.tolist() == list(lengths)


@pytest.mark.parametrize("name", ["bert", "roberta", "deberta"])
def test_padding_that_counts_has_states_and_is_not_looked_at(name: str) -> None:
    lengths, real = torch.tensor([6, 6, 6]), torch.tensor([6, 2, 1])
    tokens = Frames(some((6, 6, 6)).values, lengths, real)
    padded = tokens.values.view(3, 6)
    mask = (torch.arange(6) < real[:, None]).long()
    expected = family(name)(input_ids=padded, attention_mask=mask).last_hidden_state
    encoder = TextEncoder(family(name))
    for _ in range(2):  # before and after a model's attention is exchanged
        found = encoder(tokens)
        torch.testing.assert_close(found.values, expected.flatten(0, 1))
        assert found.real is real
        assert encoder.packed == (name in PACKED)


def test_a_clip_of_padding_alone_spoils_neither_values_nor_gradients() -> None:
    encoder = TextEncoder(family("bert")).train()
    tokens = Frames(some((4, 4)).values, torch.tensor([4, 4]), torch.tensor([4, 0]))
    states = encoder(tokens).values
    assert states.isfinite().all()
    states[:4].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("name", ["bert", "deberta"])
def test_dropout_is_active_in_training_alone(name: str) -> None:
    encoder = TextEncoder(family(name)).train()
    one, two = encoder(some()).values, encoder(some()).values
    assert (one - two).abs().max() > 1e-2
    encoder.eval()
    torch.testing.assert_close(encoder(some()).values, one_by_one(family(name), some()))


def test_dropout_of_attention_is_active_in_training() -> None:
    model = family("bert")
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5 if name.endswith("attention.self.dropout") else 0.0
    encoder = TextEncoder(model).train()
    assert (encoder(some()).values - encoder(some()).values).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_trying_leaves_no_trace(name: str) -> None:
    """Neither in the mode, nor in random numbers, nor in a model that did not pass."""
    encoder = TextEncoder(family(name)).train()
    settings, config = encoder.settings, encoder.model.config
    before, state = config._attn_implementation, torch.random.get_rng_state()
    assert encoder.packed == (name in PACKED)
    assert all(m.training for m in encoder.modules())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert encoder.settings == settings
    assert (config._attn_implementation == before) == (name not in PACKED)


def test_few_padded_calls_of_clips_of_similar_length() -> None:
    """Where a model must be padded it is padded little."""
    encoder = TextEncoder(family("deberta"))
    shapes: list[tuple[int, ...]] = []
    embed: Any = encoder.model.get_submodule("embeddings.word_embeddings")
    embed.register_forward_hook(lambda _, args, out: shapes.append(tuple(args[0].shape)))
    lengths = tuple(2 + i % 2 * 20 for i in range(2 * PADDED_CLIPS))
    encoder(some(lengths))
    assert shapes == [(PADDED_CLIPS, 22), (PADDED_CLIPS, 2)]
