"""A random BERT small enough for tests, with a tokenizer, as a local folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import BertConfig, BertModel

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*"我你他不好很高兴生气了的吗", "the", "film", "is", "good", "bad", "not", "##ly"]
WIDTH, VOCABULARY = 16, 60


def make_model(seed: int = 0, heads: int = 2) -> BertModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=heads,
            intermediate_size=24,
            max_position_embeddings=40,
        )
        return BertModel(config).eval()


def make_folder(folder: Path, seed: int = 0, heads: int = 2) -> Path:
    """Weights in safetensors format, settings, and a word-piece vocabulary."""
    make_model(seed, heads).save_pretrained(folder)
    vocabulary = [*SPECIAL, *WORDS]
    vocabulary += [f"[unused{i}]" for i in range(VOCABULARY - len(vocabulary))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
