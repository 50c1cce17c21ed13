"""tricord data split: new splits that no video or speaker crosses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tricord.cli.data.derived import Out, Overwrite, Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from tricord.data.derive.grouping import SplitReport
    from tricord.data.schema import Dataset


def command(
    source: Source,
    out: Out,
    by: Annotated[
        str,
        typer.Option(help="video, speaker, or a file: .csv (id,group) or .json (id -> group)."),
    ] = "video",
    shares: Annotated[str, typer.Option(help="Of train, valid and test.")] = "0.6,0.2,0.2",
    seed: Annotated[int, typer.Option(help="Another seed is another split.")] = 1,
    keep_test: Annotated[
        bool, typer.Option("--keep-test", help="Leave test as it is; split the rest in two.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Make train, valid and test anew: no group in two of them, all alike.

    Whole videos (or speakers) go to one split, so that a model is judged on
    people it has not seen. Sizes, label classes and the shares of D_msc and
    D_msi come as close to the whole as whole groups allow. The same seed gives
    the same splits.

    A file names the group of each clip id or each video: a .csv with the
    columns id (or video_id) and group (or speaker), or a .json object.
    "speaker" uses what the data say of speakers; where they say nothing, the
    video stands for the speaker.

    Example:

    \b
        tricord data split mosi.pkl fresh.tricord --by speakers.csv --seed 7
    """
    from tricord.cli.console import console
    from tricord.cli.data.derived import opened, save, show_changes
    from tricord.data.admit import admit
    from tricord.data.derive.grouping import split_by_group

    parts = parse_shares(shares)
    data = opened(source, out, overwrite=overwrite)
    admit(data, lazy=True)  # a clip that is there twice could be in two splits
    groups, notes = groups_by(data, by)
    with console.status("looking for even splits"):
        made, report = split_by_group(data, groups, parts, seed, keep_test=keep_test)
    done = {
        "command": "split",
        "by": by,
        "shares": list(parts),
        "seed": seed,
        "keep_test": keep_test,
    }
    notes += save(made, source, out, overwrite=overwrite, done=done)
    _show(report)
    show_changes(data, made, out, notes)


def parse_shares(text: str) -> tuple[float, ...]:
    """``0.6,0.2,0.2`` as numbers; raises ConfigError for another form."""
    from tricord.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--shares: {text!r} found, expected one such as 0.6,0.2,0.2") from None


def groups_by(data: Dataset, by: str) -> tuple[Mapping[str, Sequence[str]], tuple[str, ...]]:
    """Split -> the group of each clip (video, speaker, or by a file), and what to say of it."""
    from pathlib import Path

    from tricord.data.derive.grouping import groups_of, read_groups
    from tricord.errors import ConfigError

    if by == "video":
        return groups_of(data), ()
    if by == "speaker":
        named = data.recipe.get("speakers")
        if isinstance(named, dict):
            return groups_of(data, {str(k): str(v) for k, v in named.items()}), ()
        return groups_of(data), ("the data name no speakers: each video is taken for one",)
    if Path(by).suffix.lower() not in (".csv", ".json"):
        raise ConfigError(f"--by: {by!r} found, expected video, speaker, or a .csv or .json file")
    return groups_of(data, read_groups(Path(by))), ()


def _show(report: SplitReport) -> None:
    """Groups and clips of each split, label shares, and how alike they are."""
    from rich.console import Console
    from rich.text import Text

    from tricord.cli.data.plain import plain

    sizes = _table("split", "groups", "clips", "share", "wanted")
    for name, clips in report.clips.items():
        reached, wanted = f"{report.reached[name]:.3f}", f"{report.wanted[name]:.3f}"
        sizes.add_row(name, str(report.groups[name]), str(clips), reached, wanted)
    labels = _table("label", *report.clips)  # a row each, as there may be many
    for label, found in report.labels.items():
        shares = [f"{100 * found[name]:.1f} %" for name in report.clips]
        labels.add_row(Text(plain(label), overflow="fold"), *shares)
    console = Console(highlight=False)
    console.print(sizes)
    console.print(labels)
    balance = report.balance
    typer.echo(
        f"label classes across splits: chi-square {balance.chi_square:.2f} "
        f"({balance.degrees} df, p {balance.p:.2g}), Cramer's V {balance.cramers_v:.3f}"
    )


def _table(first: str, *others: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column(first)
    for column in others:
        table.add_column(column, justify="right")
    return table
