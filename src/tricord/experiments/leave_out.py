"""Leave one group out: every speaker (or video) is test once, and is judged by models that never
saw that group.

For small data, where one test split of a few people says little. A folder holds ``plan.json``, a
run for each group and model, and the result as ``leave-out.json`` and ``leave-out.md``. What is
finished there is not trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tricord import api
from tricord.clips.finding import natural
from tricord.config import CommonConfig
from tricord.data.derive.grouping import TEST, split_by_group
from tricord.data.gather import gather
from tricord.data.schema import SPLITS, UNLABELLED, UNSPLIT, Dataset, FeatureTable
from tricord.device import device_of
from tricord.errors import ConfigError, DataError
from tricord.evaluation.floors import majority
from tricord.evaluation.rows import Judge, Row
from tricord.evaluation.statistics import holm, over_seeds
from tricord.evaluation.table import MAJORITY
from tricord.experiments.compare_table import RESAMPLES, Against
from tricord.experiments.leave_out_text import markdown, to_json
from tricord.features.text import Tick
from tricord.files import write_atomically
from tricord.inference import linear
from tricord.inference.linear import linear_floor
from tricord.inference.predictor import predict
from tricord.labels import LabelScheme
from tricord.models import registry
from tricord.training.checkpoint import read_json, write_json
from tricord.training.label_kinds import words_alone
from tricord.training.loop import Observer

PLAN_FILE, RESULT_FILE, TEXT_FILE = "plan.json", "leave-out.json", "leave-out.md"
Array = NDArray[np.float64]
Say = Callable[[str], object]


@dataclass(frozen=True)
class Plan:
    """preset: None chooses settings, the same for every group: the classes that there are among all
    clips, since a class may be in one group alone, and sizes by the number of clips.

    seeds: of training.

    valid: share of the clips that are left which choose epochs, in whole groups. settings: model
    -> dotted path -> value.
    """

    models: Sequence[str]
    preset: str | None = None
    seeds: Sequence[int] = (1,)
    valid: float = 0.25
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """Rows over all clips, each decided by models that did not see its group.

    rows: the majority, the logistic regression, then the models. groups: (N,) of the clips.
    against: row -> it minus the best of the models, p corrected (Holm); groups resampled.
    """

    plan: Plan
    rows: Sequence[Row]
    groups: NDArray[np.str_]
    best: str
    against: Mapping[str, Against]
    metric: str
    source: str
    fingerprint: str
    simulated: bool

    @property
    def clips(self) -> dict[str, int]:
        """Group -> clips, in the order of the groups."""
        return {str(g): int((self.groups == g).sum()) for g in dict.fromkeys(self.groups.tolist())}

    def of_groups(self, row: Row) -> dict[str, float]:
        """Group -> share of its clips that are decided rightly, mean over seeds."""
        return {g: float(row.right[:, self.groups == g].mean()) for g in self.clips}


def leave_out(
    data: Dataset,
    groups: Mapping[str, Sequence[str]],
    plan: Plan,
    out: Path,
    *,
    observer: Observer | None = None,
    tick: Tick | None = None,
    device: str = "cpu",
    say: Say = lambda line: None,
) -> LeftOut:
    """Train every model once a group and seed; writes the folder ``out``.

    groups: split -> the group of each clip (`tricord.data.derive.grouping.groups_of`). Unlabelled
    clips are left out. device: as `tricord.api.train`. Raises TricordError for a mistake in the
    arguments, for fewer than three groups, and for a folder that holds something else.
    """
    if not plan.models or not 0 < plan.valid < 1:
        raise ConfigError(f"models {list(plan.models)}, valid {plan.valid}: one or more models, "
                          "and a share between 0 and 1 expected")  # fmt: skip
    device_of(device)
    for model in plan.models:
        registry.get(model)  # an unknown name is said before anything is trained
    table, group_of = _pooled(data, groups)
    names = sorted(set(group_of), key=lambda name: natural(Path(name)))
    if len(names) < 3:
        raise DataError(
            f"{data.source}: {len(names)} groups found, expected three or more: one is test, one "
            "valid, one train"
        )
    _open(out, plan, data, names)
    work = _Work(plan, data, out, observer, tick, device, say)
    parts = [work.of_group(table, group_of, name, n) for n, name in enumerate(names, start=1)]
    found = _joined(parts, table, plan, data, group_of)
    write_json(out / RESULT_FILE, to_json(found))
    text = markdown(found)
    write_atomically(out / TEXT_FILE, lambda p: p.write_text(text, encoding="utf-8"))
    return found


@dataclass(frozen=True)
class _Part:
    """One group: which rows it is, the labels' scheme, row name -> (c,)-outputs of each seed."""

    rows: NDArray[np.int64]
    scheme: LabelScheme
    outputs: Mapping[str, Sequence[Array]]
    schemes: Mapping[str, LabelScheme]


