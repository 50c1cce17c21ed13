"""tricord data subset: some of the clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tricord.cli.data.derived import Out, Overwrite, Source


def command(
    source: Source,
    out: Out,
    keep_consistent: Annotated[
        float | None,
        typer.Option(help="Share of the consistent clips that stays, 0 to 1; D_msi stays whole."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Only these: negative,positive or the file's words.")
    ] = None,
    label_min: Annotated[float | None, typer.Option(help="Only labels of at least this.")] = None,
    label_max: Annotated[float | None, typer.Option(help="Only labels of at most this.")] = None,
    drop_neutral: Annotated[
        bool, typer.Option("--drop-neutral", help="Without clips whose label is 0.")
    ] = False,
    only: Annotated[str | None, typer.Option(help="msc: D_msc only; msi: D_msi only.")] = None,
    ids: Annotated[
        Path | None, typer.Option(help="Only ids in this file: one a line, or .csv with id.")
    ] = None,
    clips: Annotated[
        int | None, typer.Option(help="At most so many clips of each split, by chance.")
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Where; repeatable. Else train with --keep-consistent, all without."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is left to chance.")] = 1,
    overwrite: Overwrite = False,
) -> None:
    """Keep some of the clips; a clip must meet everything that is asked.

    --keep-consistent is the retention of Figures 4 and 5: of the clips of train
    whose four labels have one sign, a share stays; all others stay. With one
    seed, what stays at 40 % is part of what stays at 60 %.

    Examples:

    \b
        tricord data subset sims.pkl kept-40.tricord --keep-consistent 0.4
        tricord data subset sims.pkl small.pkl --clips 50 --drop-neutral
    """
    from typing import get_args

    from tricord.cli.data.derived import one_of, opened, save, show_changes
    from tricord.data.derive.subset import Choice, Part, choose, read_ids, retained
    from tricord.errors import ConfigError

    choice = Choice(
        labels=None if labels is None else labels.split(","),
        low=label_min,
        high=label_max,
        drop_neutral=drop_neutral,
        only=None if only is None else one_of("--only", only, get_args(Part)),
        ids=None if ids is None else read_ids(ids),
        clips=clips,
    )
    if keep_consistent is None and choice == Choice():
        raise ConfigError("nothing asked for: see tricord data subset --help for what to keep")
    data = opened(source, out, overwrite=overwrite)
    splits = split
    if keep_consistent is not None and not split:
        if "train" not in data:
            raise ConfigError(
                f"{source}: no split 'train' to thin out found: name one of {list(data)} by --split"
            )
        splits = ["train"]
    chosen = choose(data, choice, seed, splits)
    if keep_consistent is not None:
        chosen = retained(chosen, keep_consistent, seed, splits or ())
    asked = {
        "keep_consistent": keep_consistent,
        "labels": labels,
        "label_min": label_min,
        "label_max": label_max,
        "drop_neutral": drop_neutral or None,
        "only": only,
        "ids": None if ids is None else ids.name,
        "clips": clips,
        "splits": split,
    }
    done = {"command": "subset", "seed": seed, **{k: v for k, v in asked.items() if v is not None}}
    notes = save(chosen, source, out, overwrite=overwrite, done=done)
    show_changes(data, chosen, out, notes)
