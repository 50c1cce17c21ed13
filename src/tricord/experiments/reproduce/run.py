"""An experiment of the paper, run: cells trained, rows measured, claims tested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tricord.data.schema import Dataset
from tricord.device import forked
from tricord.errors import ConfigError, TricordError
from tricord.experiments.reproduce.cells import Cell, load_cell
from tricord.experiments.reproduce.measure import (
    COLUMNS,
    SIZE,
    SUBSETS,
    Judged,
    check_claims,
    judge,
    tested_claims,
)
from tricord.experiments.reproduce.plan import Experiment, Row
from tricord.experiments.reproduce.result import Found, Result
from tricord.experiments.reproduce.work import Work, presets_of, why_failed
from tricord.models import registry
from tricord.training.trained import versions

DEFAULT_COLUMN = "Acc2"


def run_experiment(experiment: Experiment, work: Work) -> Result:
    """Train the rows' cells, measure them on test and test the claims; writes nothing but cells.

    A row that cannot run says why. Raises ConfigError where the experiment itself is wrong, or is
    about none of the data sets, TricordError where no row can run.
    """
    check_claims(experiment.claims, [row.name for row in experiment.rows])
    presets = presets_of(experiment.name, experiment.presets, work.datasets)
    places = [
        _Place(row, preset, work)
        for preset in presets
        for row in experiment.rows
        if row.model is not None or preset in row.paper  # else there is nothing to quote
    ]
    failed = work.run(cell for place in places for cell in place.cells)
    _measure(places, failed, work)
    if all(place.judged is None for place in places):
        reasons = [place.reason for place in places if place.row.model is not None]
        raise TricordError(f"{experiment.name}: no row can run: {'; '.join(reasons[:1])}")
    columns = {preset: _columns(experiment.rows, preset) for preset in presets}
    judged = {
        (place.row.name, place.preset): place.judged for place in places if place.judged is not None
    }
    return Result(
        experiment=experiment,
        found=[place.found(columns[place.preset]) for place in places],
        tested=tested_claims(experiment.claims, judged, presets),
        columns=columns,
        clips={preset: _clips(preset, columns[preset], judged) for preset in presets},
        seeds=work.seeds,
        budget=work.budget,
        protocol=work.protocol,
        by_hand=work.by_hand,
        fingerprints={preset: work.fingerprints[preset] for preset in presets},
        simulated=any(work.datasets[preset].simulated for preset in presets),
        versions=_versions(places),
    )


class _Place:
    """A row on one data set, from its cells to what is known of it."""

    def __init__(self, row: Row, preset: str, work: Work) -> None:
        self.row, self.preset = row, preset
        self.cells: list[Cell] = []
        self.judged: Judged | None = None
        self.size: int | None = None
        self.versions: Mapping[str, str] = {}
        self.reason = ""
        if row.model is None:
            self.reason = f"quoted, not run{f': {row.note}' if row.note else ''}"
            return
        try:
            self.cells = work.cells(row, preset)
        except TricordError as error:
            self.reason = " ".join(str(error).split())

    def found(self, columns: Iterable[str]) -> Found:
        """The row as the result tells it."""
        if self.judged is None:
            return Found(self.row, self.preset, size=self.size, reason=self.reason)
        numbers = {c: n for c in columns if c != SIZE and (n := self.judged.number(c)) is not None}
        config = self.cells[0].config.model_dump(mode="json")
        keys = [cell.key for cell in self.cells]
        return Found(self.row, self.preset, numbers, self.size, config, keys)


def _measure(places: Iterable[_Place], failed: Mapping[str, str], work: Work) -> None:
    """Fill in what the rows decide; rows of the same cells are predicted once."""
    together: dict[tuple[str, ...], list[_Place]] = {}
    for place in places:
        place.reason = place.reason or why_failed(place.cells, failed)
        if place.reason:
            place.size = _size(place, work.datasets[place.preset])
        else:
            together.setdefault(tuple(c.key for c in place.cells), []).append(place)
    for group in together.values():
        try:
            _judge(group, work)
        except TricordError as error:
            for place in group:
                place.reason = " ".join(str(error).split())


def _size(place: _Place, data: Dataset) -> int | None:
    """Of a model that is built and not trained; None where that cannot be."""
    if not place.cells:
        return None
    cell = place.cells[0]
    try:
        with forked():
            return registry.get(cell.model).build(cell.config, data.widths).size
    except TricordError:
        return None


def _judge(group: Sequence[_Place], work: Work) -> None:
    first = group[0]
    trained = [load_cell(cell, work.folder) for cell in first.cells]
    found = judge(trained, work.datasets[first.preset])
    for place in group:
        place.judged = found.get(place.row.output)
        place.size, place.versions = trained[0].model.size, trained[0].versions
        if place.judged is None:
            place.reason = f"{place.row.model} has no decisions of {place.row.output} by itself"


def _columns(rows: Sequence[Row], preset: str) -> tuple[str, ...]:
    """Those that the paper has for this data set, in its order."""
    printed = {column for row in rows for column in row.paper.get(preset, {})}
    if strange := printed - {*COLUMNS, SIZE}:
        raise ConfigError(f"column {min(strange)!r} of the paper is not known")
    return tuple(c for c in (*COLUMNS, SIZE) if c in printed) or (DEFAULT_COLUMN,)


def _clips(
    preset: str, columns: Iterable[str], judged: Mapping[tuple[str, str], Judged]
) -> dict[str, int]:
    """How many of test each column is about; empty where no row ran."""
    masks = next((j.masks for (_, p), j in judged.items() if p == preset), {})
    return {c: int(masks[SUBSETS[c]].sum()) for c in columns if SUBSETS.get(c) in masks}


def _versions(places: Iterable[_Place]) -> dict[str, str]:
    """Of what trained the cells, which may be several; the current ones where nothing ran."""
    found: dict[str, set[str]] = {}
    for place in places:
        for name, version in place.versions.items():
            found.setdefault(name, set()).add(version)
    return {name: " and ".join(sorted(own)) for name, own in found.items()} or versions()
