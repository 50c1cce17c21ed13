"""Several models on one data set: the same splits, seeds and budget, one table.

A folder holds a comparison: ``plan.json``, a run a model, the trials of tuning, and the result as
``compare.json``, ``compare.md`` and two figures. What is finished there is never trained again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tricord import api
from tricord.config import CommonConfig, RunConfig
from tricord.data.schema import Dataset
from tricord.device import device_of
from tricord.errors import ConfigError, TricordError
from tricord.evaluation.table import MAJORITY, Evaluation, bayes_limits
from tricord.experiments.compare_figures import write_figures
from tricord.experiments.compare_plan import (
    KeptRunError,
    Plan,
    check_kept,
    check_plan,
    forget_if_bare,
    open_folder,
)
from tricord.experiments.compare_table import (
    Compared,
    Measured,
    NotRun,
    against_best,
    best_of,
    power_among,
    simple_rows,
    versus,
)
from tricord.experiments.compare_text import markdown
from tricord.features.text import Tick
from tricord.files import write_atomically
from tricord.inference.predictor import predict
from tricord.training.checkpoint import read_json, write_json
from tricord.training.folder import MODEL_FILE
from tricord.training.loop import Observer, Progress, Stage
from tricord.training.trained import versions
from tricord.tuning import Trial, check_optuna, tune

TUNING_FOLDER = "tuning"
SPEED_RUNS = 3

Say = Callable[[str], object]


def compare(
    data: Dataset | str | Path,
    preset: str,
    models: Sequence[str],
    out: str | Path,
    *,
    seeds: int | Sequence[int] = 5,
    trials: int = 0,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    split: str = "test",
    against: str | None = None,
    observer: Observer | None = None,
    tick: Tick | None = None,
    device: str = "cpu",
    say: Say = lambda line: None,
) -> Compared:
    """Train, tune and evaluate these models on the same terms; writes the folder ``out``.

    seeds: how many, from 1, or which. trials: of tuning on valid for each model; 0 compares the
    published settings. settings: model -> dotted path -> value, fixed. against: a model whose
    difference to each other one is told for every subset. device: as `tricord.api.train`. say: is
    told which model and seed it is at. A model that cannot run on this data is a row that says why.
    Raises TricordError for a mistake in the arguments, for a folder that holds another
    comparison, and where no model ran.
    """
    data = api.as_dataset(data)
    numbers = range(1, seeds + 1) if isinstance(seeds, int) else seeds
    plan = Plan(preset, tuple(models), tuple(numbers), trials, settings or {}, split)
    check_plan(plan, data)
    device_of(device)
    if against is not None and against not in plan.models:
        raise ConfigError(f"against: {against!r} is not one of the models compared")
    if trials:
        check_optuna()
    work = _Work(plan, data, Path(out), observer, tick, device, say)
    open_folder(work.folder, plan, data)
    found = [work.row_of(name, place) for place, name in enumerate(plan.models, start=1)]
    if all(isinstance(row, NotRun) for row in found):
        forget_if_bare(work.folder)
    compared = _compared(plan, data, found, against, versions(device_of(device)))
    write(compared, work.folder)
    return compared


def write(compared: Compared, folder: Path) -> None:
    """The result as JSON, Markdown and figures."""
    write_json(folder / "compare.json", compared.to_json())
    text = markdown(compared)
    write_atomically(folder / "compare.md", lambda p: p.write_text(text, encoding="utf-8"))
    write_figures(compared, folder)


@dataclass(frozen=True)
class _Work:
    """What is the same for every model of a comparison."""

    plan: Plan
    data: Dataset
    folder: Path
    observer: Observer | None
    tick: Tick | None
    device: str
    say: Say

    def row_of(self, name: str, place: int) -> tuple[Measured, Evaluation] | NotRun:
        """Tune where the budget says so, train all seeds, evaluate."""
        self.say(f"{name} (model {place} of {len(self.plan.models)})")
        try:
            trials, settings = self._settings(name)
            config = api.config_for(self.data, self.plan.preset, name, settings)
            if "model.score_head" not in settings:
                config = _with_scores(config)
            check_kept(self.folder / name, config)
            return self._measure(name, self._train(name, config), trials)
        except KeptRunError:
            raise
        except TricordError as error:
            self.say(f"{name}: not run: {error}")
            return NotRun(name, " ".join(str(error).split()))

    def _settings(self, name: str) -> tuple[Sequence[Trial], Mapping[str, Any]]:
        """What to change of the published settings, and the trials that found it."""
        fixed = self.plan.settings.get(name, {})
        if not self.plan.trials:
            return (), fixed
        kept = _Trials(self.folder / TUNING_FOLDER / f"{name}.json")
        done = kept.read()

        def note(trial: Trial) -> None:
            result = trial.error or f"{trial.value:.4f} on valid"
            self.say(f"{name}, trial {trial.number + 1} of {self.plan.trials}: {result}")
            kept.add(trial)

        tuned = tune(
            self.data,
            self.plan.preset,
            name,
            self.plan.trials,
            settings=fixed,
            done=done,
            tick=self.tick,
            device=self.device,
            on_trial=note,
        )
        return tuned.trials, {**fixed, **tuned.settings}

    def _train(self, name: str, config: CommonConfig) -> api.Run:
        folder = self.folder / name
        return api.train(
            self.data,
            self.plan.preset,
            name,
            self.plan.seeds,
            folder,
            config=config,
            resume=True,
            observer=_NamesSeeds(name, folder, self.plan.seeds, self.say, self.observer),
            tick=self.tick,
            device=self.device,
        )

    def _measure(
        self, name: str, run: api.Run, trials: Sequence[Trial]
    ) -> tuple[Measured, Evaluation]:
        evaluation = run.evaluate(self.plan.split, self.data)
        measured = Measured(
            name=name,
            row=evaluation.row(name),
            config=run.best.config,
            size=run.model.size,
            seconds=[trained.seconds for trained in run.trained],
            frames=[trained.frames for trained in run.trained],
            clips_per_second=_speed(run, run.dataset(self.data), self.plan.split),
            trials=trials,
            simple=evaluation.against[name],
        )
        return measured, evaluation


def _with_scores(config: CommonConfig) -> CommonConfig:
    """CMC with a score head, so that error and correlation stand beside the others'."""
    labels = config.labels
    if not isinstance(config, RunConfig) or labels.nominal or labels.head == "regression":
        return config
    return config.with_settings({"model.score_head": True})


