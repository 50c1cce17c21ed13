"""Budget and protocol as settings."""

from __future__ import annotations

import pytest

from tricord.config import RunConfig
from tricord.errors import ConfigError
from tricord.experiments.reproduce.budget import BUDGETS, PROTOCOLS, settings_for
from tricord.experiments.reproduce.data import PRESETS
from tricord.models import registry


def configurable() -> list[tuple[str, str]]:
    found = []
    for model in registry.MODELS:
        for preset in PRESETS:
            try:
                registry.get(model).config(preset)
            except ConfigError:
                continue
            found.append((model, preset))
    return found


def test_the_paper_budget_is_the_published_settings() -> None:
    for model, preset in configurable():
        assert settings_for(model, preset, "paper", "default") == {}


def test_the_released_protocol_is_all_that_released_changes() -> None:
    changed = 0
    for model, preset in configurable():
        config = registry.get(model).config(preset)
        found = settings_for(model, preset, "paper", "released")
        assert config.with_settings(found) == config.released()
        changed += len(found)
    assert changed


def test_the_quick_budget_shortens_every_stage_and_nothing_else() -> None:
    most = BUDGETS["quick"].epochs
    assert most
    for model, preset in configurable():
        found = settings_for(model, preset, "quick", "default")
        assert found
        assert all(path.rpartition(".")[2] == "epochs" for path in found)
        assert all(0 <= epochs <= most for epochs in found.values())
    cmc = registry.get("cmc").config("ch-sims")
    assert isinstance(cmc, RunConfig)
    short = cmc.with_settings(settings_for("cmc", "ch-sims", "quick", "default"))
    assert (short.pretrain.epochs, short.finetune.epochs) == (most, most)
    assert "pretraining.text.epochs" in settings_for("sfttr", "ch-sims", "quick", "default")


@pytest.mark.parametrize(
    ("model", "taken"),
    [
        ("cmc", {"text.encoder": "bert", "text.finetune": True}),
        ("av-mc", {"text.encoder": "bert", "text.finetune": False}),  # frozen as published
        ("mse-adapter-qwen-1.8b", {}),  # it has a reader of its own
    ],
)
def test_a_model_takes_as_much_of_a_language_model_as_it_can(
    model: str, taken: dict[str, object]
) -> None:
    assert settings_for(model, "ch-sims-v2", "paper", "default", "bert") == taken


@pytest.mark.parametrize(
    ("budget", "protocol", "said"),
    [
        ("huge", "default", f"budget 'huge' does not exist; there is: {', '.join(BUDGETS)}"),
        ("quick", "best", f"protocol 'best' does not exist; there is: {', '.join(PROTOCOLS)}"),
    ],
)
def test_unknown_names_are_errors(budget: str, protocol: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings_for("cmc", "mosi", budget, protocol)
