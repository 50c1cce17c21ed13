"""A frozen causal language model that reads embeddings and writes a score as a decimal string.

B clips, L positions, D numbers a position, V words in the vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from tricord.config import Precision
from tricord.data.schema import Ragged
from tricord.errors import ConfigError
from tricord.features.language import load_pretrained, multiplies_bfloat16
from tricord.labels import LabelScheme
from tricord.types import inside

TENTHS = 10  # answers have one decimal
_DECIMAL = re.compile(r"[+-]?\d+(\.\d*)?")
# dashes that a model writes for a minus, the Chinese "one" among them, and marks to leave out
_CLEAN = str.maketrans(dict.fromkeys("－−—–一", "-") | dict.fromkeys("：:／/（）()", ""))


class Reader:
    """A causal language model and its tokenizer, frozen.

    Not a module: whoever holds it neither saves nor counts its weights. Any decoder will do that
    heeds an attention mask and positions.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, name: str) -> None:
        """Raises ConfigError where the tokenizer has no end token."""
        self.model: Any = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        self.name = name
        if tokenizer.eos_token_id is None:
            raise ConfigError(f"reader {name!r}: its tokenizer has no end token")
        self.end = int(tokenizer.eos_token_id)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        download: bool = False,
        precision: Precision = "auto",
        device: torch.device | str = "cpu",
    ) -> Self:
        """Weights in safetensors format, from a folder or the local cache; no program of theirs.

        precision: of weights and products; "auto" is bfloat16 where the device multiplies it.
        Nothing is fetched unless ``download``. Raises ConfigError where there is no such model.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        device = torch.device(device)
        low = precision == "bfloat16" or (precision == "auto" and multiplies_bfloat16(device))
        dtype = torch.bfloat16 if low else torch.float32
        tokenizer = load_pretrained(AutoTokenizer, name, download, "reader")
        model = load_pretrained(
            AutoModelForCausalLM, name, download, "reader", use_safetensors=True, dtype=dtype
        )
        return cls(model, tokenizer, name).to(device)

    @property
    def width(self) -> int:
        """D: numbers per token embedding."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    def to(self, device: torch.device) -> Self:
        """The same reader with its weights there."""
        self.model.to(device)
        return self

    def words(self, texts: Sequence[str], max_length: int | None = None) -> list[list[int]]:
        """Tokens of each text and nothing around them, the first ``max_length``."""
        options = {} if max_length is None else {"truncation": True, "max_length": max_length}
        rows: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=False, **options
        ).input_ids
        return rows

    def special(self, token: str) -> int:
        """The number of a token by name; raises ConfigError where the tokenizer has none."""
        number = self.tokenizer.get_vocab().get(token)
        if number is None:
            raise ConfigError(
                f"reader {self.name!r}: its tokenizer has no token {token!r}; null takes its own"
            )
        return int(number)

    def begin(self, token: str | None) -> list[int]:
        """This token, or what the tokenizer itself begins a text with."""
        if token is not None:
            return [self.special(token)]
        return list(self.tokenizer("").input_ids)

    def pad(self, token: str | None) -> int:
        """This token's number, or the tokenizer's own padding, or its end token."""
        if token is not None:
            return self.special(token)
        own = self.tokenizer.pad_token_id
        return self.end if own is None else int(own)

    def embed(self, tokens: Tensor) -> Tensor:
        """(..., ) tokens -> (..., D) from the reader's own table."""
        found: Tensor = self.model.get_input_embeddings()(tokens)
        return found

    def logits(self, x: Tensor, real: Tensor, last: int) -> Tensor:
        """(B, L, D) embeddings, (B, L) bool -> (B, last, V) float32 of the last positions."""
        out = self.model(
            inputs_embeds=x,
            attention_mask=real.long(),
            position_ids=_positions(real),
            logits_to_keep=last,
            use_cache=False,
        )
        found: Tensor = out.logits[:, -last:].float()
        return found

    @torch.no_grad()
    def write(self, x: Tensor, real: Tensor, count: int) -> list[str]:
        """Continue (B, L, D) embeddings, (B, L) bool, by up to ``count`` tokens each, greedily.

        The prompt is read once and its keys and values are kept.
        """
        places = _positions(real)
        given: dict[str, Any] = {"inputs_embeds": x, "position_ids": places}
        written: list[Tensor] = []
        for _ in range(count):
            out = self.model(**given, attention_mask=real.long(), use_cache=True, logits_to_keep=1)
            written.append(out.logits[:, -1].argmax(dim=-1))
            places = places[:, -1:] + 1
            real = torch.cat([real, torch.ones_like(real[:, :1])], dim=1)
            given = {
                "input_ids": written[-1][:, None],
                "position_ids": places,
                "past_key_values": out.past_key_values,
            }
        tokens = torch.stack(written, dim=1)
        after_end = (tokens == self.end).cumsum(dim=1) > 0
        texts: list[str] = self.tokenizer.batch_decode(
            tokens.masked_fill(after_end, self.end).tolist(), skip_special_tokens=True
        )
        return texts


