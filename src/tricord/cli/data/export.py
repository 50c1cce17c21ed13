"""tricord data export: a file for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tricord.cli.data.derived import Overwrite, Source


def command(
    source: Source,
    out: Annotated[Path, typer.Argument(help="The file to write; its name ends in .pkl.")],
    kind: Annotated[str, typer.Option("--format", help="mmsa: the field's pickle.")] = "mmsa",
    overwrite: Overwrite = False,
) -> None:
    """Write an MMSA pickle (protocol 4, plain arrays) that other tools read.

    Features are float32 and padded with zeros; ids and words are lists. Every
    numpy from 1.0 on can read it. What the layout has no place for is said.

    Example:

    \b
        tricord data export sims.tricord sims.pkl
    """
    from tricord.cli.console import console
    from tricord.cli.data.derived import check_out, check_whole, progress
    from tricord.data.admit import admit
    from tricord.data.derive.export import export_mmsa
    from tricord.data.load import read
    from tricord.errors import ConfigError, DataError

    if kind != "mmsa":
        raise ConfigError(f"--format: {kind!r} found, expected mmsa")
    if out.suffix != ".pkl":
        raise DataError(f"{out}: name found, expected one that ends in .pkl")
    check_out(out, overwrite=overwrite)
    check_whole(source)
    with console.status(f"reading {source}"):
        data = admit(read(source), lazy=True)
    with progress(f"writing {out.name}") as tick:
        notes = export_mmsa(data, out, tick)
    for note in (*data.notices, *notes):
        typer.echo(f"note: {note}")
    clips = ", ".join(f"{name} {len(table)}" for name, table in data.splits.items())
    typer.echo(f"written to {out}: {clips} clips, {out.stat().st_size / 1e6:.1f} MB")
