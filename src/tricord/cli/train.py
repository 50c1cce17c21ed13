"""tricord train: one model on a feature file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tricord.api import Run
    from tricord.config import CommonConfig
    from tricord.data.schema import Dataset

DEVICE = "What training computes on: cpu, cuda, cuda:1, or auto."
WIDTH, INDENT = 79, 10  # of lines, and of what stands before them


def command(
    file: Annotated[
        Path, typer.Argument(help="A feature file, a store or a folder, of any known kind.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to make; it will hold the run.")],
    preset: Annotated[
        str | None,
        typer.Option(
            help="ch-sims, ch-sims-v2, mosi, mosei or tiny: labels and sizes; chosen from the "
            "data if not given."
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="cmc, one of its variants (cmc-variant, cmc-gt, cmc-wo-plgm, ...) or a baseline "
            "(self-mm, early-fusion, ...); tricord models lists them."
        ),
    ] = "cmc",
    seed: Annotated[
        list[int] | None, typer.Option(help="May be given several times: mean and spread.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting: finetune.temperature=0.05; repeatable."),
    ] = None,
    released: Annotated[
        bool, typer.Option("--released", help="All options as in the released implementation.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run that was stopped.")
    ] = False,
    checkpoint_minutes: Annotated[
        float,
        typer.Option(metavar="N", help="Minutes that a stop may lose; 0: one epoch."),
    ] = 10,
    device: Annotated[str, typer.Option(help=DEVICE)] = "cpu",
    test: Annotated[
        bool, typer.Option("--test", help="Then evaluate on the test split, and write a report.")
    ] = False,
) -> None:
    """Train on train, select on valid; the test split stays sealed.

    Prints the table on valid when done. A text encoder: --set text.encoder=NAME_OR_FOLDER.

    Example:

    \b
        tricord train mydata.tricord --out my-run
        tricord train sim.pkl --preset ch-sims --seed 1 --seed 2 --out my-run
    """
    from tricord import api
    from tricord.cli.console import read
    from tricord.cli.evaluate import report
    from tricord.cli.interrupted import say_what_is_kept
    from tricord.cli.live import Live

    chosen = parse_settings(settings or [])
    data = read(file)
    config = api.config_for(data, preset, model, chosen, released=released)
    say_what_was_chosen(data, config)
    with Live() as live, say_what_is_kept(out):
        run = api.train(
            data,
            preset,
            model,
            seed or [1],
            out,
            config=config,
            resume=resume,
            observer=live,
            tick=live.encoding,
            checkpoint_minutes=checkpoint_minutes,
            device=device,
        )
    report(run, data, "valid", console_only=True)
    say_what_is_frozen(run)
    if test:
        report(run, data, "test")
    else:
        typer.echo(f"kept in {out}; the test split was not touched: tricord evaluate {out}")


def say_what_was_chosen(data: Dataset, config: CommonConfig) -> None:
    """A line for each thing that was chosen from the data, with its reason."""
    import textwrap

    from tricord.cli.console import console
    from tricord.training.automatic import explained

    lines = explained(data, config)
    if lines:
        console.print("settings chosen from train and valid:", style="bold")
    for line in lines:
        text = f"{line.value} ({line.why})" if line.why else line.value
        shown = textwrap.fill(
            text, WIDTH, initial_indent=f"{line.what:<{INDENT}}", subsequent_indent=" " * INDENT
        )
        console.print(shown, markup=False, soft_wrap=True)


def say_what_is_frozen(run: Run) -> None:
    """A line for every modality whose pseudo labels could not move."""
    from tricord.cli.console import console
    from tricord.inference.recovery import frozen_labels
    from tricord.training.cmc import TrainedCMC

    lines = [s for t in run.trained if isinstance(t, TrainedCMC) for s in frozen_labels(t)]
    for line in dict.fromkeys(lines):
        console.print(f"warning: {line}", soft_wrap=True)


def parse_settings(pairs: list[str]) -> dict[str, str]:
    """``a.b=c`` strings to a dictionary; raises ConfigError for another form."""
    from tricord.errors import ConfigError

    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {pair!r} found, NAME=VALUE expected")
        settings[name] = value
    return settings
