"""Speech recognition with models made here: what is heard, when, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2ForCTC

import tiny_bert
import tiny_wav2vec
from tiny_speech import make_ctc_folder, make_whisper_folder
from tricord.errors import ConfigError, DataError
from tricord.words.recognise import RATE, Recogniser, names, recogniser
from tricord.words.transcripts import Segment, Transcript
from waveforms import noise

SPEECH = noise(2 * RATE, 0.1)


@pytest.fixture(scope="module")
def ctc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ctc_folder(tmp_path_factory.mktemp("ctc"), always="A")


def test_a_letter_that_goes_on_is_one_word_from_begin_to_end(ctc: Path) -> None:
    found = recogniser(f"transformers:{ctc}")(SPEECH)
    assert found.text == "A"
    [segment] = found.segments
    assert segment.start == 0.0
    assert segment.end == pytest.approx(2.0, abs=0.021)  # 99 frames of 20 ms


def test_a_long_clip_is_heard_in_parts_without_a_seam(
    ctc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = []
    forward = Wav2Vec2ForCTC.forward

    def note(self: Wav2Vec2ForCTC, input_values: torch.Tensor, **others: Any) -> Any:
        lengths.append(input_values.shape[1])
        return forward(self, input_values, **others)

    monkeypatch.setattr(Wav2Vec2ForCTC, "forward", note)
    [segment] = recogniser(f"transformers:{ctc}")(np.tile(SPEECH, 20)).segments
    assert max(lengths) == 30 * RATE
    assert segment.text == "A"
    assert segment.end == pytest.approx(40.0, abs=0.05)


@pytest.mark.parametrize("always", ["<pad>", "|", "<unk>"])
def test_nothing_heard_is_no_words(tmp_path: Path, always: str) -> None:
    folder = make_ctc_folder(tmp_path, always)
    assert recogniser(f"transformers:{folder}")(SPEECH) == Transcript("")


def test_a_random_model_hears_the_same_twice(tmp_path: Path) -> None:
    name = f"transformers:{make_ctc_folder(tmp_path)}"
    first, second = recogniser(name), recogniser(name)
    assert first(SPEECH) == second(SPEECH) == first(SPEECH)
    assert set(first(SPEECH).text) <= set("ABCDEFGHI ")
    assert first(SPEECH).text
    assert first.describe() == second.describe() == json.loads(json.dumps(first.describe()))


def test_a_whisper_writes_segments_inside_the_clip(tmp_path: Path) -> None:
    """Its words are nonsense: that the way through it works is all that is tested."""
    recognise = recogniser(f"transformers:{make_whisper_folder(tmp_path)}")
    found = recognise(SPEECH)
    assert found.segments
    assert all(0 <= s.start <= s.end <= 2 for s in found.segments)
    assert "<|" not in found.text
    assert recognise(SPEECH) == found
    assert recognise.settings["kind"] == "whisper"


@pytest.mark.parametrize("n", [0, 1, 400, RATE // 10 - 1])
def test_too_short_for_a_word(ctc: Path, n: int) -> None:
    assert recogniser(f"transformers:{ctc}")(SPEECH[:n]) == Transcript("")


def test_the_shortest_is_heard(ctc: Path) -> None:
    assert recogniser(f"transformers:{ctc}")(SPEECH[: RATE // 10]).text == "A"


@pytest.mark.parametrize(
    "samples",
    [
        SPEECH.astype(np.float64),
        SPEECH[None],
        np.full(RATE, np.nan, dtype=np.float32),
    ],
)
def test_what_is_no_waveform_is_refused(ctc: Path, samples: Any) -> None:
    with pytest.raises(DataError, match=r"speech recogniser.*expected finite float32 samples"):
        recogniser(f"transformers:{ctc}")(samples)


def test_times_are_put_inside_the_clip() -> None:
    heard = [Segment(1.5, 9.0, " end "), Segment(-1.0, 0.5, "begin"), Segment(8.0, 7.0, "behind")]
    heard.append(Segment(1.0, 0.5, "turned"))
    found = Recogniser("test", 1, lambda samples: heard)(SPEECH)
    assert found.segments == (
        Segment(0.0, 0.5, "begin"),
        Segment(1.0, 1.0, "turned"),
        Segment(1.5, 2.0, "end"),
        Segment(2.0, 2.0, "behind"),
    )


@pytest.mark.parametrize("name", ["whisper", "transformers:", "faster-whisper:", "", "small"])
def test_an_unknown_name_lists_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match="faster-whisper:SIZE_OR_FOLDER, transformers:NAME"):
        recogniser(name)
    assert len(names()) == 2


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_no_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not on this machine.*folder.*--download") as caught:
        recogniser("transformers:nobody/no-such-model")
    assert "label.csv" in one_line(caught.value)
    with pytest.raises(ConfigError, match="does not exist"):
        recogniser(f"transformers:{tmp_path / 'none'}")


def test_a_model_of_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a bert, which recognises no speech"):
        recogniser(f"transformers:{tiny_bert.make_folder(tmp_path)}")


def test_an_encoder_without_a_head_is_refused(tmp_path: Path) -> None:
    """transformers would give it a random one, and the words would be random."""
    make_ctc_folder(tmp_path)
    tiny_wav2vec.make_folder(tmp_path)
    with pytest.raises(ConfigError, match=r"no weights 'lm_head\.bias'"):
        recogniser(f"transformers:{tmp_path}")


def test_another_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wants 8000 Hz, expected 16000 Hz"):
        recogniser(f"transformers:{make_ctc_folder(tmp_path, rate=8_000)}")


def test_weights_in_a_pickle_are_refused(tmp_path: Path) -> None:
    make_ctc_folder(tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        recogniser(f"transformers:{tmp_path}")


def test_other_weights_are_another_recogniser(tmp_path: Path) -> None:
    name = f"transformers:{make_ctc_folder(tmp_path)}"
    before = recogniser(name).settings
    weights = load_file(tmp_path / "model.safetensors")
    weights["lm_head.bias"][0] += 1
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    after = recogniser(name).settings
    assert [key for key in before if before[key] != after[key]] == ["model"]


# faster-whisper: a module of the same form stands in for it; no real model is tried.


@dataclass
class Heard:
    start: float
    end: float
    text: str


class FakeWhisper:
    def __init__(self, place: str, device: str, compute_type: str) -> None:
        if "broken" in (Path(place) / "model.bin").read_text():
            raise RuntimeError("unsupported model binary version\nmore")
        self.how = (device, compute_type)

    def transcribe(self, samples: Any, **how: Any) -> tuple[Any, object]:
        assert how == {"beam_size": 5, "temperature": 0.0, "vad_filter": True}
        assert self.how == ("cpu", "float32")
        heard = [Heard(0.0, 1.0, " I was"), Heard(1.0, 1.4, " "), Heard(1.5, 2.5, " happy")]
        return iter(heard), object()


@pytest.fixture
def faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in, with a model in a folder and in its cache as `small`."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.bin", "tokenizer.json"):
        (folder / name).write_text("{}")

    def download_model(size: str, local_files_only: bool) -> str:
        if size == "huge":
            raise ValueError("Invalid model size 'huge', expected one of: small")
        if size != "small":
            raise FileNotFoundError("no snapshot" if local_files_only else "no network\nmore")
        return str(folder)

    module = SimpleNamespace(
        WhisperModel=FakeWhisper, download_model=download_model, __spec__=SimpleNamespace()
    )
    monkeypatch.setitem(sys.modules, "faster_whisper", module)
    return folder


def test_faster_whisper(faster: Path) -> None:
    by_folder, by_size = (recogniser(f"faster-whisper:{model}") for model in (faster, "small"))
    expected = (Segment(0.0, 1.0, "I was"), Segment(1.5, 2.0, "happy"))
    assert by_folder(SPEECH) == by_size(SPEECH) == Transcript("I was happy", expected)
    assert by_folder.settings == by_size.settings
    assert by_folder.describe()["tools"].keys() == {"faster-whisper", "ctranslate2"}
    (faster / "model.bin").write_text("other")
    assert recogniser("faster-whisper:small").settings != by_size.settings


@pytest.mark.parametrize(
    ("model", "download", "message"),
    [
        ("medium", False, r"not on this machine: name a local folder.*--download.*label\.csv"),
        ("medium", True, "cannot be loaded: no network"),
        ("huge", True, "Invalid model size 'huge'"),
        ("./none", False, r"folder '\./none' does not exist"),
    ],
)
def test_faster_whisper_without_a_model(
    faster: Path, model: str, download: bool, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        recogniser(f"faster-whisper:{model}", download=download)
    one_line(caught.value)


def test_a_folder_that_is_not_whole_is_refused(faster: Path) -> None:
    """The library would fetch a tokenizer that is absent, unasked."""
    (faster / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"tokenizer\.json not found"):
        recogniser(f"faster-whisper:{faster}")


def test_a_broken_model_is_one_line(faster: Path) -> None:
    (faster / "model.bin").write_text("broken")
    with pytest.raises(ConfigError, match="unsupported model binary version") as caught:
        recogniser("faster-whisper:small")
    one_line(caught.value)


def test_without_the_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'tricord\[asr\]'.*label\.csv") as caught:
        recogniser("faster-whisper:small")
    one_line(caught.value)
