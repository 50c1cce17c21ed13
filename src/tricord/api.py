"""Train, load and evaluate: what most users need, in three calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tricord.config import CommonConfig
from tricord.data.load import load
from tricord.data.schema import Dataset
from tricord.data.validate import check_labels
from tricord.device import CPU, device_of
from tricord.errors import ConfigError, DataError, ModelError, TricordError
from tricord.evaluation.table import Evaluation, evaluate
from tricord.features.text import Tick, with_words
from tricord.inference.confidence import calibrate
from tricord.inference.predictor import Predictions, predict
from tricord.labels import nominal
from tricord.models import registry
from tricord.models.network import Network
from tricord.presets import AUTOMATIC
from tricord.training.automatic import choose, explained
from tricord.training.checkpoint import read_json, write_json
from tricord.training.folder import CHECKPOINT_MINUTES, MODEL_FILE
from tricord.training.label_kinds import words_alone
from tricord.training.loop import Observer
from tricord.training.run import load_trained, train_one
from tricord.training.trained import TrainedModel, versions

RUN_FILE = "run.json"
# of its content: what makes a run another run
PARTS = ("model", "seeds", "config", "data", "device")


@dataclass
class Run:
    """Trained models of one configuration, one a seed, and the data they were trained on.

    folder: where they are kept; None in memory. data: None after `load_model`, until given.
    """

    name: str
    trained: Sequence[TrainedModel]
    folder: Path | None = None
    data: Dataset | None = None

    def of_seed(self, seed: int) -> TrainedModel:
        """The model of this seed; raises ConfigError where there is none."""
        for trained in self.trained:
            if trained.seed == seed:
                return trained
        raise ConfigError(f"seed {seed} not found, there is {[t.seed for t in self.trained]}")

    @property
    def best(self) -> TrainedModel:
        """The seed whose selection criterion on valid is best."""
        return min(self.trained, key=_selected_loss)

    @property
    def model(self) -> Network:
        """The best seed's."""
        return self.best.model

    def evaluate(self, split: str = "test", data: Dataset | str | Path | None = None) -> Evaluation:
        """The table of this run on a split. Raises DataError where there is no data."""
        dataset = self.dataset(data)
        floor = dataset if "train" in dataset else self.dataset()
        return evaluate({self.name: self.trained}, dataset, split, floor=floor)

    def predict(
        self, data: Dataset | str | Path, split: str = "test", tick: Tick | None = None
    ) -> Predictions:
        """The best seed's predictions; labels are not needed."""
        data = with_words(as_dataset(data), self.best.config.text)
        return predict(self.best, data, split, tick)

    def dataset(self, data: Dataset | str | Path | None = None) -> Dataset:
        """The data given, or else what the run was trained on, its labels checked.

        Raises DataError where there is none, or the file has changed since.
        """
        if data is not None:
            return checked(as_dataset(data), self.best.config)
        if self.data is None and self.folder is not None:
            self.data = self._recorded_data(self.folder)
        if self.data is None:
            raise DataError("no data given to evaluate on")
        return self.data

    def _recorded_data(self, folder: Path) -> Dataset | None:
        if not (folder / RUN_FILE).is_file():
            folder = folder.parent  # this is one seed of a run
        if not (folder / RUN_FILE).is_file():
            return None
        source = Path(_read_description(folder)["data"]["source"])
        if not source.exists():
            raise DataError(f"{source}: the file this run was trained on is gone; name it (--data)")
        data = checked(load(source), self.best.config)
        if data.fingerprint() != self.best.fingerprint:
            raise DataError(f"{source}: not the data this run was trained on; it has changed")
        return data


def _selected_loss(trained: TrainedModel) -> float:
    """The criterion on valid of the epoch that was kept."""
    return trained.selected().get(trained.config.criterion, float("inf"))


def as_dataset(data: Dataset | str | Path) -> Dataset:
    """A data set, read where a path is given."""
    return data if isinstance(data, Dataset) else load(data)


def checked(data: Dataset, config: CommonConfig) -> Dataset:
    """Labels encoded and checked under the configuration's scheme; words made a modality."""
    return check_labels(with_words(data, config.text), config.labels)


def config_for(
    data: Dataset,
    preset: str | None = None,
    model: str = "cmc",
    settings: Mapping[str, Any] | None = None,
    *,
    released: bool = False,
) -> CommonConfig:
    """A model's settings for a preset, made to fit the data's modalities and labels.

    preset: without one, or "automatic", classes and sizes are chosen from train and valid.
    released: all options as in the released implementation, before the settings.
    """
    entry, by_hand = registry.get(model), settings or {}
    if preset is None or preset == AUTOMATIC:
        choice = choose(data, by_hand)
        config: CommonConfig = choice.applied(entry.config(choice.size.preset))
    else:
        config = entry.config(preset)
        train = data.splits.get("train")
        if train is not None and (words := words_alone(train)):
            config = config.with_labels(nominal(words))
    config = (config.released() if released else config).with_settings(by_hand)
    return config.only(with_words(data, config.text).modalities)


