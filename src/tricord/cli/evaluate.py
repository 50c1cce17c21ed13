"""tricord evaluate: the honest table of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tricord.api import Run
    from tricord.data.schema import Dataset


def command(
    run: Annotated[Path, typer.Argument(help="A folder that tricord train made.")],
    split: Annotated[str, typer.Option(help="test or valid.")] = "test",
    data: Annotated[
        Path | None,
        typer.Option(help="Other data than those trained on: a feature file, store or folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Accuracy with 95 % intervals beside the majority and single modalities.

    Keeps the numbers as evaluation-SPLIT.json and, of CMC, a report.html in the run's folder,
    unless --data names another file.

    Example:

    \b
        tricord evaluate my-run --split test
    """
    from tricord.api import load_model
    from tricord.cli.console import console

    with console.status("evaluating"):
        trained = load_model(run)
        dataset = trained.dataset(data)
    report(trained, dataset, split, as_json=as_json, console_only=data is not None)


def report(
    run: Run, data: Dataset, split: str, *, as_json: bool = False, console_only: bool = False
) -> None:
    """Print the table; keep it with a report in the run's folder unless told not to."""
    from rich.console import Console

    from tricord.cli.console import console, evaluation_table, say_absent
    from tricord.inference.predictor import absent_modalities
    from tricord.report import write_report
    from tricord.training.checkpoint import write_json
    from tricord.training.cmc import TrainedCMC

    with console.status(f"evaluating on {split}"):
        evaluation = run.evaluate(split, data)
    if not run.model.needs_all:
        say_absent(absent_modalities(run.best, data[split]), run.best.widths, data.source)
    if as_json:
        typer.echo(json.dumps(evaluation.to_json(), indent=1, ensure_ascii=False))
    else:
        Console(highlight=False).print(evaluation_table(evaluation))
    if console_only or run.folder is None:
        return
    write_json(run.folder / f"evaluation-{split}.json", evaluation.to_json())
    if not isinstance(run.best, TrainedCMC):
        console.print(f"numbers: {run.folder / f'evaluation-{split}.json'}", soft_wrap=True)
        return
    with console.status("writing the report"):
        path = run.folder / ("report.html" if split == "test" else f"report-{split}.html")
        models = {run.name: run.trained}
        write_report(path, evaluation=evaluation, models=models, data=data, split=split)
    console.print(f"report: {path}", soft_wrap=True)
