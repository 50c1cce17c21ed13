"""On what terms models are compared, and whether a folder holds a comparison on these terms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tricord import api, presets
from tricord.config import CommonConfig
from tricord.data.schema import Dataset
from tricord.errors import ConfigError
from tricord.models import registry
from tricord.training.checkpoint import read_json, write_json

PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class Plan:
    """What is compared, and on what terms: the same for all models.

    seeds: of training. trials: of tuning on valid, for each model; 0 is its published settings.
    settings: model -> what of its settings is changed by hand. split: what the table is about.
    """

    preset: str
    models: Sequence[str]
    seeds: Sequence[int]
    trials: int = 0
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    split: str = "test"

    @property
    def budget(self) -> str:
        """The rule, in words."""
        rule = "each model's own published settings"
        if self.trials:
            rule = f"{self.trials} trials a model, judged on valid alone with one seed"
        return f"{rule}, but for what was set by hand" if any(self.settings.values()) else rule


def check_plan(plan: Plan, data: Dataset) -> None:
    """Raise TricordError for what would be wrong with any data, before anything is trained."""
    for what, values in (("models", plan.models), ("seeds", plan.seeds)):
        if not values or len(set(values)) < len(values):
            raise ConfigError(f"{what}: {list(values)} found, one or more different ones expected")
    if plan.trials < 0:
        raise ConfigError(f"trials: {plan.trials} found, 0 or more expected")
    if strange := set(plan.settings) - set(plan.models):
        raise ConfigError(f"settings: {min(strange)!r} is not one of the models compared")
    if plan.preset != presets.AUTOMATIC:
        presets.get(plan.preset)
    for name in plan.models:
        _check_settings(name, plan)
    data[plan.split]  # complains where there is none


def _check_settings(name: str, plan: Plan) -> None:
    """Raise ConfigError for a model or a setting that does not exist."""
    entry = registry.get(name)
    automatic = plan.preset == presets.AUTOMATIC  # the same settings, whatever their values
    try:
        config = entry.config("tiny" if automatic else plan.preset)
    except ConfigError:
        return  # it has no settings for this preset, which its row will say
    try:
        config.with_settings(plan.settings.get(name, {}))
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def open_folder(folder: Path, plan: Plan, data: Dataset) -> None:
    """Note the plan, or check that the folder holds this comparison; models may be added."""
    path = folder / PLAN_FILE
    content = json.loads(json.dumps(_terms(plan, data)))  # as it reads when it is back
    if path.exists():
        content = _joined(folder, read_json(path), content)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: exists and is no comparison; name a new folder")
    write_json(path, content)


def forget_if_bare(folder: Path) -> None:
    """A comparison that came to nothing must not be in the way of the next try."""
    if [path.name for path in folder.iterdir()] == [PLAN_FILE]:
        (folder / PLAN_FILE).unlink()
        folder.rmdir()


def _terms(plan: Plan, data: Dataset) -> dict[str, Any]:
    """What another call must share, to go on in the same folder."""
    return {
        "preset": plan.preset,
        "seeds": list(plan.seeds),
        "trials": plan.trials,
        "data": data.fingerprint(),
        "settings": {name: dict(plan.settings.get(name, {})) for name in plan.models},
    }


def _joined(folder: Path, old: Any, new: dict[str, Any]) -> dict[str, Any]:
    """The new terms with the models of the old ones; raises ConfigError where they differ."""
    if not isinstance(old, dict) or set(old) != set(new):
        raise ConfigError(f"{folder / PLAN_FILE}: no plan of a comparison; name a new folder")
    settings = {**old["settings"], **new["settings"]}
    differing = [part for part in new if part != "settings" and old[part] != new[part]]
    differing += [f"setting of {m}" for m in old["settings"] if old["settings"][m] != settings[m]]
    if differing:
        raise ConfigError(
            f"{folder}: holds a comparison with another {differing[0]}; name a new folder"
        )
    return {**new, "settings": settings}


class KeptRunError(ConfigError):
    """The folder holds a run that is not the one wanted: nothing that the data could explain."""


def check_kept(folder: Path, config: CommonConfig) -> None:
    """Raise KeptRunError where a run with other settings is kept here."""
    path = folder / api.RUN_FILE
    if not path.is_file():
        return
    if api.completed(read_json(path)["config"], config) != config.model_dump(mode="json"):
        raise KeptRunError(f"{folder}: holds a run with another config; name a new folder")
