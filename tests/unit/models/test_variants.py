"""Named variants are settings."""

from __future__ import annotations

import pytest

from tricord import presets
from tricord.errors import ConfigError
from tricord.models.variants import VARIANTS, configure

CHANGES = {
    "cmc": {},
    "cmc-variant": {"train": "router_only", "fusion": "none", "tasks": "single"},
    "cmc-gt": {"labels": "ground_truth"},
    "cmc-wo-plgm": {"labels": "multimodal"},
    "cmc-wo-pfm": {"fusion": "none"},
    "cmc-wo-mcr": {"router": "mean"},
    "cmc-single-task": {"tasks": "single"},
    "cmc-single-task-wo-pfm": {"tasks": "single", "fusion": "none"},
}


def test_every_variant_is_listed() -> None:
    assert VARIANTS.keys() == {*CHANGES, "cmc-released", "tricord"}


def test_released_is_every_released_option() -> None:
    base = presets.mosi()
    assert configure(base, "cmc-released") == base.released() != base


def test_the_method_tricord_is_a_preset_too_and_four_settings() -> None:
    found = configure(presets.mosi(), "tricord")
    assert found == presets.mosi(method="tricord") == presets.get("mosi", "tricord")
    expected = presets.mosi().model_dump()
    expected["pretrain"] |= {"refine": "posterior", "ema_epochs": 3}
    expected["finetune"]["router"] = "evidence"
    expected["labels"]["decision"] = "sides"
    assert found.model_dump() == expected


@pytest.mark.parametrize("name", CHANGES)
def test_a_variant_changes_what_it_says_and_nothing_else(name: str) -> None:
    base = presets.mosi()
    expected = base.model_dump()
    for setting, value in CHANGES[name].items():
        stage = "pretrain" if setting == "labels" else "finetune"
        expected[stage][setting] = value
    assert configure(base, name).model_dump() == expected


def test_an_unknown_variant_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'cmc-x' does not exist; there is: cmc, cmc-variant"):
        configure(presets.mosi(), "cmc-x")


def test_wo_mcr_cannot_train_the_router_alone() -> None:
    with pytest.raises(ConfigError, match="router_only"):
        configure(configure(presets.mosi(), "cmc-wo-mcr"), "cmc-variant")
