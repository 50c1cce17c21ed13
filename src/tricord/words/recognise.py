"""Speech recognition: the words of a waveform, by a model that the user names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord.errors import ConfigError, DataError
from tricord.words.transcripts import Segment, Transcript, of_segments

Waveform = NDArray[np.float32]

RATE = 16_000  # samples a second, of every model that is supported
SHORTEST = RATE // 10  # too short for a word, and for the window of some models
WHAT = "speech recogniser"
_INSTEAD = "or write the words into the column 'text' of label.csv"
_ALLOW = f"--download (download=True), {_INSTEAD}"
_CHUNK, _STRIDE = 30.0, 5.0  # seconds at once of a CTC model, and of both neighbours seen with it
# Stands for hidden frames while such a model is trained; many checkpoints leave it out.
_TRAINING_ONLY = "masked_spec_embed"
_FASTER, _TRANSFORMERS = "faster-whisper:", "transformers:"
_FASTER_FILES = ("config.json", "model.bin", "tokenizer.json")


@dataclass(frozen=True)
class Recogniser:
    """A waveform to its words, the same way each time.

    name, version: of the recogniser; the version changes whenever its way of working does.
    settings: what else decides the words, as plain JSON values.
    tools: the libraries behind it and their versions.
    listen: (n,) float32 with n >= SHORTEST -> segments in any order.
    """

    name: str
    version: int
    listen: Callable[[Waveform], list[Segment]] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, samples: Waveform) -> Transcript:
        """The words of (n,) float32 samples at 16 kHz, full scale 1; none in less than 0.1 s.

        Raises DataError where this is no such waveform.
        """
        if samples.ndim != 1 or samples.dtype != np.float32 or not np.isfinite(samples).all():
            raise DataError(
                f"{WHAT} {self.name!r}: found {samples.dtype} of shape {samples.shape}, expected "
                f"finite float32 samples of one channel at {RATE} Hz"
            )
        if len(samples) < SHORTEST:
            return Transcript("")
        duration = len(samples) / RATE
        return of_segments([_inside(segment, duration) for segment in self.listen(samples)])

    def describe(self) -> dict[str, Any]:
        """All that decides the words, as plain JSON values."""
        return {
            "name": self.name,
            "version": self.version,
            "settings": dict(self.settings),
            "tools": dict(self.tools),
        }


def _inside(segment: Segment, duration: float) -> Segment:
    """With times inside the clip: models may say that a word goes on behind its end."""
    start = min(max(segment.start, 0.0), duration)
    return Segment(start, min(max(segment.end, start), duration), segment.text)


def names() -> tuple[str, ...]:
    """Names that `recogniser` knows."""
    return (f"{_FASTER}SIZE_OR_FOLDER", f"{_TRANSFORMERS}NAME_OR_FOLDER")


def recogniser(name: str, *, download: bool = False) -> Recogniser:
    """The recogniser of this name; runs on the processor, in float32, without sampling.

    download: allow fetching a model that is not on this machine. Raises ConfigError for an unknown
    name, a library that is not installed, and a model that cannot be loaded or recognises nothing.
    """
    for prefix, make in ((_FASTER, _faster_whisper), (_TRANSFORMERS, _transformers)):
        model = name.removeprefix(prefix)
        if model not in ("", name):
            return make(name, model, download)
    raise ConfigError(f"no {WHAT} {name!r}: there are {', '.join(names())}")


def _transformers(name: str, model_name: str, download: bool) -> Recogniser:
    """Models with a CTC head (wav2vec 2.0, HuBERT, ...) and those that write (Whisper, ...)."""
    import torch
    from transformers import (
        AutoConfig,
        AutoFeatureExtractor,
        AutoModelForCTC,
        AutoModelForSpeechSeq2Seq,
        pipeline,
    )

    from tricord.features.language import load_pretrained
    from tricord.words.encoder import model_fingerprint, tokenizer_fingerprint

    kind, has_head = _kind(load_pretrained(AutoConfig, model_name, download, WHAT, _ALLOW), name)
    model, loaded = load_pretrained(
        AutoModelForCTC if has_head else AutoModelForSpeechSeq2Seq,
        model_name,
        download,
        WHAT,
        _ALLOW,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
    )
    absent = sorted(key for key in loaded["missing_keys"] if not key.endswith(_TRAINING_ONLY))
    if absent:  # they would be random numbers
        raise ConfigError(f"{WHAT} {name!r} cannot be loaded: it has no weights {absent[0]!r}")
    prepare = load_pretrained(AutoFeatureExtractor, model_name, download, WHAT, _ALLOW)
    if prepare.sampling_rate != RATE:
        raise ConfigError(f"{WHAT} {name!r} wants {prepare.sampling_rate} Hz, expected {RATE} Hz")
    tokenizer = _tokenizer(model_name, download)
    untyped: Any = pipeline
    run = untyped(
        "automatic-speech-recognition",
        model=model.eval(),
        tokenizer=tokenizer,
        feature_extractor=prepare,
        device="cpu",
    )
    how: dict[str, Any] = {"return_timestamps": True}
    if has_head:
        how = {"return_timestamps": "word", "chunk_length_s": _CHUNK, "stride_length_s": _STRIDE}

    def listen(samples: Waveform) -> list[Segment]:
        found = run({"raw": samples, "sampling_rate": RATE}, **how)
        end = len(samples) / RATE
        return [_segment(chunk, tokenizer, end) for chunk in found["chunks"]]

    return Recogniser(
        name=name,
        version=1,
        listen=listen,
        settings={
            "kind": kind,
            "model": model_fingerprint(model),
            "tokenizer": tokenizer_fingerprint(tokenizer),
            **how,
        },
        tools={library: version(library) for library in ("torch", "transformers")},
    )


def _kind(config: Any, name: str) -> tuple[str, bool]:
    """What kind of model it is, and whether it has a CTC head; it writes otherwise."""
    from transformers import MODEL_FOR_CTC_MAPPING, MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING

    has_head = type(config) in MODEL_FOR_CTC_MAPPING
    if not has_head and type(config) not in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING:
        raise ConfigError(f"{WHAT} {name!r} is a {config.model_type}, which recognises no speech")
    return str(config.model_type), has_head


def _tokenizer(name: str, download: bool) -> Any:
    from tricord.features.language import load_tokenizer

    return load_tokenizer(name, download, what=WHAT, allow=_ALLOW)


def _segment(chunk: Mapping[str, Any], tokenizer: Any, last: float) -> Segment:
    """One of the pipeline's chunks; the last of a clip may have no end."""
    text = str(chunk["text"])
    for special in tokenizer.all_special_tokens:
        text = text.replace(special, " ")
    start, end = chunk["timestamp"]
    return Segment(
        0.0 if start is None else float(start), last if end is None else float(end), text
    )


