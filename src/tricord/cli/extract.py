"""tricord extract: a folder of clips and their labels into a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tricord.clips.cache import Cache
    from tricord.clips.estimate import Estimate
    from tricord.clips.extract import Extraction, Observer
    from tricord.clips.listing import ClipTable
    from tricord.clips.recipe import Recipe
    from tricord.data.readers.label_table import LabelTable

MOST_FAILURES = 5  # that are shown; the others are in the file
WORKER_BYTES = 1 << 30  # of memory: a worker with a small language model holds 0.7 GB


def command(
    clips: Annotated[Path, typer.Argument(help="The folder with the clips.")],
    labels: Annotated[Path, typer.Option(help="Their labels; tricord clips init makes one.")],
    out: Annotated[Path, typer.Option(help="The store to make; its name ends in .tricord.")],
    recipe: Annotated[str, typer.Option(help="light, facemesh or sound (no pictures).")] = "light",
    text: Annotated[
        str | None, typer.Option(help="minilm or transformers:NAME; none: leave text out.")
    ] = None,
    audio: Annotated[
        str | None,
        typer.Option(
            help="librosa-33, librosa-33-logf0, logmel-80, egemaps-25 or transformers:NAME; "
            "none: leave audio out."
        ),
    ] = None,
    vision: Annotated[
        str | None,
        typer.Option(help="light, facemesh or transformers:NAME; none: leave vision out."),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Pictures a second; 5 if not given.")] = None,
    face: Annotated[
        str | None, typer.Option(help="Of several faces: largest, central or tracked.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Clips side by side; one a core if not given.")
    ] = None,
    shares: Annotated[
        str, typer.Option(help="Of train, valid, test, where the labels do not say the split.")
    ] = "0.6,0.2,0.2",
    download: Annotated[
        bool, typer.Option("--download", help="Fetch models that are not on this machine.")
    ] = False,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep each clip, so that a run can go on.")
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a store of that name, once done.")
    ] = False,
) -> None:
    """Measure what is said, heard and seen in clips, as a data set to train on.

    What is measured is kept: a run that was stopped goes on where it was when
    the same command is given again. Clips that cannot be measured are listed
    with the reason in NAME.failures.csv, and the rest goes on. The recipe is
    kept in the data set and in every model trained on it. NAME.extraction.json
    says how long it took and what is missing.

    Example:

    \b
        tricord extract clips/ --labels label.csv --out mydata.tricord
    """
    from dataclasses import replace

    from tricord.cli.console import console
    from tricord.cli.data.split import parse_shares
    from tricord.clips.cache import Cache
    from tricord.clips.extract import extract
    from tricord.clips.listing import read_clips
    from tricord.clips.splits import with_splits
    from tricord.data.store import check_place

    check_place(out, overwrite)
    listed = read_clips(clips, labels)
    table, notes = with_splits(listed, parse_shares(shares))
    table = replace(table, notices=(*listed.notices, *notes))
    for notice in table.notices:
        console.print(f"note: {notice}", markup=False)
    with console.status("opening the extractors"):
        chosen = _recipe(recipe, text, audio, vision, rate, face, download)
    keep = Cache() if cache else None
    with _observer() as observer, _say_what_is_kept(keep):
        found = extract(
            listed.clips,
            chosen,
            workers=workers or default_workers(),
            observer=observer,
            cache=keep,
            store=out,
        )
    _finish(found, chosen, listed, table, clips, out, overwrite)


def default_workers() -> int:
    """One a core that this process may use, as far as memory goes."""
    import os

    usable = getattr(os, "sched_getaffinity", None)
    cores = os.cpu_count() or 1 if usable is None else len(usable(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores, memory // WORKER_BYTES))


def _recipe(
    name: str,
    text: str | None,
    audio: str | None,
    vision: str | None,
    rate: float | None,
    face: str | None,
    download: bool,
) -> Recipe:
    """The recipe, and what its extractors want a user to know on the screen."""
    import warnings

    from tricord.cli.console import console
    from tricord.clips.build import build
    from tricord.sound.extractor import LicenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LicenceWarning)
        built = build(
            name, text=text, audio=audio, vision=vision, rate=rate, face=face, download=download
        )
    for warning in caught:
        console.print(f"note: {warning.message}", markup=False)
    return built


def _observer() -> AbstractContextManager[Observer]:
    """A bar of clips with the time left; failures as they come."""
    from contextlib import contextmanager

    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from tricord.cli.console import console
    from tricord.clips.extract import Observer

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )

    class Shown(Observer):
        def started(self, clips: int, media_seconds: float) -> None:
            console.print(f"{clips} clips, {duration(media_seconds)} of sound and pictures")
            self._task = bar.add_task("starting workers", total=clips)

        def estimated(self, estimate: Estimate) -> None:
            console.print(
                f"estimated: {duration(estimate.seconds)} more, {estimate.bytes / 1e6:.0f} MB of "
                "the disk"
            )

        def clip_done(self, done: int, clips: int, failed: Any) -> None:
            bar.update(self._task, completed=done, description="measuring")

    @contextmanager
    def shown() -> Iterator[Observer]:
        with bar:
            yield Shown()

    return shown()


def duration(seconds: float) -> str:
    """``4 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _say_what_is_kept(cache: Cache | None) -> AbstractContextManager[None]:
    from contextlib import contextmanager

    from tricord.cli.console import console

    @contextmanager
    def said() -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            if cache is not None:
                console.print("what was measured is kept: to go on, give the same command again")
            raise

    return said()


