"""tricord data show: what a file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    file: Annotated[
        Path, typer.Argument(help="A feature file, a store or a folder, of any known kind.")
    ],
    preset: Annotated[
        str | None, typer.Option(help="Whose classes to count: ch-sims, mosi, ...")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Splits, shapes, lengths, label balance, missing keys, D_msc and D_msi.

    Example:

    \b
        tricord data show unaligned_39.pkl --preset ch-sims
        tricord data show my.tricord
    """
    import json

    from rich.console import Console

    from tricord.cli.console import console
    from tricord.cli.data.view import render
    from tricord.data.describe import describe
    from tricord.data.load import load
    from tricord.data.validate import check_labels

    with console.status(f"reading {file}"):
        data = load(file)
    scheme = None
    if preset is not None:
        from tricord import presets
        from tricord.api import config_for

        presets.get(preset)
        scheme = config_for(data, preset).labels
        data = check_labels(data, scheme)
    summary = describe(data, scheme)
    if as_json:
        typer.echo(json.dumps(summary, indent=1, ensure_ascii=False))
    else:
        Console(highlight=False).print(render(summary))
