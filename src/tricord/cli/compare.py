"""tricord compare: several models on one data set, on the same terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tricord.cli.train import DEVICE

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from tricord.data.schema import Dataset
    from tricord.experiments.compare_table import Compared

ALL = "all"


def command(
    file: Annotated[
        Path, typer.Argument(help="A feature file, a store or a folder, of any known kind.")
    ],
    models: Annotated[
        str, typer.Option(help="Names with commas between, or all; tricord models lists them.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to make; it will hold all runs.")],
    preset: Annotated[
        str | None,
        typer.Option(
            help="ch-sims, ch-sims-v2, mosi, mosei or tiny: labels and sizes; chosen from the "
            "data if not given."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many trainings of each model.")] = 5,
    tune: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Trials on valid for each model; 0: its published settings."
        ),
    ] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="MODEL.SETTING=VALUE, or all.SETTING=VALUE for every model; repeatable."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="test or valid.")] = "test",
    against: Annotated[
        str | None,
        typer.Option(help="A model; its difference to each other one, for every subset."),
    ] = None,
    device: Annotated[str, typer.Option(help=DEVICE)] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Train several models with the same splits, seeds and budget: one table.

    Writes compare.json, compare.md and two figures. The same command goes on where it stopped;
    models may be added to --models. A model that cannot run on the data is a row that says why.

    Example:

    \b
        tricord compare sim.pkl --preset ch-sims --models cmc,self-mm --out duel
    """
    import json

    from rich.console import Console

    from tricord.cli.console import console, read
    from tricord.cli.live import Live
    from tricord.cli.train import parse_settings
    from tricord.experiments.compare import compare
    from tricord.presets import AUTOMATIC

    names = models_named(models)
    chosen = by_model(parse_settings(settings or []), names)
    data = read(file)
    _say_what_was_chosen(data, preset, names, chosen)
    with Live() as live, _say_how_to_go_on():
        compared = compare(
            data,
            preset or AUTOMATIC,
            names,
            out,
            seeds=seeds,
            trials=tune,
            settings=chosen,
            split=split,
            against=against,
            observer=live,
            tick=live.encoding,
            device=device,
            say=lambda line: console.print(line, style="bold", markup=False, soft_wrap=True),
        )
    if as_json:
        typer.echo(json.dumps(compared.to_json(), indent=1, ensure_ascii=False))
    else:
        Console(highlight=False).print(_shown(compared))
    console.print(f"kept in {out}: compare.md, compare.json, figures", soft_wrap=True)


def by_model(pairs: Mapping[str, str], models: Sequence[str]) -> dict[str, dict[str, str]]:
    """``model.a.b`` -> value to model -> ``a.b`` -> value; a model's own wins over ``all``.

    models: those that may be named. Raises ConfigError where a name starts with none of them.
    """
    from tricord.errors import ConfigError

    shared: dict[str, str] = {}
    own: dict[str, dict[str, str]] = {model: {} for model in models}
    for path, value in pairs.items():
        owners = [o for o in (ALL, *models) if path.startswith(f"{o}.")]
        if not owners:
            raise ConfigError(
                f"--set {path}={value}: MODEL.SETTING expected, MODEL one of "
                f"{', '.join(models)}, or {ALL}"
            )
        owner = max(owners, key=len)  # names may hold dots
        (shared if owner == ALL else own[owner])[path.removeprefix(f"{owner}.")] = value
    found = {model: {**shared, **settings} for model, settings in own.items()}
    return {model: settings for model, settings in found.items() if settings}


def models_named(models: str) -> list[str]:
    """As typed: names with commas between, or all of the registry."""
    from tricord.models import registry

    if models == ALL:
        return list(registry.MODELS)
    return [name.strip() for name in models.split(",") if name.strip()]


def _say_what_was_chosen(
    data: Dataset, preset: str | None, models: Sequence[str], settings: Mapping[str, Any]
) -> None:
    """As for the first of the models that can have settings for this data."""
    from tricord import api
    from tricord.cli.train import say_what_was_chosen
    from tricord.errors import TricordError

    for name in models:
        try:
            config = api.config_for(data, preset, name, settings.get(name))
        except TricordError:  # its row will say so
            continue
        return say_what_was_chosen(data, config)


@contextmanager
def _say_how_to_go_on() -> Iterator[None]:
    from tricord.cli.console import console

    try:
        yield
    except KeyboardInterrupt:
        console.print("what is finished is kept; to go on, give the same command again")
        raise


def _shown(compared: Compared) -> Group:
    """The rows in two parts of 80 columns: what is right, and on what and at what cost."""
    from rich.console import Group
    from rich.text import Text

    from tricord.experiments.compare_table import SIMULATED
    from tricord.experiments.compare_text import below, cells, floor_cells
    from tricord.report.words import counted

    floors = (compared.floor, *compared.simple)
    floor = {row.name: floor_cells(compared, row) for row in floors}
    rows = {**floor, **{row.name: cells(compared, row) for row in compared.rows}}
    subsets = [str(s) for s in compared.clips][1:]
    parts = [Text(SIMULATED, style="bold")] if compared.simulated else []
    title = (
        f"{compared.metric} on {compared.plan.split} in %, "
        f"{counted(len(compared.plan.seeds), 'seed')}; "
        f"{compared.plan.budget}"
    )
    return Group(
        *parts,
        Text(title, style="bold"),
        _part(rows, [compared.metric, "sd", "95 %", "to best", "p", "F1", "MAE", "Corr"]),
        Text(),
        _part(rows, [*subsets, "size", "train s", "frames", "clips/s"]),
        *(Text(f"{row.name}: not run: {row.reason}") for row in compared.not_run),
        *(Text(line) for line in below(compared)),
        Text("p: against the best row, Holm-corrected; the rest is explained in compare.md"),
    )


def _part(rows: Mapping[str, Mapping[str, str]], columns: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(name, *(row[column] for column in columns))
    return table
