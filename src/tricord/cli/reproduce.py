"""tricord reproduce: the paper's tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from tricord.experiments.reproduce.result import Result
    from tricord.experiments.reproduce.work import Work

ALL = "all"


def command(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="WHAT...",
            help="table1 (Tables I and II), table4 to table8, fig4 to fig7, or all.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder with ch-sims.pkl, mosi.pkl, ...; without it CH-SIMS is simulated."
        ),
    ] = None,
    datasets: Annotated[
        str | None,
        typer.Option(help="Of ch-sims,ch-sims-v2,mosi,mosei; all that are there if not given."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many trainings of each model.")] = 5,
    budget: Annotated[
        str, typer.Option(help="quick: a few epochs; paper: published settings.")
    ] = "quick",
    protocol: Annotated[
        str, typer.Option(help="default, or released: the original's selection, one seed.")
    ] = "default",
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME or DATASET=NAME: a language model on this machine, to train along as in "
            "the paper; ready text features if not given. Repeatable."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="MODEL.SETTING=VALUE, changed by hand; repeatable."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for results and trained models.")] = Path(
        "reproduced"
    ),
    workers: Annotated[int, typer.Option(min=1, help="How many trainings at a time.")] = 1,
) -> None:
    """Train what a table or figure of the paper needs, and set ours beside its numbers.

    Writes NAME.json, NAME.md, NAME.csv and figures. The same command goes on where it stopped;
    tables share what they have in common.

    Example:

    \b
        tricord reproduce table5 table8 --data features --budget paper
    """
    from tricord.cli.compare import by_model
    from tricord.cli.console import console
    from tricord.cli.train import parse_settings
    from tricord.experiments.compare_table import SIMULATED
    from tricord.experiments.reproduce.budget import budget_named
    from tricord.experiments.reproduce.data import datasets as find
    from tricord.experiments.reproduce.work import DATA_FOLDER, Work, check_folder
    from tricord.models import registry

    wanted = experiments(names)
    changed = by_model(parse_settings(settings or []), list(registry.MODELS))
    presets = None if datasets is None else [d.strip() for d in datasets.split(",") if d.strip()]
    check_folder(out)
    with console.status("reading data"):
        found = find(data, out / DATA_FOLDER, budget_named(budget), presets)
    for preset, one in found.items():
        for notice in one.notices:
            console.print(f"note: {preset}: {notice}", markup=False)
    if any(one.simulated for one in found.values()):
        console.print(SIMULATED, style="bold")
    work = Work(
        found,
        out,
        seeds=range(1, seeds + 1),
        budget=budget,
        protocol=protocol,
        workers=workers,
        encoders=encoders_of(encoder or [], list(found)),
        settings=changed,
        say=lambda line: console.print(line, markup=False, soft_wrap=True),
    )
    try:
        _run_all(wanted, work)
    except KeyboardInterrupt:
        console.print("what is finished is kept; to go on, give the same command again")
        raise
    console.print(f"kept in {out}", soft_wrap=True)


def experiments(names: Sequence[str]) -> dict[str, Any]:
    """Those of the catalogue that are named; raises ConfigError for another name."""
    from tricord.errors import ConfigError
    from tricord.experiments.reproduce.catalogue import EXPERIMENTS

    if strange := [name for name in names if name not in EXPERIMENTS and name != ALL]:
        there = ", ".join([*EXPERIMENTS, ALL])
        raise ConfigError(f"{strange[0]!r} cannot be reproduced; there is: {there}")
    return {k: v for k, v in EXPERIMENTS.items() if k in names or ALL in names}


def encoders_of(typed: Sequence[str], presets: Sequence[str]) -> dict[str, str]:
    """Preset -> language model; one without a data set in front is for all others."""
    own = dict(text.split("=", 1) for text in typed if "=" in text)
    plain = [text for text in typed if "=" not in text]
    return {**{preset: plain[-1] for preset in presets if plain}, **own}


def _run_all(wanted: Mapping[str, Any], work: Work) -> None:
    """One after the other; where there are several, one that cannot be made is said and left."""
    from rich.console import Console

    from tricord.cli.console import console
    from tricord.errors import TricordError
    from tricord.experiments.reproduce.plan import Experiment
    from tricord.experiments.reproduce.run import run_experiment
    from tricord.experiments.reproduce.text import write

    for experiment in wanted.values():
        console.print(experiment.title, style="bold", markup=False, soft_wrap=True)
        try:
            if isinstance(experiment, Experiment):
                result = run_experiment(experiment, work)
                write(result, work.out)
                Console(highlight=False).print(_shown(result))
            else:
                experiment.run(work.context())
        except TricordError as error:
            if len(wanted) == 1:
                raise
            console.print(f"{experiment.name}: not made: {error}", markup=False, soft_wrap=True)


def _shown(result: Result) -> Group:
    """Tables of 80 columns, one a data set; intervals are in the documents."""
    from rich.console import Group
    from rich.text import Text

    from tricord.experiments.compare_table import SIMULATED
    from tricord.experiments.reproduce.budget import TOO_SMALL

    parts: list[Any] = [Text(SIMULATED, style="bold")] if result.simulated else []
    parts += [Text(f"{result.experiment.title}, in percent", style="bold")]
    parts += [Text(f"budget {result.budget}: {TOO_SMALL}")] if result.too_small else []
    for preset in result.columns:
        missing = [f for f in result.of(preset) if f.reason and f.row.model is not None]
        notes = (Text(f"{f.row.name}: not run: {f.reason}") for f in missing)
        parts += [_table(result, preset), *notes]
    return Group(*parts, *(Text(line) for line in _claims(result)))


def _table(result: Result, preset: str) -> Table:
    from rich.table import Table

    from tricord.experiments.reproduce.measure import SIZE
    from tricord.experiments.reproduce.text import cells

    shown = tuple(column for column in result.columns[preset] if column != SIZE)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(preset, overflow="fold")
    for column in shown:
        table.add_column(column, justify="right", no_wrap=True)
        table.add_column("paper", justify="right", no_wrap=True)
    for found in result.of(preset):
        table.add_row(found.row.name, *cells(found, shown, brief=True))
    return table


def _claims(result: Result) -> Iterator[str]:
    from tricord.experiments.reproduce.text import verdict
    from tricord.report.words import p_value

    for tested in result.tested:
        claim = tested.claim
        p = "" if tested.p_holm is None else f", p {p_value(tested.p_holm)} (Holm)"
        what = f"{claim.higher} above {claim.lower}, {tested.preset} {claim.column}"
        yield f"{what}: {verdict(result, tested)}{p}"