def _finish(
    found: Extraction,
    recipe: Recipe,
    listed: ClipTable,
    table: LabelTable,
    folder: Path,
    out: Path,
    overwrite: bool,
) -> None:
    """Write the store and what stands beside it, and say what came of it."""
    from tricord.cli.data.derived import progress
    from tricord.clips.dataset import dataset_of
    from tricord.clips.failures import write_failures
    from tricord.clips.summary import summary_of, write_summary
    from tricord.data.admit import admit
    from tricord.data.store import write_store
    from tricord.errors import DataError

    failures = out.with_suffix(".failures.csv")
    write_failures(failures, found.failed)
    if not found.features:
        raise DataError(
            f"{folder}: none of {len(found.failed)} clips could be measured, see {failures}; the "
            f"first: {found.failed[0].reason}"
        )
    ids = (clip.id for clip in listed.clips)
    speakers = None if listed.groups is None else dict(zip(ids, listed.groups, strict=True))
    data = admit(
        dataset_of(found.features, recipe, table, source=str(folder), speakers=speakers, lazy=True),
        lazy=True,
    )
    with progress(f"writing {out.name}") as tick:
        write_store(data, out, overwrite=overwrite, tick=tick)
    summary = summary_of(found, recipe, data)
    write_summary(out.with_suffix(".extraction.json"), summary)
    _show(found, summary, list(data.notices)[len(table.notices) :], typer.echo)
    if found.failed:
        for failed in found.failed[:MOST_FAILURES]:
            typer.echo(f"failed: {failed.id}: {failed.reason}")
        typer.echo(f"{len(found.failed)} failed, left out: see {failures}")
    typer.echo(f"written to {out}")


def _show(
    found: Extraction, summary: dict[str, Any], notices: list[str], echo: Callable[[str], None]
) -> None:
    """Clips and faces of each split, what is missing, and the speed."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column("split")
    for column in ("clips", "pictures", "with a face"):
        table.add_column(column, justify="right")
    for name, counts in summary["splits"].items():
        frames, faces = counts["frames"], counts["faces"]
        share = f"{100 * faces / frames:.1f} %" if frames else "-"
        table.add_row(name, str(counts["clips"]), str(frames), share)
    Console(highlight=False).print(table)
    for notice in notices:
        echo(f"note: {notice}")
    speed = None if found.from_cache else found.real_time_factor  # else of the new ones only
    echo(
        f"{summary['clips']} clips, {duration(found.media_seconds)} of media in "
        f"{duration(found.seconds)}"
        + (f", {speed:.1f} times real time" if speed else "")
        + (f", {found.from_cache} from an earlier run" if found.from_cache else "")
    )
