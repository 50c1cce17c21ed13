"""A random causal language model small enough for tests, with a tokenizer, as a local folder."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from tricord.data.schema import Dataset, FeatureTable

WIDTH = 64  # of the tiny presets
SPECIAL = ["<unk>", "<s>", "</s>", "<|endoftext|>", "<|im_start|>"]
CHARACTERS = [*"0123456789.+-", *string.ascii_letters, *" <>/[],;\n我你好不高兴", "ok"]
ALPHABET = string.ascii_lowercase
WORDS = ("fine", "not ok", "", "so so bad", "ok ok", "a film")
KINDS: Mapping[str, tuple[Any, Any]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
}


def make_tokenizer(begins: bool = True) -> PreTrainedTokenizerFast:
    """One token a character, but "ok" as one; begins: <s> in front where special tokens are on."""
    numbers = {token: n for n, token in enumerate([*SPECIAL, *CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("ok|[\\s\\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", numbers["<s>"])]
        )
    options: dict[str, Any] = {"unk_token": "<unk>", "eos_token": "</s>"}
    if begins:
        options["bos_token"] = "<s>"
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, additional_special_tokens=SPECIAL[3:], **options
    )


def make_folder(
    folder: Path, kind: str = "llama", *, width: int = WIDTH, begins: bool = True, seed: int = 0
) -> Path:
    """Weights in safetensors format, settings and tokenizer."""
    make_config, make_model = KINDS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make_model(
            make_config(
                vocab_size=len(SPECIAL) + len(CHARACTERS),
                hidden_size=width,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=512,
                initializer_range=0.3,  # so that what it reads makes a difference
            )
        )
    model.save_pretrained(folder)
    make_tokenizer(begins).save_pretrained(folder)
    return folder


def teach(folder: Path, steps: int = 100) -> Path:
    """Train the Llama in this folder to write a score for a letter: "<bbbbxyz>-0.8"."""
    tokenizer = make_tokenizer()
    model = LlamaForCausalLM.from_pretrained(folder).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        letters = torch.randint(11, (16,), generator=generator).tolist()
        noise = torch.randint(11, 26, (16, 3), generator=generator).tolist()
        texts = [
            f"<{ALPHABET[n] * 4}{''.join(ALPHABET[c] for c in row)}>{(n - 5) / 5:+.1f}"
            for n, row in zip(letters, noise, strict=True)
        ]
        tokens = torch.tensor(tokenizer(texts).input_ids)
        labels = tokens.clone()
        labels[:, :-4] = -100
        model(input_ids=tokens, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def with_words(table: FeatureTable) -> FeatureTable:
    """The same clips, each with a few words."""
    return replace(table, raw_text=tuple(WORDS[i % len(WORDS)] for i in range(len(table))))


def with_words_in_all(data: Dataset) -> Dataset:
    """The same data set, each clip of all splits with a few words."""
    return replace(data, splits={name: with_words(t) for name, t in data.splits.items()})
