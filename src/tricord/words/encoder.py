"""Text extractors: the last hidden states of a frozen language model, token by token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tricord.errors import ConfigError
from tricord.features.language import TextEncoder, load_pretrained, load_tokenizer
from tricord.track import Track
from tricord.types import Frames

WHAT = "text encoder"
ALLOW = "--download (download=True)"
SHORTEST = 3  # tokens: a word between the first and the last special one
# Settings that change what the same weights make of a token. The whole of them is no measure: each
# version of transformers adds and drops some.
_DECISIVE = ("hidden_act", "is_decoder", "layer_norm_eps", "num_attention_heads", "pad_token_id")
_POOLER = "pooler."  # makes one vector of a text, which is not used; many checkpoints lack it
# Capitals, accents, Chinese, numbers, joined letters, signs: where tokenizers differ.
_PROBE = "The Café is NOT good - don't! 我很高兴，吗？ Ça ÀÉ 3.5 \ufb01ne\tnaïve İ #tag"


@dataclass(frozen=True)
class Extractor:
    """A text to a `Track`, always the same way: a row per token, in float32.

    The tokenizer's special tokens have rows, as in `features.text` ([CLS] and [SEP] of a BERT).

    name, version: of the extractor; the version changes whenever its numbers do.
    columns: names of the numbers of a token.
    max_length: tokens that are kept, the special ones included.
    settings: what else decides the numbers, as plain JSON values.
    tools: the libraries behind it and their versions.
    """

    name: str
    version: int
    columns: tuple[str, ...]
    max_length: int
    encoder: TextEncoder = field(repr=False)
    tokenizer: Any = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, text: str) -> Track:
        """The states of a text; no rows where it has no words.

        When a token is said is not known: the times are 0, 1, 2, ...
        """
        values = self._states(self.tokens(text))
        return Track(values, np.arange(len(values), dtype=np.float64), self.columns)

    def tokens(self, text: str) -> NDArray[np.int64]:
        """(L,) the ids behind the rows; of no length where there is nothing but special tokens."""
        ids = self.tokenizer(text, truncation=True, max_length=self.max_length)["input_ids"]
        special = {*self.tokenizer.all_special_ids} - {self.tokenizer.unk_token_id}
        return np.array([] if special.issuperset(ids) else ids, dtype=np.int64)

    def cut(self, text: str) -> int:
        """How many tokens of a text are beyond `max_length`, and left out."""
        return max(0, len(self.tokenizer(text, verbose=False)["input_ids"]) - self.max_length)

    @torch.no_grad()
    def _states(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        frames = Frames(torch.from_numpy(tokens), torch.tensor([len(tokens)]))
        states: NDArray[np.float32] = self.encoder(frames).values.numpy()
        return states

    def describe(self) -> dict[str, Any]:
        """All that decides the numbers, as plain JSON values.

        Two that agree here are equal up to the rounding of the processor.
        """
        return {
            "name": self.name,
            "version": self.version,
            "columns": list(self.columns),
            "max_length": self.max_length,
            "settings": dict(self.settings),
            "tools": dict(self.tools),
        }


def extractor(name: str, model: str, *, max_length: int, download: bool = False) -> Extractor:
    """The extractor `name` of a model by name or local folder, in evaluation mode, float32.

    Nothing is fetched unless ``download``, and only weights in safetensors format are read. Raises
    ConfigError where there is no such model, it reads no text or takes no text of `max_length`.
    """
    encoder, model_type = _encoder(model, download)
    tokenizer = load_tokenizer(model, download, what=WHAT, allow=ALLOW)
    if len(tokenizer) > encoder.vocabulary:
        raise ConfigError(
            f"{WHAT} {model!r} knows {encoder.vocabulary} tokens, but the tokenizer beside it has "
            f"{len(tokenizer)}: they are not of one model"
        )
    _check_length(max_length, model, encoder, tokenizer)
    width = encoder.width
    return Extractor(
        name=name,
        version=1,
        columns=tuple(f"state_{i:0{len(str(width - 1))}}" for i in range(width)),
        max_length=max_length,
        encoder=encoder,
        tokenizer=tokenizer,
        settings={
            "kind": model_type,
            "layer": "last",
            "precision": "float32",
            "special_tokens": "kept",
            "model": model_fingerprint(encoder.model),
            "tokenizer": tokenizer_fingerprint(tokenizer),
        },
        tools={library: version(library) for library in ("torch", "transformers", "tokenizers")},
    )


def _encoder(name: str, download: bool) -> tuple[TextEncoder, str]:
    """The model, and of what kind it is."""
    from transformers import AutoModel

    model, loaded = load_pretrained(
        AutoModel,
        name,
        download,
        WHAT,
        ALLOW,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
    )
    config = model.config
    sizes = [getattr(config, size, None) for size in ("hidden_size", "vocab_size")]
    if model.main_input_name != "input_ids" or config.is_encoder_decoder or None in sizes:
        raise ConfigError(f"{WHAT} {name!r} is a {config.model_type}, which encodes no text")
    absent = sorted(key for key in loaded["missing_keys"] if not key.startswith(_POOLER))
    if absent:  # they would be random numbers
        raise ConfigError(f"{WHAT} {name!r} cannot be loaded: it has no weights {absent[0]!r}")
    return TextEncoder(model, name).eval(), config.model_type


def _check_length(max_length: int, name: str, encoder: TextEncoder, tokenizer: Any) -> None:
    # Either may be absent, and stand for any length; a RoBERTa's own counts two places too many.
    own = getattr(encoder.model.config, "max_position_embeddings", None) or 0
    longest = min(own if own > 0 else tokenizer.model_max_length, tokenizer.model_max_length)
    if not SHORTEST <= max_length <= longest:
        raise ConfigError(
            f"{WHAT} {name!r}: max_length {max_length} found, expected {SHORTEST} to {longest}"
        )


def model_fingerprint(model: Any) -> str:
    """SHA-256 of the model's weights, and of the settings that decide what becomes of a token."""
    settings = {key: getattr(model.config, key, None) or None for key in _DECISIVE}
    settings["model_type"] = model.config.model_type
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, weight in sorted(model.state_dict().items()):
        if not name.startswith(_POOLER):
            digest.update(name.encode())
            digest.update(weight.contiguous().numpy().data)
    return digest.hexdigest()


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """SHA-256 of the vocabulary, and of what becomes of a text that tells tokenizers apart.

    Unlike the settings as they are written, it is the same in every version of the library.
    """
    vocabulary = sorted(tokenizer.get_vocab().items())
    probe = list(tokenizer(_PROBE)["input_ids"])
    return hashlib.sha256(json.dumps([vocabulary, probe]).encode()).hexdigest()