@dataclass(frozen=True)
class _Work:
    """configs: by model, the same for every group."""

    plan: Plan
    data: Dataset
    folder: Path
    observer: Observer | None
    tick: Tick | None
    device: str
    say: Say
    configs: dict[str, CommonConfig] = field(default_factory=dict)

    def of_group(
        self, table: FeatureTable, group_of: Sequence[str], name: str, number: int
    ) -> _Part:
        """Train on the others, predict this one."""
        rows = np.flatnonzero(np.array(group_of) == name)
        data = self._without(table, group_of, name)
        outputs: dict[str, Sequence[Array]] = {}
        schemes: dict[str, LabelScheme] = {}
        for model in self.plan.models:
            self.say(f"{name} left out ({number} of {len(set(group_of))}): {model}")
            run = self._train(table, data, model, self.folder / f"{number:02d}" / model)
            found = [predict(t, run.dataset(), TEST, self.tick) for t in run.trained]
            outputs[model] = [p.outputs for p in found]
            schemes[model] = found[0].scheme
            if len(outputs) == 1:
                scheme, floor = run.best.config.labels, run.dataset()
                source = run.best.text_source()
        outputs[MAJORITY] = [majority(floor, scheme, len(rows))]
        outputs[linear.NAME] = [linear_floor(floor, floor, TEST, scheme, source).outputs]
        return _Part(rows, scheme, outputs, schemes)

    def _without(self, table: FeatureTable, group_of: Sequence[str], name: str) -> Dataset:
        """The group as test, the others as train and valid."""
        groups = np.array(group_of)
        test, rest = np.flatnonzero(groups == name), np.flatnonzero(groups != name)
        halves = {TEST: test, "train": rest}
        splits = {
            split: gather(split, [table], np.zeros(len(rows), np.int64), rows)
            for split, rows in halves.items()
        }
        made, _ = split_by_group(
            replace(self.data, splits=splits),
            {split: groups[rows].tolist() for split, rows in halves.items()},
            (1 - self.plan.valid, self.plan.valid, 1),
            keep_test=True,
        )
        return made

    def _train(self, table: FeatureTable, data: Dataset, model: str, folder: Path) -> api.Run:
        if model not in self.configs:
            settings = self.plan.settings.get(model, {})
            whole = replace(data, splits={name: replace(table, name=name) for name in SPLITS[:2]})
            self.configs[model] = api.config_for(whole, self.plan.preset, model, settings)
        return api.train(
            data,
            model=model,
            seed=list(self.plan.seeds),
            out=folder,
            config=self.configs[model],
            resume=True,
            observer=self.observer,
            tick=self.tick,
            device=self.device,
        )


def _pooled(data: Dataset, groups: Mapping[str, Sequence[str]]) -> tuple[FeatureTable, list[str]]:
    """All labelled clips as one table, and their groups."""
    names = [n for n in data.splits if n != UNLABELLED]
    tables = [data[n] for n in names]
    owner = np.repeat(np.arange(len(tables)), [len(t) for t in tables])
    rows = np.concatenate([np.arange(len(t)) for t in tables])
    group_of = [group for n in names for group in groups[n]]
    every = gather(UNSPLIT, tables, owner, rows)
    known = ~np.isnan(every.scores[:, 0])
    if words_alone(every):
        known = np.array([bool(word) for word in every.label_names or ()])
    table = every if known.all() else gather(UNSPLIT, tables, owner[known], rows[known])
    return table, [group for group, there in zip(group_of, known, strict=True) if there]


def _open(folder: Path, plan: Plan, data: Dataset, groups: Sequence[str]) -> None:
    """Note the plan, or check that the folder holds it; models may be added."""
    content = {
        "preset": plan.preset,
        "seeds": list(plan.seeds),
        "valid": plan.valid,
        "settings": {m: {k: str(v) for k, v in s.items()} for m, s in plan.settings.items()},
        "data": data.fingerprint(),
        "groups": list(groups),
    }
    path = folder / PLAN_FILE
    if path.exists():
        kept = read_json(path)
        if kept != content:
            raise ConfigError(f"{folder}: holds something on other terms; name a new folder")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: exists and is nothing of this; name a new folder")
    write_json(path, content)


def _joined(
    parts: Sequence[_Part],
    table: FeatureTable,
    plan: Plan,
    data: Dataset,
    group_of: Sequence[str],
) -> LeftOut:
    """Rows over the clips of all groups, whole groups resampled."""
    scheme = parts[0].scheme
    scores = table.scores.copy()
    if scheme.nominal and table.label_names is not None:
        scores[:, 0] = scheme.encode(table.label_names)
    table = replace(table, scores=scores)
    judge = Judge(table, scheme.to_class(scores[:, 0]), scheme)
    judge.videos = np.array(group_of)
    rows = []
    for name in (MAJORITY, linear.NAME, *plan.models):
        seeds = len(parts[0].outputs[name])
        outputs = [np.empty((len(table), parts[0].outputs[name][0].shape[1])) for _ in range(seeds)]
        for part in parts:
            for whole, of_group in zip(outputs, part.outputs[name], strict=True):
                whole[part.rows] = of_group
        decision = parts[0].schemes.get(name, scheme).decision
        rows.append(judge.row(name, outputs, decision=decision))
    own = rows[2:]
    best = max(own, key=lambda row: float(row.right.mean()))
    return LeftOut(
        plan=plan,
        rows=rows,
        groups=judge.videos,
        best=best.name,
        against=_against(rows, best, judge.videos),
        metric="accuracy" if scheme.polarity is None else "acc2",
        source=Path(data.source).name,
        fingerprint=data.fingerprint(),
        simulated=data.simulated,
    )


def _against(rows: Sequence[Row], best: Row, groups: NDArray[np.str_]) -> dict[str, Against]:
    """Each row minus the best; a row without seeds is the same for each of them."""
    ours = best.right.astype(float)
    others = {r.name: np.broadcast_to(r.right, ours.shape) for r in rows if r is not best}
    found = [
        over_seeds(theirs.astype(float), ours, groups, resamples=RESAMPLES).decision
        for theirs in others.values()
    ]
    corrected = holm([c.p for c in found])
    return {
        name: Against(c.difference, c.p, float(p))
        for name, c, p in zip(others, found, corrected, strict=True)
    }
