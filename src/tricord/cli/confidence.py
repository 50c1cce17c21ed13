"""tricord confidence: whether probabilities hold, and what can be promised with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tricord.cli.predict import COVERAGE, RISK, UNIT, by_video_of

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

    from tricord.evaluation.statistics import Interval
    from tricord.experiments.confidence_result import Confidence, Measured

HEADS = {
    "ece": "ECE",
    "ece_mass": "ECE mass",
    "brier": "Brier",
    "log_loss": "log loss",
    "aurc": "AURC",
    "excess_aurc": "excess",
}


def command(
    run: Annotated[Path, typer.Argument(help="A folder that tricord train made.")],
    split: Annotated[str, typer.Option(help="test or valid.")] = "test",
    data: Annotated[
        Path | None,
        typer.Option(help="Other data than those trained on: a feature file, store or folder."),
    ] = None,
    method: Annotated[str, typer.Option(help="temperature, vector or none.")] = "temperature",
    risk: Annotated[float, RISK] = 0.1,
    coverage: Annotated[float, COVERAGE] = 0.9,
    unit: Annotated[str, UNIT] = "video",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Calibration, abstaining, sets of classes and the conflict score, over all seeds.

    All is fitted on valid and looked at on the split. Keeps confidence-SPLIT.json and figures in
    the run's folder, unless --data names another file.

    Example:

    \b
        tricord confidence my-run --risk 0.2 --coverage 0.9
    """
    import json

    from rich.console import Console

    from tricord.api import load_model
    from tricord.cli.console import console
    from tricord.errors import ConfigError
    from tricord.evaluation.calibration import METHODS
    from tricord.experiments.confidence import measure, write

    by_video = by_video_of(unit, risk, coverage)
    chosen = next((m for m in METHODS if m == method), None)
    if chosen is None:
        raise ConfigError(f"--method {method}: one of {', '.join(METHODS)} expected")
    with console.status("measuring"):
        found = measure(
            load_model(run),
            data,
            split,
            method=chosen,
            risk=risk,
            coverage=coverage,
            by_video=by_video,
        )
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        Console(highlight=False).print(_shown(found))
    if data is None:
        with console.status("drawing"):
            write(found, run)
        console.print(f"kept in {run}: confidence-{split}.json, .png, .svg", soft_wrap=True)


def _shown(found: Confidence) -> Group:
    from rich.console import Group
    from rich.text import Text

    from tricord.report.words import counted

    title = (
        f"{found.name} on {found.split}, {counted(len(found.seeds), 'seed')}; {found.method}, "
        f"fitted on {found.fitted_on}"
    )
    parts = [Text("SIMULATED DATA", style="bold")] if found.simulated else []
    return Group(
        *parts,
        Text(title, style="bold"),
        _calibration(found),
        Text(_classwise(found)),
        Text(),
        *_answers(found),
        Text(),
        *_sets(found),
        Text(),
        *_conflict(found),
    )


def _calibration(found: Confidence) -> Table:
    table = _table(["", "", *HEADS.values()])
    for row in found.rows:
        name = f"{_subset(row)} (n={row.clips})" if row.name == "consensus" else f"vote {row.name}"
        for place, seeds in (("before", row.before), ("after", row.after)):
            numbers = [f"{_mean(seeds, key):.3f}" for key in HEADS]
            table.add_row(name if place == "before" else "", place, *numbers)
    return table


def _subset(row: Measured) -> str:
    from tricord.types import Subset

    return "all" if row.subset is Subset.TEST else str(row.subset)


def _mean(seeds: Sequence[Mapping[str, float]], key: str) -> float:
    return sum(numbers[key] for numbers in seeds) / len(seeds)


def _classwise(found: Confidence) -> str:
    parts = [f"{n} {before:.3f} to {after:.3f}" for n, (before, after) in found.classwise.items()]
    return f"ECE of each class by itself: {', '.join(parts)}"


def _answers(found: Confidence) -> list[RenderableType]:
    table = _table(["seed", "answer above", "answered, %", "wrong of these, % (95 %)"])
    for row in found.answers:
        if row.threshold is None or row.answered is None:
            table.add_row(str(row.seed), "cannot be promised", "-", "-")
            continue
        wrong = "-" if row.wrong is None else _interval(row.wrong)
        answered = f"{100 * row.answered.estimate:.1f}"
        table.add_row(str(row.seed), f"{row.threshold:.3f}", answered, wrong)
    return [f"At most {100 * found.risk:g} % wrong, {_promise(found)}, 9 times in 10:", table]


def _sets(found: Confidence) -> list[RenderableType]:
    table = _table(["seed", "classes from", "hold the true one, % (95 %)", "mean size"])
    for row in found.sets:
        numbers = f"{row.threshold:.3f}", _interval(row.held), f"{row.size:.2f}"
        table.add_row(str(row.seed), *numbers)
    asked = f"Sets that hold the true class in {100 * found.coverage:g} %, {_promise(found)}:"
    return [asked, table]


def _conflict(found: Confidence) -> list[RenderableType]:
    if not found.detectors:
        return ["Conflict score: no votes, or D_msi is not known in valid and here"]
    table = _table(["seed", "AUROC", "AUPRC", "flagged from", "found, %", "spared, %"])
    for row in found.detectors:
        areas = f"{row.auroc:.3f}", f"{row.auprc:.3f}", f"{row.threshold:.3f}"
        shares = f"{100 * row.sensitivity:.1f}", f"{100 * row.specificity:.1f}"
        table.add_row(str(row.seed), *areas, *shares)
    base = 100 * found.detectors[0].base
    return [f"Conflict score as a detector of D_msi ({base:.1f} % of the clips):", table]


def _promise(found: Confidence) -> str:
    return "for clips of new videos" if found.by_video else "for new clips of the same videos"


def _interval(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.estimate:.1f} ({low:.1f}-{high:.1f})"


def _table(columns: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place > 1 else "left", no_wrap=True)
    return table