def _positions(real: Tensor) -> Tensor:
    """(B, L) bool -> (B, L): numbers of the real positions, as if the others did not exist."""
    return (real.cumsum(dim=1) - 1).clamp(min=0)


def answer(score: float, plus: bool) -> str:
    """A score with one decimal; plus: a sign in front of 0 and above too."""
    rounded = round(score, 1) + 0.0  # no negative zero
    return f"{rounded:{'+' if plus else ''}.1f}"


def read_answers(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """(B,) scores and (B,) bool: whether a score could be read; where not it is 0."""
    found = [text.translate(_CLEAN).strip() for text in texts]
    readable = [_DECIMAL.fullmatch(text) is not None for text in found]
    scores = [float(text) if ok else 0.0 for text, ok in zip(found, readable, strict=True)]
    return torch.tensor(scores), torch.tensor(readable)


class Answers:
    """The tokens of every answer within the labels' range, one for each tenth."""

    def __init__(
        self, reader: Reader, labels: LabelScheme, *, plus: bool, room: int, pad: int | None
    ) -> None:
        """room: tokens that the reader may write.

        pad: what short answers are filled up with in front, which counts in the loss as released;
        None ends them with the end token instead, and what follows does not count.
        Raises ConfigError where an answer has no room.
        """
        self.first, last = round(labels.low * TENTHS), round(labels.high * TENTHS)
        texts = [answer(tenth / TENTHS, plus) for tenth in range(self.first, last + 1)]
        rows = reader.words(texts)
        most, text = max((len(row), text) for row, text in zip(rows, texts, strict=True))
        if most > room:
            raise ConfigError(
                f"new_tokens: {room} given, but reader {reader.name!r} writes {text!r} with {most}"
            )
        self.in_front = pad is not None
        if pad is None:
            rows = [[*row, reader.end][:room] for row in rows]
        self.lengths = torch.tensor([len(row) for row in rows])
        table = [torch.tensor(row) for row in rows]
        self.tokens = pad_sequence(
            table,
            batch_first=True,
            padding_value=reader.end if pad is None else pad,
            padding_side="left" if self.in_front else "right",
        )

    def of(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) scores -> (B, n) tokens, and (B, n) bool: whether they count in the loss.

        Scores are rounded to tenths; n: of the longest of these answers.
        """
        rows = (scores * TENTHS).round().long() - self.first
        rows = rows.clamp(0, len(self.lengths) - 1).cpu()
        tokens, lengths = self.tokens[rows], self.lengths[rows]
        longest = int(lengths.max())
        if self.in_front:
            tokens = tokens[:, -longest:]
            counted = torch.ones_like(tokens, dtype=torch.bool)
        else:
            tokens, counted = tokens[:, :longest], inside(lengths, longest)
        return tokens.to(scores.device), counted.to(scores.device)


def ragged(rows: Sequence[Sequence[int]]) -> Ragged:
    """Tokens of N texts, back to back."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    values = np.array([token for row in rows for token in row], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(values, offsets, int(lengths.max(initial=1)))
