"""Text features: encoded once and kept, from tokens or words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from tiny_bert import VOCABULARY, WIDTH, make_model
from tricord.config import Precision, TextConfig
from tricord.data.schema import FeatureTable, Ragged
from tricord.errors import ConfigError, DataError
from tricord.features import text
from tricord.features.language import TextEncoder
from tricord.features.text import TextSource, cache_folder, encode, tokenize
from tricord.types import Frames


def ragged(rows: Sequence[Sequence[int]], padded_length: int = 12) -> Ragged:
    offsets = np.cumsum([0, *map(len, rows)])
    values = np.array([t for row in rows for t in row], dtype=np.int64)
    return Ragged(values, offsets, padded_length)


def random_tokens(clips: int, seed: int = 0) -> Ragged:
    """Lengths 0 to 12 in no order."""
    rng = np.random.default_rng(seed)
    return ragged([rng.integers(5, VOCABULARY, n).tolist() for n in rng.integers(0, 13, clips)])


class Counted:
    """An encoder that keeps the lengths of what it was asked."""

    def __init__(self, seed: int = 0, heads: int = 2, precision: Precision = "float32") -> None:
        self.asked: list[list[int]] = []
        self.encoder = TextEncoder(make_model(seed, heads), precision=precision)
        self.encoder.register_forward_pre_hook(self._count)

    def _count(self, _: nn.Module, args: tuple[Frames]) -> None:
        self.asked.append(args[0].lengths.tolist())

    @property
    def calls(self) -> int:
        return len(self.asked)


@torch.no_grad()
def direct(encoder: TextEncoder, tokens: Ragged) -> np.ndarray:
    """Each clip on its own."""
    parts = [
        encoder(Frames(torch.as_tensor(row), torch.tensor([len(row)]))).values.numpy()
        for row in np.split(tokens.values, tokens.offsets[1:-1])
        if len(row)
    ]
    return np.concatenate(parts)


def test_features_are_those_of_the_model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "ENCODE_TOKENS", 100)
    model, tokens = Counted(), random_tokens(50)
    ticks: list[tuple[int, int]] = []
    found = encode(model.encoder, tokens, tick=lambda done, total: ticks.append((done, total)))
    assert (tokens.lengths == 0).any()
    assert found.values.dtype == np.float32
    assert found.width == WIDTH
    assert found.padded_length == tokens.padded_length
    np.testing.assert_array_equal(found.offsets, tokens.offsets)
    asked = [*model.asked]
    np.testing.assert_allclose(found.values, direct(model.encoder, tokens), rtol=0, atol=1e-5)
    assert [*chain(*asked)] == sorted(tokens.lengths[tokens.lengths > 0])
    assert max(map(sum, asked)) < 100 + tokens.lengths.max()
    assert len(asked) == -(-tokens.lengths.sum() // 100)
    done = np.cumsum([len(lengths) for lengths in asked]).tolist()
    assert ticks == [(n, done[-1]) for n in done]
    assert not model.encoder.training


def test_features_are_computed_once(cache: Path) -> None:
    tokens, first, second = random_tokens(10), Counted(), Counted()
    one = encode(first.encoder, tokens)
    two = encode(second.encoder, tokens)  # the same weights in another object
    assert first.calls > 0
    assert second.calls == 0
    np.testing.assert_array_equal(one.values, two.values)
    assert [p.suffix for p in cache.rglob("*") if p.is_file()] == [".safetensors"]


def test_kept_features_are_mapped_from_their_file(cache: Path) -> None:
    tokens = random_tokens(10)
    for found in (encode(Counted().encoder, tokens), encode(Counted().encoder, tokens)):
        assert not found.values.flags.writeable
        assert not found.values.flags.owndata
    (file,) = cache.rglob("*.safetensors")
    np.testing.assert_array_equal(load_file(file)["values"], found.values)


@pytest.mark.parametrize("change", ["weights", "heads", "precision", "tokens", "lengths"])
def test_whatever_changes_is_computed_anew(cache: Path, change: str) -> None:
    encode(Counted().encoder, ragged([[5, 6, 7], [8]]))
    other = {
        "weights": Counted(seed=1),
        "heads": Counted(heads=4),  # the same weights, used in another way
        "precision": Counted(precision="bfloat16"),
    }.get(change, Counted())
    rows = {"tokens": [[5, 6, 9], [8]], "lengths": [[5, 6], [7, 8]]}.get(change, [[5, 6, 7], [8]])
    found = encode(other.encoder, ragged(rows))
    assert other.calls > 0
    np.testing.assert_allclose(found.values, direct(other.encoder, ragged(rows)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("damage", [b"", b"not safetensors", None])
def test_a_broken_file_is_made_again(cache: Path, damage: bytes | None) -> None:
    tokens, model = random_tokens(5), Counted()
    expected = encode(model.encoder, tokens).values.copy()  # mapped from what is broken next
    (file,) = cache.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-9] if damage is None else damage)
    np.testing.assert_array_equal(encode(model.encoder, tokens).values, expected)
    assert model.calls == 2
    encode(model.encoder, tokens)
    assert model.calls == 2


def test_nothing_is_kept_where_that_is_not_wanted(cache: Path) -> None:
    encode(Counted().encoder, random_tokens(3), keep=False)
    assert not cache.exists()


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRICORD_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("TRICORD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tricord"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "tricord"


def table(**parts: Any) -> FeatureTable:
    ready = Ragged(np.ones((3, 4), dtype=np.float32), np.array([0, 1, 3]), 2)
    start: dict[str, Any] = {
        "name": "train",
        "ids": ("a$_$1", "a$_$2"),
        "sequences": {"text": ready},
        "scores": np.zeros((2, 2)),
    }
    return FeatureTable(**{**start, **parts})


TOKENS = ragged([[2, 5, 3], [2, 6, 7, 3]])
WORDS = ("我不好", "the film is good")


def source(bert: str, **options: Any) -> TextSource:
    return TextSource(TextConfig(**{"encoder": bert, "precision": "float32", **options}))


def test_ready_features_need_no_language_model() -> None:
    ready = table(tokens=TOKENS)
    assert TextSource(TextConfig()).encoder is None
    assert TextSource(TextConfig()).features(ready, "f") is ready.sequences["text"]


def test_tokens_without_features_need_a_language_model() -> None:
    empty = Ragged(np.zeros((3, 0), dtype=np.float32), np.array([0, 1, 3]), 2)
    with pytest.raises(ConfigError, match=r"file\.pkl: .* name the language model .*text\.encoder"):
        TextSource(TextConfig()).features(
            table(sequences={"text": empty}, tokens=TOKENS), "file.pkl"
        )


@pytest.mark.parametrize(("wanted", "raw"), [("auto", False), ("tokens", False), ("raw", True)])
def test_what_is_encoded(bert: str, cache: Path, wanted: str, raw: bool) -> None:
    text_source = source(bert, source=wanted, max_length=6)
    found = text_source.features(table(tokens=TOKENS, raw_text=WORDS), "f")
    expected = Ragged.from_padded(*tokenize(bert, WORDS, max_length=6)) if raw else TOKENS
    assert text_source.encoder is not None
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_allclose(
        found.values, direct(text_source.encoder, expected), rtol=0, atol=1e-5
    )


def test_words_where_there_are_no_tokens(bert: str, cache: Path) -> None:
    found = source(bert).tokens(table(raw_text=WORDS), "f")
    assert found.lengths.tolist() == [5, 6]
    assert found.values.dtype == np.int64


@pytest.mark.parametrize(
    ("wanted", "parts", "key"),
    [
        ("auto", {}, "'text_bert' or 'raw_text'"),
        ("tokens", {"raw_text": WORDS}, "'text_bert'"),
        ("raw", {"tokens": TOKENS}, "'raw_text'"),
    ],
)
def test_a_file_without_what_is_asked_for(
    bert: str, wanted: str, parts: dict[str, Any], key: str
) -> None:
    with pytest.raises(DataError, match=f"f.pkl: split 'train' has no key {key} for"):
        source(bert, source=wanted).tokens(table(**parts), "f.pkl")


@pytest.mark.parametrize("token", [VOCABULARY, -1])
def test_tokens_of_another_vocabulary_are_refused(bert: str, token: int) -> None:
    bad = table(tokens=ragged([[2, 5, 3], [2, token, 3]]))
    with pytest.raises(
        DataError,
        match=rf"f\.pkl: split 'train', key 'text_bert': token {token} found, .* knows 60",
    ):
        source(bert).tokens(bad, "f.pkl")


def test_the_largest_token_there_is_passes(bert: str) -> None:
    good = ragged([[2, 5, 3], [2, VOCABULARY - 1, 3]])
    assert source(bert).tokens(table(tokens=good), "f") is good


def test_sequences_longer_than_the_model_takes_are_refused(bert: str) -> None:
    long = dataclasses.replace(TOKENS, **vars(ragged([[5] * 3, [5] * 41], 41)))
    with pytest.raises(DataError, match=r"f\.pkl: .*'text_bert': 41 tokens found, .* 40"):
        source(bert).tokens(table(tokens=long), "f.pkl")


def test_words_that_make_too_many_tokens_are_refused(bert: str) -> None:
    long = table(raw_text=("我 " * 60, "好"))
    with pytest.raises(DataError, match=r"f\.pkl: .*'raw_text': 50 tokens found, .* 40"):
        source(bert, source="raw", max_length=50).tokens(long, "f.pkl")


def test_a_folder_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="folder '/no/such/folder' does not exist"):
        source("/no/such/folder")


def test_tokenize_is_the_same_function() -> None:
    assert text.tokenize is tokenize


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_precision_is_that_of_the_settings(bert: str, precision: str) -> None:
    encoder = source(bert, precision=precision).encoder
    assert encoder is not None
    assert encoder.in_bfloat16 == (precision == "bfloat16")


def test_no_tokens_at_all(cache: Path) -> None:
    model = Counted()
    for tokens in (ragged([[], []]), ragged([])):
        assert encode(model.encoder, tokens).values.shape == (0, WIDTH)
    assert model.calls == 0