def _faster_whisper(name: str, model_name: str, download: bool) -> Recogniser:
    """A Whisper in CTranslate2's format; silence is left out before, as Whisper invents words."""
    if importlib.util.find_spec("faster_whisper") is None:
        raise ConfigError(
            f"{WHAT} {name!r} needs faster_whisper, which is not installed: "
            f"pip install 'tricord[asr]', {_INSTEAD}"
        )
    library: Any = importlib.import_module("faster_whisper")
    folder = _faster_folder(library, name, model_name, download)
    how = {"beam_size": 5, "temperature": 0.0, "vad_filter": True}
    try:
        model = library.WhisperModel(str(folder), device="cpu", compute_type="float32")
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{WHAT} {name!r} cannot be loaded: {_first_line(error)}") from error

    def listen(samples: Waveform) -> list[Segment]:
        found, _ = model.transcribe(samples, **how)
        return [Segment(float(s.start), float(s.end), s.text) for s in found]

    with (folder / "model.bin").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Recogniser(
        name=name,
        version=1,
        listen=listen,
        settings={"kind": "faster-whisper", "model": digest, "compute_type": "float32", **how},
        tools=_versions("faster-whisper", "ctranslate2"),
    )


def _faster_folder(library: Any, name: str, model_name: str, download: bool) -> Path:
    """The folder with the model. Every file has to be there: the library fetches what is absent."""
    folder = Path(model_name).expanduser()
    if not folder.is_dir():
        if model_name.startswith((".", "/", "~")):
            raise ConfigError(f"{WHAT}: folder {model_name!r} does not exist")
        try:
            folder = Path(library.download_model(model_name, local_files_only=not download))
        except (OSError, ValueError) as error:
            hint = f"name a local folder, or allow fetching it with {_ALLOW}"
            reason = _first_line(error) if download else f"it is not on this machine: {hint}"
            raise ConfigError(f"{WHAT} {name!r} cannot be loaded: {reason}") from error
    for file in _FASTER_FILES:
        if not (folder / file).is_file():
            raise ConfigError(f"{WHAT} {name!r}: {folder / file} not found, expected a model")
    return folder


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
