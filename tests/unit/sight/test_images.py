"""Image encoders through transformers: preparation, vectors, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from drawn_clips import face
from tiny_vit import SIZE, WIDTH, make_folder, write_prepare
from tricord.errors import ConfigError
from tricord.sight import images
from tricord.sight.extractor import Extractor
from tricord.sight.faces import Box, Detector
from tricord.sight.images_prepare import preparation

Image = NDArray[np.uint8]

PLAIN = {
    "size": {"height": 2, "width": 2},
    "resample": 0,
    "rescale_factor": 0.5,
    "image_mean": [1, 2, 3],
    "image_std": [1, 2, 4],
}


@dataclass(frozen=True)
class Still:
    time: float
    image: Image


def get(folder: Path) -> Extractor:
    return images.extractor(str(folder), 5.0, "largest")


def stills(*pictures: Image) -> list[Still]:
    return [Still(i / 5, picture) for i, picture in enumerate(pictures)]


def drawn(smile: float) -> Image:
    return face(smile, 0.2, 320, 240)


NOBODY: Image = np.full((240, 320, 3), 90, dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("vit"))


@pytest.mark.parametrize("kind", ["vit", "dinov2", "clip_vision_model", "clip"])
def test_it_is_the_models_own_vector_of_the_face(tmp_path: Path, kind: str) -> None:
    folder = make_folder(tmp_path, kind)
    extractor = get(folder)
    sight = extractor(stills(drawn(0)))
    assert sight.track.values.shape == (1, 1 + WIDTH)
    assert extractor.columns[:2] == ("face", "state_00")
    assert extractor.settings["vector"] == "pooled"
    (box,) = Detector()(drawn(0))
    settings = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    values = preparation(settings, "test")(images.square(drawn(0), box))
    model = AutoModel.from_pretrained(folder).eval()
    part = model.vision_model if kind == "clip" else model
    with torch.no_grad():
        expected = part(pixel_values=torch.from_numpy(values)[None]).pooler_output[0]
    np.testing.assert_allclose(sight.track.values[0, 1:], expected.numpy(), atol=1e-5)


def test_many_pictures_are_as_each_alone(folder: Path) -> None:
    extractor = get(folder)
    pictures = [NOBODY if i == 5 else drawn(i / 20 - 0.6) for i in range(images.BATCH + 3)]
    together = extractor(stills(*pictures))
    assert (together.frames, together.faces) == (len(pictures), len(pictures) - 1)
    for i in (0, 4, 6, len(pictures) - 1):
        alone = extractor(stills(pictures[i])).track.values[0]
        np.testing.assert_allclose(together.track.values[i], alone, atol=1e-5)
    assert not np.allclose(together.track.values[0], together.track.values[-1], atol=1e-3)
    again = extractor(stills(*pictures))
    np.testing.assert_array_equal(again.track.values, together.track.values)


def test_clips_without_a_face_and_without_pictures(folder: Path) -> None:
    extractor = get(folder)
    nobody = extractor(stills(*[NOBODY] * (images.BATCH + 1)))
    assert (nobody.frames, nobody.faces, len(nobody.track)) == (images.BATCH + 1, 0, 0)
    assert extractor([]).frames == 0


def test_the_libraries_own_preparation_is_the_same() -> None:
    transformers = pytest.importorskip("transformers")
    own = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)
    settings = {
        "size": {"shortest_edge": 40},
        "crop_size": {"height": 32, "width": 28},
        "resample": 3,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
    }
    picture = drawn(0)[:200, :200]
    expected = own(**settings)(picture, return_tensors="np")["pixel_values"][0]
    found = preparation(settings, "test")(picture)
    assert found.shape == (3, 32, 28)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_preparation_by_hand() -> None:
    quarters = np.array([[[8, 8, 8], [0, 0, 0]], [[4, 4, 4], [2, 2, 2]]], dtype=np.uint8)
    large = quarters.repeat(3, axis=0).repeat(3, axis=1)
    found = preparation(PLAIN, "test")(large)
    np.testing.assert_allclose(found[0], [[3, -1], [1, 0]])  # (value / 2 - 1) / 1
    np.testing.assert_allclose(found[2], [[0.25, -0.75], [-0.25, -0.5]])  # (value / 2 - 3) / 4


@pytest.mark.parametrize("size", [2, {"shortest_edge": 2}, {"height": 2, "width": 2}])
def test_ways_to_write_a_size(size: object) -> None:
    assert preparation({**PLAIN, "size": size}, "test").size == (2, 2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", None),
        ("size", {"longest_edge": 3}),
        ("size", 0),
        ("size", "224"),
        ("crop_size", 3),
        ("resample", None),
        ("resample", 9),
        ("image_mean", [1, 2]),
        ("image_std", None),
        ("image_std", [1, 0, 1]),
        ("rescale_factor", -1),
        ("do_resize", False),
        ("do_pad", True),
        ("crop_pct", 0.9),
    ],
)
def test_settings_that_make_no_sense_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"model X: preprocessor_config.json: key '{key}'"):
        preparation({**PLAIN, key: value}, "model X")


def test_nothing_is_scaled_that_shall_not_be() -> None:
    left_alone = preparation({**PLAIN, "do_rescale": False, "do_normalize": False}, "test")
    np.testing.assert_array_equal(left_alone(np.full((2, 2, 3), 7, np.uint8)), 7)


def test_a_square_around_a_face_by_hand() -> None:
    image = np.arange(100, dtype=np.uint8).reshape(10, 10, 1).repeat(3, axis=2)
    inside = images.square(image, Box(3, 4, 5, 3))  # side 5 * 1.4 = 7, centre (5.5, 5.5)
    np.testing.assert_array_equal(inside, image[2:9, 2:9])
    corner = images.square(image, Box(0, 0, 5, 5))  # from -1 to 6
    np.testing.assert_array_equal(corner[1:, 1:], image[:6, :6])
    np.testing.assert_array_equal(corner[0], corner[1])
    np.testing.assert_array_equal(corner[:, 0], corner[:, 1])


def test_without_pooling_weights_it_is_the_first_token(folder: Path, tmp_path: Path) -> None:
    other = make_folder(tmp_path)
    weights = {k: v for k, v in load_file(other / "model.safetensors").items() if "pooler" not in k}
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    first, again = get(other), get(other)
    assert first.settings["vector"] == "first token"
    assert first.describe() == again.describe()  # though its pooling is other random numbers
    values = first(stills(drawn(0))).track.values
    np.testing.assert_array_equal(values, again(stills(drawn(0))).track.values)
    assert not np.allclose(values, get(folder)(stills(drawn(0))).track.values, atol=1e-3)


def test_other_weights_and_settings_are_another_extractor(folder: Path, tmp_path: Path) -> None:
    other = make_folder(tmp_path)
    assert get(other).settings == get(folder).settings
    weights = load_file(other / "model.safetensors")
    weights["layernorm.bias"][0] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert get(other).settings["model"] != get(folder).settings["model"]
    write_prepare(other, resample=3)
    assert get(other).settings["prepare"]["resample"] == "bicubic"


def test_a_model_without_some_weights_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "dinov2")
    weights = load_file(folder / "model.safetensors")
    del weights["layernorm.bias"], weights["embeddings.mask_token"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"no weights 'layernorm\.bias'"):
        get(folder)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not on this machine.*download=True"):
        images.extractor("nobody/no-such-model", 5.0, "largest")
    with pytest.raises(ConfigError, match="does not exist"):
        get(tmp_path / "none")
    folder = make_folder(tmp_path)
    with pytest.raises(ConfigError, match="face 'nearest'"):
        images.extractor(str(folder), 5.0, "nearest")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match=r"preprocessor_config\.json"):
        get(folder)


def test_other_models_are_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, size={"height": 2 * SIZE, "width": 2 * SIZE})
    with pytest.raises(ConfigError, match="makes no vector of a 56x56 picture"):
        get(folder)
    write_prepare(folder)
    config = AutoModel.from_pretrained(folder).config.to_dict()
    random_parts = {**config, "model_type": "vit_mae", "architectures": ["ViTMAEModel"]}
    (folder / "config.json").write_text(json.dumps(random_parts), encoding="utf-8")
    with pytest.raises(ConfigError, match="image encoder"):
        get(folder)