def train(
    data: Dataset | str | Path,
    preset: str | None = None,
    model: str = "cmc",
    seed: int | Sequence[int] = 1,
    out: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    config: CommonConfig | None = None,
    pretrained: Run | None = None,
    resume: bool = False,
    observer: Observer | None = None,
    tick: Tick | None = None,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    device: str = "cpu",
) -> Run:
    """Train a model on train and valid; the test split is sealed.

    data: a data set or a file. preset: a name of `tricord.presets`; without one, settings are
    chosen from the data. model: a name of `tricord.models.registry`. seed: one or several. out:
    folder to keep the run in.
    settings: dotted path -> value, as `CommonConfig.with_settings`. config: used as it is, instead
    of preset, model and settings. pretrained: take stage 1 from this run, seed by seed.
    resume: continue a run that was stopped; on the processor the result has the same bits as
    without the stop.
    checkpoint_minutes: with a folder, what is needed to continue is written at the end of an
    epoch when this long has passed since the last time; 0 after every epoch. A finished seed and
    a finished stage 1 are always kept.
    device: what training computes on (`tricord.device.device_of`); all else is done by the
    processor.
    Raises TricordError for anything the caller can mend.
    """
    place = device_of(device)
    data = as_dataset(data)
    config = config or config_for(data, preset, model, settings)
    data = checked(data, config)
    seeds = [seed] if isinstance(seed, int) else list(seed)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seed: {seeds} found, one or more different numbers expected")
    folder = None if out is None else Path(out)
    if folder is not None:
        _open_folder(folder, _description(data, config, model, seeds, place), config, resume)
    try:
        trained = [
            _train_or_load(
                data,
                config,
                model,
                s,
                None if folder is None else folder / f"seed-{s}",
                None if pretrained is None else pretrained.of_seed(s),
                observer,
                tick,
                checkpoint_minutes,
                place,
            )
            for s in seeds
        ]
    except TricordError:
        if folder is not None:
            _forget_if_bare(folder)
        raise
    return Run(model, trained, folder, data)


def _forget_if_bare(folder: Path) -> None:
    """A run that came to nothing must not be in the way of the next try."""
    if [path.name for path in folder.iterdir()] == [RUN_FILE]:
        (folder / RUN_FILE).unlink()
        folder.rmdir()


def _train_or_load(
    data: Dataset,
    config: CommonConfig,
    name: str,
    seed: int,
    folder: Path | None,
    pretrained: TrainedModel | None,
    observer: Observer | None,
    tick: Tick | None,
    checkpoint_minutes: float,
    device: torch.device,
) -> TrainedModel:
    """One seed; calibrated on valid too where an earlier version or a stop left that out."""
    if folder is not None and (folder / MODEL_FILE).is_file():
        trained = load_trained(folder)
    else:
        trained = train_one(
            data,
            config,
            name=name,
            seed=seed,
            folder=folder,
            pretrained=pretrained,
            observer=observer,
            tick=tick,
            checkpoint_minutes=checkpoint_minutes,
            device=device,
        )
    if trained.calibration is None:
        trained.calibration = calibrate(trained, data, tick=tick)
        if folder is not None:
            trained.keep_calibration(folder)
    return trained


def _description(
    data: Dataset, config: CommonConfig, model: str, seeds: Sequence[int], device: torch.device
) -> dict[str, Any]:
    return {
        "model": model,
        "seeds": list(seeds),
        "config": config.model_dump(mode="json"),
        "chosen": [line.to_json() for line in explained(data, config)],
        "versions": versions(),
        "device": str(device),
        "data": {
            "source": str(Path(data.source).resolve()),
            "fingerprint": data.fingerprint(),
            "simulated": data.simulated,
        },
    }


def _open_folder(
    folder: Path, description: dict[str, Any], config: CommonConfig, resume: bool
) -> None:
    """Write the run's description, or check that a run to be resumed is the same one."""
    path = folder / RUN_FILE
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder}: exists and is not a run; name a new folder")
        write_json(path, description)
        return
    if not resume:
        raise ConfigError(
            f"{folder}: already holds a run; name a new folder, or resume it (--resume)"
        )
    before = _read_description(folder)
    before["config"] = completed(before["config"], config)
    for part in PARTS:
        if before[part] != description[part]:
            raise ConfigError(f"{folder}: holds a run with another {part}; it cannot be resumed")


def completed(kept: Any, config: CommonConfig) -> Any:
    """Settings as a run's folder keeps them; those that came later have their defaults."""
    try:
        return type(config).of(kept).model_dump(mode="json")
    except ConfigError:
        return kept


def _read_description(folder: Path) -> dict[str, Any]:
    """What `_open_folder` wrote; raises ModelError where a part is missing."""
    content = read_json(folder / RUN_FILE)
    about = {"device": CPU.type, **content} if isinstance(content, dict) else {}
    for part in PARTS:
        if part not in about:
            raise ModelError(f"{folder / RUN_FILE}: no description of a run, {part!r} is missing")
    return about


def load_model(folder: str | Path) -> Run:
    """A run that `train` kept, or one seed of it. Raises ModelError where there is none."""
    folder = Path(folder)
    if (folder / MODEL_FILE).is_file():
        trained = load_trained(folder)
        return Run(trained.name, [trained], folder)
    if not (folder / RUN_FILE).is_file():
        raise ModelError(f"{folder}: no {RUN_FILE} or {MODEL_FILE} found, a run's folder expected")
    about = _read_description(folder)
    seeds = [folder / f"seed-{s}" for s in about["seeds"]]
    finished = [s for s in seeds if (s / MODEL_FILE).is_file()]
    if not finished:
        raise ModelError(f"{folder}: no seed of this run is finished; resume it first")
    return Run(about["model"], [load_trained(s) for s in finished], folder)
