"""Speech recognisers small enough for tests, as local folders."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AddedToken,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHI"]


def make_ctc_folder(folder: Path, always: str | None = None, rate: int = 16_000) -> Path:
    """A wav2vec 2.0 with a CTC head; random, or one that hears one letter in every frame."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Wav2Vec2Config(
            vocab_size=len(LETTERS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            conv_dim=[8] * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
            feat_extract_norm="layer",
        )
        model = Wav2Vec2ForCTC(config)
    if always is not None:
        torch.nn.init.zeros_(model.lm_head.weight)
        torch.nn.init.zeros_(model.lm_head.bias)
        with torch.no_grad():
            model.lm_head.bias[LETTERS.index(always)] = 1.0
    model.save_pretrained(folder)
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({t: i for i, t in enumerate(LETTERS)}), encoding="utf-8")
    Wav2Vec2CTCTokenizer(str(vocabulary)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, sampling_rate=rate).save_pretrained(folder)
    return folder


def make_whisper_folder(folder: Path) -> Path:
    """A random Whisper of letters; what it writes is nonsense, and where it is, too."""
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>"]
    special += ["<|transcribe|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    times = [f"<|{i * 0.02:.2f}|>" for i in range(1501)]
    vocabulary = {t: i for i, t in enumerate([*sorted(ByteLevel.alphabet()), *special, *times])}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    tokenizer.add_tokens([AddedToken(t, special=False) for t in times])
    tokenizer.save_pretrained(folder)
    end = vocabulary[special[0]]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = WhisperConfig(
            vocab_size=len(vocabulary),
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            max_target_positions=64,
            pad_token_id=end,
            bos_token_id=end,
            eos_token_id=end,
            decoder_start_token_id=end + 1,
            suppress_tokens=None,
            begin_suppress_tokens=None,
        )
        model = WhisperForConditionalGeneration(config)
    how = model.generation_config
    how._from_model_config = False  # or what follows would not be read again
    how.max_length = 20
    how.is_multilingual = True
    how.lang_to_id = {"<|en|>": vocabulary["<|en|>"]}
    how.task_to_id = {t: vocabulary[f"<|{t}|>"] for t in ("transcribe", "translate")}
    how.no_timestamps_token_id = vocabulary["<|notimestamps|>"]
    how.prev_sot_token_id = vocabulary["<|startofprev|>"]
    how.max_initial_timestamp_index = 50
    model.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder
