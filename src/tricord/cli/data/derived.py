"""What commands share that make one file of data from another: open, write, say what changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from rich.table import Table

    from tricord.data.progress import Tick
    from tricord.data.schema import Dataset, FeatureTable
    from tricord.types import Polarity

SOURCE = typer.Argument(help="A feature file, a store or a folder, of any known kind.")
OUT = typer.Argument(help="What to write: NAME.tricord (a store) or NAME.pkl (MMSA format).")
Source = Annotated[Path, SOURCE]
Out = Annotated[Path, OUT]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there, once all is done.")
]


def one_of(option: str, found: str, known: Iterable[Any]) -> Any:
    """The known value that an option names; raises ConfigError for another."""
    from tricord.errors import ConfigError

    values = list(known)
    for value in values:
        if value == found:
            return value
    raise ConfigError(f"{option}: {found!r} found, expected {' or '.join(map(str, values))}")


def opened(source: Path, out: Path, *, overwrite: bool) -> Dataset:
    """The source as it is, its sequences read when asked for.

    Raises DataError where it cannot be read or is a damaged store, and before anything is read
    where ``out`` is there already or has no known suffix.
    """
    from tricord.cli.console import console
    from tricord.data.gather import deferred
    from tricord.data.load import read

    check_out(out, overwrite=overwrite)
    check_whole(source)
    with console.status(f"reading {source}"):
        return deferred(read(source))


def check_whole(source: Path) -> None:
    """Raises DataError for a store that is damaged: its copy would have checksums that fit."""
    from tricord.data.store import is_store, verify_store
    from tricord.errors import DataError

    if not is_store(source):
        return
    with progress(f"checksums of {source.name}") as tick:
        damage = verify_store(source, tick)
    if damage:
        raise DataError(f"{damage[0]}; convert the source again (tricord data convert SRC NEW)")


def check_out(out: Path, *, overwrite: bool) -> None:
    """Raises DataError for a place that cannot be written to."""
    from tricord.data.store import check_place
    from tricord.data.store.format import SUFFIX
    from tricord.errors import DataError

    if out.suffix == ".pkl":
        if out.is_dir():
            raise DataError(f"{out}: is a folder, expected a file")
        if out.exists() and not overwrite:
            raise DataError(f"{out}: exists already; --overwrite replaces it")
    elif out.suffix == SUFFIX:
        check_place(out, overwrite)
    else:
        raise DataError(f"{out}: name found, expected one that ends in {SUFFIX} or .pkl")


def save(
    dataset: Dataset, source: Path, out: Path, *, overwrite: bool, done: Mapping[str, Any]
) -> tuple[str, ...]:
    """Write a data set whole or not at all; returns what to know of the file, and what was mended.

    done: what was done to the source, kept with the data in the recipe's ``history``.
    """
    from dataclasses import replace

    from tricord.data.admit import admit
    from tricord.data.derive.export import export_mmsa
    from tricord.data.store import write_store

    before = dataset.recipe.get("history", [])
    history = [*(before if isinstance(before, list) else [before]), {**done, "of": source.name}]
    recipe = {**dataset.recipe, "history": history}
    admitted = admit(replace(dataset, recipe=recipe), lazy=True)
    with progress(f"writing {out.name}") as tick:
        if out.suffix == ".pkl":
            notes = export_mmsa(admitted, out, tick)
        else:
            notes = ()
            write_store(admitted, out, overwrite=overwrite, tick=tick, polarity=polarity_of(source))
    mended = list(admitted.notices)[len(dataset.notices) :]
    return (*dict.fromkeys(mended), *notes)


def polarity_of(source: Path) -> Polarity | None:
    """What the source, where it is a store, says of it."""
    from tricord.data.store import is_store, manifest_of
    from tricord.types import Polarity

    said = manifest_of(source).polarity if is_store(source) else None
    return None if said is None else Polarity(said)


def progress(what: str) -> AbstractContextManager[Tick]:
    """A bar of bytes done, on terminals."""
    from contextlib import contextmanager

    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from tricord.cli.console import console

    @contextmanager
    def shown() -> Iterator[Tick]:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as bar:
            task = bar.add_task(what)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    return shown()


def changes_table(before: Dataset, after: Dataset) -> Table:
    """Clips, D_msc and D_msi of each split, before and after."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    for place, column in enumerate(("split", "clips", "D_msc", "D_msi")):
        table.add_column(column, justify="left" if place == 0 else "right")
    for name in dict.fromkeys((*before.splits, *after.splits)):
        old, new = (_counts(data.splits.get(name)) for data in (before, after))
        cells = [f"{a} -> {b}" for a, b in zip(old, new, strict=True)]
        table.add_row(name, *("-" if cell == "- -> -" else cell for cell in cells))
    return table


def _counts(table: FeatureTable | None) -> tuple[str, str, str]:
    """Clips in all, in D_msc and in D_msi; ``-`` where unknown."""
    from tricord.data.splits import subset_masks
    from tricord.types import Subset

    if table is None:
        return "-", "-", "-"
    found = {name: str(mask.sum()) for name, mask in subset_masks(table.scores).items()}
    return found[Subset.TEST], found.get(Subset.MSC, "-"), found.get(Subset.MSI, "-")


def show_changes(before: Dataset, after: Dataset, out: Path, notes: tuple[str, ...] = ()) -> None:
    """Print the table, what to know, and where the result is."""
    from rich.console import Console

    Console(highlight=False).print(changes_table(before, after))
    for note in notes:
        typer.echo(f"note: {note}")
    typer.echo(f"written to {out}")
