"""`transformers:NAME`: one vector a face from ViT, DINOv2, CLIP's vision part and their kin."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tricord.errors import ConfigError
from tricord.features.language import load_pretrained
from tricord.features.weights import fingerprint, load_encoder
from tricord.sight.extractor import FACE, Extractor, Image, Picture, Row
from tricord.sight.faces import Box, Detector, check, choose, opencv
from tricord.sight.images_prepare import Preparation, preparation

WHAT = "image encoder"
_ALLOW = "download=True"

MARGIN = 0.2  # of the face's longer side, added on each side: hair, chin and ears
BATCH = 16  # pictures a model sees at a time

# Stands for hidden patches while such a model is trained; many checkpoints leave it out.
_TRAINING_ONLY = ("embeddings.mask_token",)
_POOLER = ("pooler.", "head.")
_FIRST = ("cls_token", "class_embedding")  # names of the token that stands for the whole picture


def extractor(name: str, rate: float, face: str, *, download: bool = False) -> Extractor:
    """What a model by name or local folder makes of the chosen face, in float32.

    The vector is the model's own pooled output, or, where the weights of its pooling are missing,
    the last state of its first token. Pictures are resized, cut and scaled as its
    `preprocessor_config.json` says. Nothing is fetched unless ``download``, and only weights in
    safetensors format are read. Raises ConfigError where there is no such model, where weights are
    missing, or where it is not one that reads a picture.
    """
    check(face)
    tools = opencv(f"transformers:{name}")
    where = f"{WHAT} {name!r}"
    prepare = preparation(load_pretrained(_Settings, name, download, WHAT, _ALLOW), where)
    whole, missing = load_encoder(name, download, WHAT, _ALLOW)
    prefix, model = _vision(whole, where)
    absent = [key.removeprefix(prefix) for key in missing if key.startswith(prefix)]
    first = any(hasattr(getattr(model, "embeddings", None), name) for name in _FIRST)
    pooler = not any(key.startswith(_POOLER) for key in absent)
    spare = (*_TRAINING_ONLY, *(_POOLER if first else ()))
    needed = [key for key in absent if not key.startswith(spare)]
    if needed:  # they would be random numbers
        raise ConfigError(f"{where} cannot be loaded: it has no weights {prefix + needed[0]!r}")
    encode = _Encoder(model, pooler)
    width = _width(encode, prepare, where)
    unused = [
        k for k in model.state_dict() if k.startswith(spare if not pooler else _TRAINING_ONLY)
    ]
    digits = len(str(width - 1))
    return Extractor(
        name=f"transformers:{name}",
        version=1,
        rate=rate,
        columns=(FACE, *(f"state_{i:0{digits}}" for i in range(width))),
        measure=_Measure(encode, prepare, face),
        settings={
            "face": face,
            "detector": Detector.describe(),
            "margin": MARGIN,
            "kind": model.config.model_type,
            "vector": "pooled" if pooler else "first token",
            "prepare": prepare.describe(),
            "model": fingerprint(model, unused),
        },
        tools=tools
        | {library: version(library) for library in ("torch", "transformers", "pillow")},
    )


class _Settings:
    """A model's `preprocessor_config.json`, by transformers' way to find a file."""

    @staticmethod
    def from_pretrained(name: str, **options: Any) -> dict[str, Any]:
        from transformers.image_processing_base import ImageProcessingMixin

        settings, _ = ImageProcessingMixin.get_image_processor_dict(name, **options)
        found: dict[str, Any] = settings
        return found


def _vision(whole: Any, where: str) -> tuple[str, Any]:
    """(prefix of its weights, model) of the part that reads pictures."""
    if whole.main_input_name == "pixel_values":
        return "", whole
    part = getattr(whole, "vision_model", None)
    if part is None:
        raise ConfigError(f"{where} is a {whole.config.model_type}, which reads no picture")
    return "vision_model.", part


class _Encoder:
    """pooled: whether the model's own pooled output is meant, else the first token's last state."""

    def __init__(self, model: Any, pooled: bool) -> None:
        self.model = model
        self.pooled = pooled

    @torch.inference_mode()
    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 3, height, width) -> (B, width)."""
        output = self.model(pixel_values=torch.from_numpy(inputs))
        if self.pooled and getattr(output, "pooler_output", None) is None:
            raise ValueError("it has no pooled output")
        states = output.pooler_output if self.pooled else output.last_hidden_state[:, 0]
        vectors: NDArray[np.float32] = states.flatten(1).numpy()
        return vectors


def _width(encode: _Encoder, prepare: Preparation, where: str) -> int:
    """Numbers per picture, by trying one; twice, as some models hide random parts of it."""
    grey = np.zeros((1, 3, *prepare.crop), dtype=np.float32)
    try:
        vectors = encode(grey)
        again = encode(grey)
    except (ValueError, RuntimeError) as error:  # no vector, or another size
        reason = str(error).strip().splitlines()[0]
        size = "x".join(str(n) for n in prepare.crop)
        raise ConfigError(f"{where} makes no vector of a {size} picture: {reason}") from error
    if not np.array_equal(vectors, again):
        raise ConfigError(f"{where} makes another vector of the same picture each time")
    return int(vectors.shape[1])


class _Measure:
    def __init__(self, encode: _Encoder, prepare: Preparation, face: str) -> None:
        self.encode = encode
        self.prepare = prepare
        self.face = face

    def __call__(self, pictures: Iterator[Picture]) -> Iterator[Row | None]:
        inputs = self._inputs(pictures)
        while batch := list(islice(inputs, BATCH)):
            some = [values for values in batch if values is not None]
            vectors: Iterator[Row] = iter(self.encode(np.stack(some))) if some else iter(())
            yield from (None if values is None else next(vectors) for values in batch)

    def _inputs(self, pictures: Iterator[Picture]) -> Iterator[NDArray[np.float32] | None]:
        """The chosen face of each picture as (3, height, width), None where there is none."""
        find, previous = Detector(), None
        for picture in pictures:
            box = choose(find(picture.image), picture.image.shape[:2], self.face, previous)
            previous = box or previous
            yield None if box is None else self.prepare(square(picture.image, box))


def square(image: Image, box: Box) -> Image:
    """The face with its surroundings, as wide as high: (S, S, 3).

    Beyond the picture its border goes on.
    """
    side = max(1, round(max(box.w, box.h) * (1 + 2 * MARGIN)))
    left = round(box.x + box.w / 2 - side / 2)
    top = round(box.y + box.h / 2 - side / 2)
    rows = np.clip(np.arange(top, top + side), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side), 0, image.shape[1] - 1)
    return np.ascontiguousarray(image[rows][:, columns])
