"""The terms on which experiments are run: data, seeds, budget, and cells in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tricord import api
from tricord.config import RunConfig
from tricord.data.schema import Dataset
from tricord.errors import ConfigError, TricordError
from tricord.experiments.reproduce import budget as budgets
from tricord.experiments.reproduce.cells import Cell, load_cell, run_cells
from tricord.experiments.reproduce.plan import Row
from tricord.training.checkpoint import read_json, write_json
from tricord.training.trained import TrainedModel

CELLS_FOLDER, DATA_FOLDER, TERMS_FILE = "cells", "data", "reproduce.json"
STAGE2 = "finetune."

Say = Callable[[str], object]


@dataclass(frozen=True)
class Context(budgets.Terms):
    """What an experiment that is more than rows is given.

    settings_for: (model, preset) -> dotted path -> value, of budget and protocol. train: as
    `Work.train`. out: where it writes. say: is told how far it is.
    """

    datasets: Mapping[str, Dataset]
    settings_for: Callable[[str, str], dict[str, Any]]
    train: Callable[[Sequence[Row], str], Mapping[str, Sequence[TrainedModel]]]
    out: Path
    say: Say


class Work:
    """The terms on which experiments are run, the same for all of them.

    datasets: by preset. seeds: of training; the released protocol takes the first. encoders:
    preset -> language model that is finetuned, as in the paper; without one ready features are
    read. settings: model -> dotted path -> value, set by hand. workers: cells at a time. say: is
    told how far it is.
    Raises ConfigError for terms that cannot be.
    """

    def __init__(
        self,
        datasets: Mapping[str, Dataset],
        out: Path,
        *,
        seeds: Sequence[int] = (1, 2, 3, 4, 5),
        budget: str = "quick",
        protocol: str = "default",
        workers: int = 1,
        encoders: Mapping[str, str] | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        say: Say = lambda line: None,
    ) -> None:
        if not seeds or len(set(seeds)) < len(seeds):
            raise ConfigError(f"seeds: {list(seeds)} found, one or more different ones expected")
        if not datasets:
            raise ConfigError("datasets: none found, at least one expected")
        budgets.budget_named(budget)
        self.datasets, self.out, self.workers, self.say = datasets, out, workers, say
        self.seeds = tuple(seeds[:1] if protocol == "released" else seeds)
        self.budget, self.protocol = budget, protocol
        self.encoders, self.settings = encoders or {}, settings or {}
        if strange := set(self.encoders) - set(datasets):
            raise ConfigError(f"encoder: {min(strange)!r} is not one of the data sets")
        self.fingerprints = {preset: data.fingerprint() for preset, data in datasets.items()}
        self.settings_for("cmc", next(iter(datasets)))  # complains of an unknown protocol
        self._open()

    @property
    def simulated(self) -> bool:
        """Whether any of the data is."""
        return any(data.simulated for data in self.datasets.values())

    def settings_for(self, model: str, preset: str) -> dict[str, Any]:
        """Dotted path -> value: what budget, protocol and hand change for a model."""
        encoder = self.encoders.get(preset)
        found = budgets.settings_for(model, preset, self.budget, self.protocol, encoder)
        return {**found, **self.settings.get(model, {})}

    @property
    def by_hand(self) -> list[str]:
        """What was changed of the published settings, as it would be typed."""
        changed = [f"{m}.{path}={v}" for m, own in self.settings.items() for path, v in own.items()]
        return [*(f"encoder {p}={name}" for p, name in self.encoders.items()), *changed]

    def cells(self, row: Row, preset: str) -> list[Cell]:
        """One a seed; raises TricordError where the row cannot run on this data set."""
        assert row.model is not None
        data, model = self.datasets[preset], row.model
        settings = {
            **self.settings_for(model, preset),
            **row.settings,
            **row.for_preset.get(preset, {}),
        }
        config = api.config_for(data, preset, model, settings)
        plain = None
        if isinstance(config, RunConfig):
            usual = api.config_for(data, preset, "cmc", self.settings_for("cmc", preset))
            assert isinstance(usual, RunConfig)
            plain = config.model_copy(update={"finetune": usual.finetune})
        label = row.name if row.output == "model" else ""  # else a part of what is trained
        found = []
        for seed in self.seeds:
            place = (seed, self.fingerprints[preset], row.keep)
            base = None
            if plain is not None and plain != config:
                base = Cell(preset, "cmc", plain, *place)
            found.append(Cell(preset, model, config, *place, base, label))
        return found

    def run(self, cells: Iterable[Cell]) -> dict[str, str]:
        """Train what is not finished; key -> why, for those that cannot be."""
        return run_cells(cells, self.datasets, self.folder, workers=self.workers, say=self.say)

    @property
    def folder(self) -> Path:
        """Of the cells."""
        return self.out / CELLS_FOLDER

    def train(self, rows: Sequence[Row], preset: str) -> Mapping[str, Sequence[TrainedModel]]:
        """By the row's name one trained model a seed, read when a row is asked for.

        What is finished is not trained again. Raises TricordError with the reason where a cell
        cannot be trained: rows of different seeds could not be compared.
        """
        cells = {row.name: self.cells(row, preset) for row in rows}
        failed = self.run(cell for own in cells.values() for cell in own)
        for name, own in cells.items():
            if reason := why_failed(own, failed):
                raise TricordError(f"{name}: {reason}")
        return _Kept(cells, self.folder)

    def context(self) -> Context:
        """The same, for an experiment that is more than rows."""
        return Context(
            datasets=self.datasets,
            seeds=self.seeds,
            settings_for=self.settings_for,
            train=self.train,
            out=self.out,
            simulated=self.simulated,
            budget=self.budget,
            protocol=self.protocol,
            by_hand=self.by_hand,
            say=self.say,
        )

    def _open(self) -> None:
        """Note the terms, or check that the folder's results were made on these."""
        check_folder(self.out)
        path = self.out / TERMS_FILE
        terms: dict[str, Any] = {
            "budget": self.budget,
            "protocol": self.protocol,
            "data": self.fingerprints,
        }
        if path.exists():
            terms = _joined(path, read_json(path), terms)
        write_json(path, terms)


