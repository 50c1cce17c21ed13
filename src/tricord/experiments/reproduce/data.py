"""The data sets that an experiment is run on: those of a folder, or simulated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tricord.data.load import load
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.schema import Dataset
from tricord.data.simulation.simulate import simulate
from tricord.errors import ConfigError, DataError
from tricord.experiments.reproduce.budget import Budget

PRESETS = ("ch-sims", "ch-sims-v2", "mosi", "mosei")
SIMULATED_PRESET = "ch-sims"
SUFFIXES = (".pkl", ".npz", ".tricord", "")
_SHOWN = 12  # names of a folder in a message


def find(folder: Path, presets: Sequence[str] | None = None) -> dict[str, Path]:
    """Preset -> its file, store or folder in ``folder``, in the paper's order.

    presets: those that must be there; None takes whichever are. Raises ConfigError for an unknown
    preset, DataError with the names expected and found where one is missing.
    """
    wanted = _known(presets)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one with {_expected(wanted)}")
    there = {preset: path for preset in wanted if (path := _place(folder, preset)) is not None}
    missing = [preset for preset in wanted if preset not in there]
    if not there or (presets is not None and missing):
        names = sorted(path.name for path in folder.iterdir())
        found = ", ".join(names[:_SHOWN]) + (" and more" if len(names) > _SHOWN else "")
        raise DataError(f"{folder}: {found or 'nothing'} found, expected {_expected(missing)}")
    return there


def simulated(folder: Path, budget: Budget, presets: Sequence[str] | None = None) -> Path:
    """A simulated CH-SIMS file in ``folder``, written where it is not there yet.

    Raises ConfigError where another data set is wanted: only this one can be simulated.
    """
    others = [] if presets is None else [p for p in _known(presets) if p != SIMULATED_PRESET]
    if others:
        raise ConfigError(
            f"datasets: {others[0]} cannot be simulated, only {SIMULATED_PRESET}; "
            "name a folder with --data"
        )
    path = folder / f"{SIMULATED_PRESET}-{budget.name}.pkl"
    if not path.exists():
        splits, record = simulate(scale=budget.scale, length_scale=budget.scale)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mmsa(path, splits, record)
    return path


def datasets(
    folder: Path | None, made: Path, budget: Budget, presets: Sequence[str] | None = None
) -> Mapping[str, Dataset]:
    """Preset -> data: of a folder, or without one simulated in ``made``.

    Raises as `find`, `simulated` and `load` do.
    """
    if folder is None:
        return {SIMULATED_PRESET: load(simulated(made, budget, presets))}
    return {preset: load(path) for preset, path in find(folder, presets).items()}


def _known(presets: Sequence[str] | None) -> list[str]:
    if presets is None:
        return list(PRESETS)
    if strange := [p for p in presets if p not in PRESETS]:
        raise ConfigError(f"datasets: {strange[0]!r} found, expected some of {', '.join(PRESETS)}")
    if not presets:
        raise ConfigError(f"datasets: none found, expected some of {', '.join(PRESETS)}")
    return [p for p in PRESETS if p in presets]


def _place(folder: Path, preset: str) -> Path | None:
    return next((p for s in SUFFIXES if (p := folder / f"{preset}{s}").exists()), None)


def _expected(presets: Sequence[str]) -> str:
    return " and ".join(f"{preset}.pkl, .npz, .tricord or {preset}/" for preset in presets)
