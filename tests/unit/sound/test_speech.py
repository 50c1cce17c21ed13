"""Speech encoders through transformers: their own preparation, times, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, Wav2Vec2FeatureExtractor

from tiny_wav2vec import WIDTH, make_folder
from tricord.errors import ConfigError
from tricord.sound import get
from tricord.sound.speech import receptive_field
from waveforms import noise

RATE = 16_000


@pytest.mark.parametrize(
    ("kind", "normalised"),
    [("wav2vec2", True), ("wav2vec2", False), ("hubert", True), ("wavlm", False)],
)
def test_it_is_the_models_last_hidden_state(tmp_path: Path, kind: str, normalised: bool) -> None:
    folder = make_folder(tmp_path, kind, normalised=normalised)
    y = noise(RATE // 2) + np.float32(0.05)
    prepare = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    inputs = prepare(y, sampling_rate=RATE, return_tensors="pt").input_values
    with torch.no_grad():
        expected = AutoModel.from_pretrained(folder).eval()(inputs).last_hidden_state[0]
    extractor = get(f"transformers:{folder}")
    track = extractor(y)
    assert track.values.shape == (24, WIDTH)
    np.testing.assert_allclose(track.values, expected.numpy(), atol=1e-5)
    assert extractor.settings["kind"] == kind
    assert extractor.settings["normalised"] is normalised


def test_a_frame_is_at_the_middle_of_what_its_convolutions_see(speech_folder: Path) -> None:
    extractor = get(f"transformers:{speech_folder}")
    assert (extractor.hop, extractor.shortest) == (320, 400)
    see = AutoModel.from_pretrained(speech_folder).eval().feature_extractor
    y = torch.from_numpy(noise(4_000))
    click = y.clone()
    click[2_010] += 0.9
    with torch.no_grad():
        changed = (see(click[None]) != see(y[None])).any(dim=1)[0].numpy()
    times = extractor(y.numpy()).times
    np.testing.assert_array_equal(changed, np.abs(times * RATE - 2_010.5) < 200)


def test_receptive_field_by_hand() -> None:
    assert receptive_field([3, 2], [2, 3]) == (5, 6)  # 1 + (3 - 1) * 1 + (2 - 1) * 2


def test_a_louder_copy_is_the_same_to_a_model_that_scales_it(speech_folder: Path) -> None:
    extractor, y = get(f"transformers:{speech_folder}"), noise(4_000)
    np.testing.assert_allclose(extractor(3 * y).values, extractor(y).values, atol=1e-3)


def test_other_weights_are_another_extractor(speech_folder: Path, tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    same, changed = (get(f"transformers:{folder}").settings for _ in range(2))
    assert same == changed == get(f"transformers:{speech_folder}").settings
    weights = load_file(folder / "model.safetensors")
    weights["feature_projection.projection.bias"][0] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert get(f"transformers:{folder}").settings != same


def test_a_model_without_some_weights_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["feature_projection.projection.bias"], weights["masked_spec_embed"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"no weights 'feature_projection\.projection\.bias'"):
        get(f"transformers:{folder}")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not on this machine.*download=True"):
        get("transformers:nobody/no-such-model")
    with pytest.raises(ConfigError, match="does not exist"):
        get(f"transformers:{tmp_path / 'none'}")
    folder = make_folder(tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match=r"preprocessor_config\.json"):
        get(f"transformers:{folder}")


def test_an_encoder_of_words_is_refused(tmp_path: Path) -> None:
    settings = {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2}
    folder = make_folder(tmp_path)
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ConfigError, match="audio encoder"):
        get(f"transformers:{folder}")