def check_folder(out: Path) -> None:
    """Raise ConfigError for a place that holds something else."""
    if (out / TERMS_FILE).is_file() or not out.exists():
        return
    if not out.is_dir() or any(path.name != DATA_FOLDER for path in out.iterdir()):
        raise ConfigError(f"{out}: exists and is no reproduction; name a new folder")


def _joined(path: Path, old: Any, new: dict[str, Any]) -> dict[str, Any]:
    """The new terms with the data sets of the old ones; raises ConfigError where they differ."""
    if not isinstance(old, dict) or set(old) != set(new):
        raise ConfigError(f"{path}: no terms of a reproduction; name a new folder")
    for part in ("budget", "protocol"):
        if old[part] != new[part]:
            raise ConfigError(
                f"{path.parent}: holds a reproduction with another {part}, {old[part]!r}; "
                "name a new folder"
            )
    for preset, fingerprint in new["data"].items():
        if old["data"].get(preset, fingerprint) != fingerprint:
            raise ConfigError(
                f"{path.parent}: holds a reproduction with other data for {preset}; "
                "name a new folder"
            )
    return {**new, "data": {**old["data"], **new["data"]}}


class _Kept(Mapping[str, Sequence[TrainedModel]]):
    """Trained models by row, read anew each time: all of them at once may not fit in memory."""

    def __init__(self, cells: Mapping[str, Sequence[Cell]], folder: Path) -> None:
        self._cells, self._folder = cells, folder

    def __getitem__(self, name: str) -> list[TrainedModel]:
        return [load_cell(cell, self._folder) for cell in self._cells[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)


def why_failed(cells: Iterable[Cell], failed: Mapping[str, str]) -> str:
    """Why a row is not complete, or nothing."""
    return next((f"{c}: {failed[c.key]}" for c in cells if c.key in failed), "")


def presets_of(name: str, wanted: Sequence[str], there: Mapping[str, Dataset]) -> list[str]:
    """The data sets an experiment is about that are there; raises ConfigError for none."""
    found = [preset for preset in wanted if preset in there]
    if not found:
        raise ConfigError(f"{name}: is about {', '.join(wanted)}; the data are {', '.join(there)}")
    return found
