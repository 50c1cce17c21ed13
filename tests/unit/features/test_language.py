"""Language models from folders and from released weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from tiny_bert import VOCABULARY, WIDTH, make_folder, make_model
from tricord.errors import ConfigError, ModelError
from tricord.features.language import TextEncoder, tokenize

TOKENS = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
MASK = TOKENS > 0


def test_width_and_weights_come_from_the_folder(bert: str) -> None:
    encoder = TextEncoder.from_pretrained(bert)
    assert encoder.width == WIDTH
    assert encoder.name == bert
    assert not encoder.training
    direct = make_model()(input_ids=TOKENS, attention_mask=MASK.long()).last_hidden_state
    torch.testing.assert_close(encoder(TOKENS, MASK), direct)


def test_padding_is_not_attended_to(bert: str) -> None:
    encoder = TextEncoder.from_pretrained(bert)
    longer = torch.nn.functional.pad(TOKENS, (0, 3), value=9)
    found = encoder(longer, torch.nn.functional.pad(MASK, (0, 3), value=False))
    torch.testing.assert_close(found[:, :4][MASK], encoder(TOKENS, MASK)[MASK])


def test_a_row_without_tokens_spoils_neither_values_nor_gradients(bert: str) -> None:
    encoder = TextEncoder.from_pretrained(bert).train()
    hidden = encoder(TOKENS, torch.tensor([[True] * 4, [False] * 4]))
    assert hidden.isfinite().all()
    hidden[0].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


def test_the_architecture_alone(bert: str) -> None:
    empty = TextEncoder.from_config(bert)
    full = TextEncoder.from_pretrained(bert)
    assert empty.state_dict().keys() == full.state_dict().keys()
    assert (empty(TOKENS, MASK) - full(TOKENS, MASK)).abs().max() > 1e-3
    empty.load_state_dict(full.state_dict())
    torch.testing.assert_close(empty(TOKENS, MASK), full(TOKENS, MASK))


def test_tokenize(bert: str) -> None:
    texts = ["我不好", "The film is bad!", "", "高兴 " * 9]
    tokens, lengths = tokenize(bert, texts, max_length=6)
    vocabulary = (Path(bert) / "vocab.txt").read_text(encoding="utf-8").split("\n")
    words = [[vocabulary[i] for i in row[:n]] for row, n in zip(tokens, lengths, strict=True)]
    assert words == [
        ["[CLS]", "我", "不", "好", "[SEP]"],
        ["[CLS]", "the", "film", "is", "bad", "[SEP]"],
        ["[CLS]", "[SEP]"],
        ["[CLS]", "高", "兴", "高", "兴", "[SEP]"],
    ]
    assert tokens.shape == (4, 6)
    assert not tokens[np.arange(6)[None, :] >= lengths[:, None]].any()


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
    expected = theirs(input_ids=TOKENS, attention_mask=MASK.long()).last_hidden_state
    torch.testing.assert_close(ours(TOKENS, MASK), expected)


def test_from_state_keeps_float64() -> None:
    encoder = TextEncoder.from_state(make_model(heads=1).double().state_dict())
    assert encoder(TOKENS, MASK).dtype == torch.float64


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
    assert (first(TOKENS, MASK) - other(TOKENS, MASK)).abs().max() > 1e-3
