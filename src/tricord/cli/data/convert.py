"""tricord data convert: any feature file into a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tricord.cli.data.joining import AllowMissing, AudioFile, JoinIds, TextFile, VisionFile


def command(
    source: Annotated[Path, typer.Argument(help="A feature file or folder, of any known kind.")],
    store: Annotated[Path, typer.Argument(help="The store to make; its name ends in .tricord.")],
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="MODALITY=float16 halves its size; repeatable. Else float32."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="ch-sims, mosi, ...: note what a score of 0 counts as there."),
    ] = None,
    audio: AudioFile = None,
    vision: VisionFile = None,
    text: TextFile = None,
    allow_missing: AllowMissing = "0",
    join_ids: JoinIds = "exact",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a store of that name, once done.")
    ] = False,
) -> None:
    """Keep a data set as a store: opens at once, needs little memory.

    A store is a folder that holds frames without padding, mapped from the disk
    when they are used. Every command that reads a feature file reads it too.
    Cells that are not finite become 0, and are counted. An interrupted
    conversion leaves no store. --audio, --vision and --text take that modality
    from another file, clip by clip by their ids.

    Example:

    \b
        tricord data convert unaligned_50.pkl mosei.tricord --dtype audio=float16
    """
    from tricord import presets
    from tricord.cli.console import console
    from tricord.cli.data.derived import check_whole, polarity_of, progress
    from tricord.cli.data.joining import with_files
    from tricord.data.admit import admit
    from tricord.data.load import read
    from tricord.data.store import check_place, manifest_of, read_store, write_store
    from tricord.data.store.manifest import file_sha256, provenance_of

    check_place(store, overwrite)
    check_whole(source)
    polarity = polarity_of(source) if preset is None else presets.get(preset).labels.polarity
    dtypes = parse_dtypes(dtype or [])
    with console.status(f"reading {source}"):
        joined = with_files(
            read(source),
            audio=audio,
            vision=vision,
            text=text,
            allow_missing=allow_missing,
            join_ids=join_ids,
        )
        data = admit(joined, lazy=True)
    with progress("checksum of the source") as tick:
        checksum = file_sha256(source, tick) if source.is_file() else None
    with progress(f"writing {store.name}") as tick:
        write_store(
            data,
            store,
            dtypes=dtypes,
            overwrite=overwrite,
            tick=tick,
            provenance=provenance_of(source, checksum),
            polarity=polarity,
        )
    for notice in read_store(store).notices:
        typer.echo(f"note: {notice}")
    written = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    found = manifest_of(store).provenance.bytes
    share = "" if not found else f", {written / found:.2f} of the source's {found / 1e6:.1f} MB"
    typer.echo(f"kept in {store}: {written / 1e6:.1f} MB{share}")


def parse_dtypes(pairs: list[str]) -> dict[str, str]:
    """``MODALITY=DTYPE`` strings to a dictionary; raises ConfigError for another form."""
    from tricord.errors import ConfigError

    chosen: dict[str, str] = {}
    for pair in pairs:
        name, equals, dtype = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--dtype {pair!r} found, expected one such as audio=float16")
        chosen[name] = dtype
    return chosen