class _Trials:
    """The trials of one model in a file, so that a comparison that stopped goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def read(self) -> list[Trial]:
        """Those of an earlier call."""
        if self.path.is_file():
            self.rows = read_json(self.path)
        return [Trial(**row) for row in self.rows]

    def add(self, trial: Trial) -> None:
        """In place of what was kept of this and later numbers."""
        self.rows = [*self.rows[: trial.number], asdict(trial)]
        write_json(self.path, self.rows)


class _NamesSeeds(Observer):
    """Passes on what it is told, and says which seed it is when a new one begins."""

    def __init__(
        self, name: str, folder: Path, seeds: Sequence[int], say: Say, inner: Observer | None
    ) -> None:
        self.name, self.folder, self.seeds, self.say = name, folder, seeds, say
        self.inner = inner or Observer()
        self.seed: int | None = None

    def stage_started(self, stage: Stage, progress: Progress) -> None:
        """The seed that trains is the first whose model is not yet there."""
        seed = next(s for s in self.seeds if not (self.folder / f"seed-{s}" / MODEL_FILE).is_file())
        if seed != self.seed:
            self.say(f"{self.name}, seed {seed}")
            self.seed = seed
        self.inner.stage_started(stage, progress)

    def step_done(self, stage: Stage, epoch: int, clips: int) -> None:
        self.inner.step_done(stage, epoch, clips)

    def epoch_done(self, stage: Stage, progress: Progress) -> None:
        self.inner.epoch_done(stage, progress)

    def stage_finished(self, stage: Stage, progress: Progress) -> None:
        self.inner.stage_finished(stage, progress)


def _speed(run: api.Run, data: Dataset, split: str) -> float:
    """Clips a second from the data set to predictions, the median of some runs."""
    seconds = []
    for _ in range(SPEED_RUNS):
        start = time.perf_counter()
        predict(run.best, data, split)
        seconds.append(time.perf_counter() - start)
    return len(data[split]) / median(seconds)


def _compared(
    plan: Plan,
    data: Dataset,
    found: Sequence[tuple[Measured, Evaluation] | NotRun],
    against: str | None,
    made_by: Mapping[str, str],
) -> Compared:
    """The whole table; raises TricordError where there is no row."""
    not_run = [row for row in found if isinstance(row, NotRun)]
    ran = [pair for pair in found if not isinstance(pair, NotRun)]
    if not ran:
        raise TricordError(f"no model ran; {not_run[0].name}: {not_run[0].reason}")
    rows, about = [row for row, _ in ran], ran[0][1]
    best = best_of(rows)
    simple = simple_rows([evaluation for _, evaluation in ran], [row.name for row in rows])
    return Compared(
        plan=plan,
        rows=rows,
        not_run=not_run,
        floor=about.row(MAJORITY),
        best=best.name,
        against=against_best(rows, best, about.videos),
        metric=about.metric,
        clips=about.clips,
        limits=about.limits,
        source=str(Path(data.source).name),
        fingerprint=data.fingerprint(),
        simulated=data.simulated,
        versions=made_by,
        simple=simple,
        power=power_among(rows, simple, about.videos),
        left_out=list(dict.fromkeys(line for _, one in ran for line in one.left_out)),
        limits_here=about.limits and bayes_limits(data, plan.split),
        versus=None
        if against not in {row.name for row in rows}
        else versus(rows, against, about.masks, about.videos),
    )
