"""Settings chosen on valid: Optuna's TPE over a model's own search space."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tricord import api
from tricord.config import CommonConfig
from tricord.data.schema import Dataset
from tricord.errors import ConfigError, TricordError
from tricord.features.text import Tick
from tricord.models import registry
from tricord.models.entry import Choice, Range, Search
from tricord.training.loop import Observer

if TYPE_CHECKING:
    import optuna

SEED = 1


@dataclass(frozen=True)
class Trial:
    """One attempt.

    settings: what was changed; none in the first trial, which is the published settings.
    value: the selection criterion on valid, None where the trial failed. epoch: the one kept.
    seconds: of the whole trial. error: why it failed.
    """

    number: int
    settings: Mapping[str, Any]
    value: float | None
    epoch: int | None
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Tuned:
    """config: complete settings of the best trial. settings: what it changed. trials: all."""

    config: CommonConfig
    settings: Mapping[str, Any]
    trials: Sequence[Trial]


def tune(
    data: Dataset,
    preset: str,
    model: str,
    trials: int,
    *,
    seed: int = SEED,
    settings: Mapping[str, Any] | None = None,
    done: Sequence[Trial] = (),
    observer: Observer | None = None,
    tick: Tick | None = None,
    device: str = "cpu",
    on_trial: Callable[[Trial], None] | None = None,
) -> Tuned:
    """The settings with the smallest selection criterion on valid; the test split is sealed.

    The first trial is the published settings, so that tuning can never choose worse ones by its
    own measure; the others are TPE's (Bergstra et al. 2011) over ``Entry.search``. Every trial
    trains with the same seed, which is the sampler's as well: same arguments, same result.

    settings: fixed in every trial, and taken out of the search. done: trials of an earlier call
    with the same arguments, which are not trained again. device: as `tricord.api.train`.
    on_trial: told of each new trial.
    A trial that ends in a TricordError has failed and is kept as such. Without anything to search
    nothing is tried. Raises ConfigError where Optuna is missing or ``trials`` is below 1, and
    TricordError where all trials failed.
    """
    if trials < 1:
        raise ConfigError(f"trials: {trials} found, 1 or more expected")
    fixed = dict(settings or {})
    task = _Task(data.seal("test"), preset, model, seed, fixed, observer, tick, device)
    space = {k: v for k, v in registry.get(model).search.items() if k not in task.settings}
    found: list[Trial] = []
    with _study(seed) as study:
        for number in range(trials if space else 0):
            asked = study.ask() if number else None
            chosen = {} if asked is None else _suggest(asked, space)
            trial = _kept(done, number, chosen)
            if trial is None:
                trial = task.attempt(number, chosen)
                if on_trial is not None:
                    on_trial(trial)
            if asked is not None:
                study.tell(asked, trial.value, state=_state(trial))
            found.append(trial)
    best = _best(found).settings if found else {}
    return Tuned(task.config(best), best, found)


@dataclass(frozen=True)
class _Task:
    """What all trials of a search share."""

    data: Dataset
    preset: str
    model: str
    seed: int
    settings: Mapping[str, Any]
    observer: Observer | None
    tick: Tick | None
    device: str

    def config(self, chosen: Mapping[str, Any]) -> CommonConfig:
        """Complete settings of a trial."""
        return api.config_for(self.data, self.preset, self.model, {**self.settings, **chosen})

    def attempt(self, number: int, chosen: Mapping[str, Any]) -> Trial:
        """Train once and read the criterion of the kept epoch."""
        start = time.monotonic()
        value, epoch, error = None, None, ""
        try:
            value, epoch = self._train(self.config(chosen))
        except TricordError as reason:
            error = str(reason)
        return Trial(number, chosen, value, epoch, round(time.monotonic() - start, 3), error)

    def _train(self, config: CommonConfig) -> tuple[float, int]:
        """(criterion, epoch) of the kept epoch."""
        run = api.train(
            self.data,
            self.preset,
            self.model,
            self.seed,
            config=config,
            observer=self.observer,
            tick=self.tick,
            device=self.device,
        )
        numbers = run.trained[0].selected()
        if config.criterion not in numbers:
            raise TricordError("no epoch was kept, so that there is nothing to judge the trial by")
        return numbers[config.criterion], int(numbers["epoch"])


def _suggest(asked: optuna.Trial, space: Search) -> dict[str, Any]:
    return {name: _one(asked, name, values) for name, values in space.items()}


def _one(asked: optuna.Trial, name: str, values: Range | Choice) -> Any:
    if isinstance(values, Range):
        return asked.suggest_float(name, values.low, values.high, log=values.log)
    # by place, since Optuna takes no lists as categories
    return values.values[asked.suggest_categorical(name, range(len(values.values)))]


def _kept(done: Sequence[Trial], number: int, chosen: Mapping[str, Any]) -> Trial | None:
    """The earlier trial of this number, if it tried the same settings."""
    if number < len(done) and done[number].settings == chosen:
        return done[number]
    return None


def _best(trials: Sequence[Trial]) -> Trial:
    """The first with the smallest value."""
    finished = [(t.value, t.number) for t in trials if t.value is not None]
    if not finished:
        raise TricordError(f"each of {len(trials)} trials failed; the first: {trials[0].error}")
    return trials[min(finished)[1]]


def _state(trial: Trial) -> optuna.trial.TrialState:
    from optuna.trial import TrialState

    return TrialState.FAIL if trial.value is None else TrialState.COMPLETE


def check_optuna() -> None:
    """Raise ConfigError where it is missing."""
    try:
        import_module("optuna")
    except ImportError:
        raise ConfigError(
            'optuna, which tuning needs, is not installed: pip install "tricord[tune]"'
        ) from None


@contextmanager
def _study(seed: int) -> Iterator[optuna.Study]:
    """A study that says nothing on the screen."""
    check_optuna()
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    finally:
        optuna.logging.set_verbosity(before)
