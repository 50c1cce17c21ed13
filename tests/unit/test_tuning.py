"""Settings chosen on valid."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest

import tiny_data
from tricord import api, tuning
from tricord.data.schema import Dataset
from tricord.errors import ConfigError, SealedSplitError, TricordError
from tricord.models import registry
from tricord.models.entry import Choice, Range, Search
from tricord.tuning import Trial, Tuned, tune

QUICK = {"epochs": 2, "batch_size": 8}


def tuned(trials: int = 4, data: Dataset | None = None, **options: Any) -> Tuned:
    options = {"settings": QUICK, **options}
    return tune(data or tiny_data.dataset(), "tiny", "early-fusion", trials, **options)


def without_seconds(trials: Any) -> list[Trial]:
    return [dataclasses.replace(trial, seconds=0) for trial in trials]


def search_over(monkeypatch: pytest.MonkeyPatch, search: Search) -> None:
    entry = dataclasses.replace(registry.get("early-fusion"), search=search)
    monkeypatch.setattr(registry, "MODELS", {"early-fusion": entry})


def test_the_published_settings_are_tried_first_then_the_search_space() -> None:
    found = tuned(6)
    assert [t.number for t in found.trials] == list(range(6))
    assert found.trials[0].settings == {}
    space = registry.get("early-fusion").search
    for trial in found.trials[1:]:
        assert set(trial.settings) == set(space)
        for name, values in space.items():
            value = trial.settings[name]
            if isinstance(values, Range):
                assert values.low <= value <= values.high
            else:
                assert value in values.values
    assert len({t.value for t in found.trials}) == 6


def test_the_smallest_criterion_on_valid_decides() -> None:
    found = tuned(6)
    best = min(found.trials, key=lambda t: t.value)
    assert found.settings == best.settings
    data = tiny_data.dataset()
    assert found.config == api.config_for(data, "tiny", "early-fusion", {**QUICK, **best.settings})
    again = api.train(data, "tiny", "early-fusion", tuning.SEED, config=found.config).trained[0]
    assert again.selected()["loss"] == best.value
    assert again.selected()["epoch"] == best.epoch


def test_the_same_arguments_give_the_same_trials() -> None:
    assert without_seconds(tuned().trials) == without_seconds(tuned().trials)
    other = tuned(seed=2)
    assert other.trials[1].settings != tuned(2).trials[1].settings


def test_a_trial_cannot_look_at_test(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Dataset] = []
    train = api.train

    def spy(data: Dataset, *arguments: Any, **options: Any) -> api.Run:
        seen.append(data)
        return train(data, *arguments, **options)

    monkeypatch.setattr(api, "train", spy)
    found = tuned(2)
    assert len(seen) == 2
    for data in seen:
        with pytest.raises(SealedSplitError):
            data["test"]
    monkeypatch.undo()

    data = tiny_data.dataset()
    test = data["test"]
    other = dataclasses.replace(test, scores=np.full_like(test.scores, 1.0))
    changed = dataclasses.replace(data, splits={**data.splits, "test": other})
    assert without_seconds(tuned(2, changed).trials) == without_seconds(found.trials)


def test_fixed_settings_are_not_searched() -> None:
    found = tuned(3, settings={**QUICK, "hidden": 7})
    assert all("hidden" not in trial.settings for trial in found.trials)
    assert found.config.model_dump()["hidden"] == 7


def test_a_failed_trial_is_kept_and_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    search_over(monkeypatch, {"hidden": Choice((0,))})
    found = tuned(3)
    assert [t.value is None for t in found.trials] == [False, True, True]
    assert "hidden" in found.trials[1].error
    assert found.settings == {}


def test_where_all_fail_the_first_reason_is_given() -> None:
    with pytest.raises(TricordError, match=r"each of 2 trials failed; the first: .*hidden"):
        tuned(2, settings={**QUICK, "hidden": 0})


def test_choices_may_be_of_any_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    search_over(monkeypatch, {"modalities": Choice((["text"], ["audio", "vision"]))})
    found = tuned(4)
    assert {tuple(t.settings["modalities"]) for t in found.trials[1:]} <= {
        ("text",),
        ("audio", "vision"),
    }
    assert not any(t.error for t in found.trials)


def test_without_a_search_space_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    search_over(monkeypatch, {})
    found = tuned(3)
    assert (found.trials, found.settings) == ([], {})


def test_trials_of_an_earlier_call_are_not_trained_again() -> None:
    whole = tuned(5)
    new: list[Trial] = []
    again = tuned(5, done=whole.trials[:3], on_trial=new.append)
    assert again.trials[:3] == whole.trials[:3]
    assert [t.number for t in new] == [3, 4]
    assert without_seconds(again.trials) == without_seconds(whole.trials)


def test_a_trial_of_another_search_is_not_believed() -> None:
    strange = [Trial(i, {"hidden": 1}, 0.0, 1, 0.0) for i in range(3)]
    new: list[Trial] = []
    found = tuned(3, done=strange, on_trial=new.append)
    assert [t.number for t in new] == [0, 1, 2]
    assert without_seconds(found.trials) == without_seconds(tuned(3).trials)


def test_optuna_is_silent_and_left_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    tuned(2)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"tricord\[tune\]"):
        tuned(2)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="trials: 0 found"):
        tuned(0)


def test_cmc_is_tuned_by_its_own_criterion() -> None:
    settings: Mapping[str, Any] = {
        **tiny_data.SETTINGS, "pretrain.epochs": 1, "finetune.epochs": 2
    }  # fmt: skip
    found = tune(tiny_data.dataset(), "tiny", "cmc", 2, settings=settings)
    run = api.train(tiny_data.dataset(), "tiny", "cmc", tuning.SEED, settings=settings)
    assert found.trials[0].value == run.trained[0].selected()["consensus"]


def test_a_trial_without_a_kept_epoch_has_failed() -> None:
    settings = {**tiny_data.SETTINGS, "pretrain.epochs": 1, "finetune.epochs": 0}
    with pytest.raises(TricordError, match="no epoch was kept"):
        tune(tiny_data.dataset(), "tiny", "cmc", 1, settings=settings)
