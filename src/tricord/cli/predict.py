"""tricord predict: probabilities, votes and weights, clip by clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tricord.api import Run
    from tricord.inference.predictor import Predictions

FEATURES = (".csd", ".csv", ".npz", ".pkl")  # never tried as media
RISK = typer.Option(help="Largest share of answers that may be wrong, such as 0.1.")
COVERAGE = typer.Option(help="Least share of sets that hold the true class, such as 0.9.")
UNIT = typer.Option(
    help="Promise these for a clip of a new 'video', or for a new 'clip' of the same videos."
)


def command(
    run: Annotated[Path, typer.Argument(help="A folder that tricord train made.")],
    file: Annotated[
        Path,
        typer.Argument(
            help="A video or sound file, a folder of such, or a feature file, a store or a folder "
            "of features; it needs no labels."
        ),
    ],
    text: Annotated[
        str | None, typer.Option(help="What is said in the clip; else CLIP.srt, .vtt or .txt.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the clip's time line: a .png, .svg or .pdf file.")
    ] = None,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="A whole video, window by window.")
    ] = False,
    window: Annotated[float | None, typer.Option(help="Its seconds; 6 if not given.")] = None,
    step: Annotated[float | None, typer.Option(help="To the next one; 2 if not given.")] = None,
    srt: Annotated[
        Path | None, typer.Option(help="Subtitles (.srt, .vtt): a row each, with its words.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which split; needed where there are several without test.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A .csv or .jsonl file; the screen if not given.")
    ] = None,
    risk: Annotated[float | None, RISK] = None,
    coverage: Annotated[float | None, COVERAGE] = None,
    unit: Annotated[str, UNIT] = "video",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch models that measuring a clip needs.")
    ] = False,
) -> None:
    """Class probabilities, the modalities' votes and weights, and whether they conflict.

    A clip is measured exactly as the model's training data were; --plot shows what in it the
    decision hangs on, --timeline and --srt how a whole video goes on.
    Probabilities are calibrated on valid. A model without votes gives a class, and its score or
    probabilities. Of several seeds the one that was best on valid is used.
    --risk adds a column that says where to give no answer, --coverage one with a set of classes.

    Example:

    \b
        tricord predict my-run clip.mp4 --text "what was said" --plot clip.png
        tricord predict my-run film.mp4 --srt film.srt --out film.csv
        tricord predict my-run new.pkl --out predictions.csv
        tricord predict my-run new.pkl --risk 0.1 --coverage 0.9
    """
    from tricord.api import load_model
    from tricord.cli.console import console
    from tricord.errors import ConfigError

    if out is not None and out.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"--out {out}: a name ending in .csv or .jsonl expected")
    promise = Promise(risk, coverage, unit)
    of_media = {
        "text": text,
        "plot": plot,
        "timeline": timeline or None,
        "window": window,
        "step": step,
        "srt": srt,
        "download": download or None,
    }
    with console.status("loading the model"):
        trained = load_model(run)
    if is_media(file):
        from tricord.cli.predict_media import Asked, predict_media

        if split is not None:
            raise ConfigError(f"--split {split}: {file} has no splits")
        asked = Asked(file, text, plot, timeline, window, step, srt, out, as_json, download)
        predict_media(trained, asked, promise)
        return
    for name, value in of_media.items():
        if value is not None:
            raise ConfigError(f"--{name}: is for video and sound files, but {file} is none")
    _predict_features(trained, file, split, out, promise, as_json=as_json)


def is_media(file: Path) -> bool:
    """Whether this is a media file, by its suffix or what is in it, or a folder of such.

    Raises ConfigError for a folder of clips with their labels, which is a data set to be, and
    DataError where nothing is there.
    """
    from tricord.clips.finding import SUFFIXES, walk
    from tricord.data.readers.folder import is_clip_folder
    from tricord.data.store import is_store
    from tricord.errors import ConfigError, DataError
    from tricord.types import MODALITIES

    if not file.exists():
        raise DataError(f"{file}: no such file")
    if file.is_dir():
        if is_store(file) or not walk(file).media:
            return False
        labelled = is_clip_folder(file)
        if labelled and not any((file / name).is_dir() for name in MODALITIES):
            raise ConfigError(
                f"{file}: clips with a label table found; tricord extract makes a data set of "
                "them, which tricord predict takes"
            )
        return not labelled
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in FEATURES or not file.is_file():
        return False
    from tricord.media.info import probe

    try:
        probe(file)
    except DataError:
        return False
    return True


class Promise:
    """What --risk, --coverage and --unit ask for."""

    def __init__(self, risk: float | None, coverage: float | None, unit: str) -> None:
        """Raises ConfigError for a value that cannot be."""
        self.risk, self.coverage = risk, coverage
        self.by_video = by_video_of(unit, risk, coverage)

    def columns(self, predictions: Predictions) -> dict[str, list[object]]:
        """Columns by name, N values each; says how many clips get no answer."""
        from tricord.cli.console import console
        from tricord.inference.confidence import abstains, sets

        added: dict[str, list[object]] = {}
        if self.risk is not None:
            found = abstains(predictions, self.risk, self.by_video)
            added["abstain"] = found.tolist()
            hint = "; --unit clip asks for less" if found.all() and self.by_video else ""
            console.print(
                f"no answer for {found.sum()} of {len(found)} clips{hint}", soft_wrap=True
            )
        if self.coverage is not None:
            added["set"] = list(sets(predictions, self.coverage, self.by_video))
        if added and not predictions.present.all():
            console.print("promises need not hold for clips that lack a modality", soft_wrap=True)
        return added


def by_video_of(unit: str, risk: float | None, coverage: float | None) -> bool:
    """What --unit says; raises ConfigError for a value of the three that cannot be."""
    from tricord.errors import ConfigError

    for name, value in (("risk", risk), ("coverage", coverage)):
        if value is not None and not 0 < value < 1:
            raise ConfigError(f"--{name} {value:g}: a number between 0 and 1 expected")
    if unit not in ("video", "clip"):
        raise ConfigError(f"--unit {unit}: 'video' or 'clip' expected")
    return unit == "video"


def say_calibrated(predictions: Predictions) -> None:
    """On what the probabilities stand."""
    from tricord.cli.console import console
    from tricord.inference.confidence import standing

    if predictions.scheme.head != "regression":
        console.print("\n".join(standing(predictions)), soft_wrap=True)


def _predict_features(
    trained: Run,
    file: Path,
    split: str | None,
    out: Path | None,
    promise: Promise,
    *,
    as_json: bool,
) -> None:
    from tricord.cli.console import console, say_absent
    from tricord.data.load import load
    from tricord.errors import ConfigError
    from tricord.inference.recipe import check_recipe

    with console.status("predicting"):
        data = load(file)
        names = list(data)
        if split is None:
            split = "test" if "test" in names else names[0]
            if "test" not in names and len(names) > 1:
                raise ConfigError(f"{file}: which split? --split with one of {names}")
        tools = check_recipe(trained.best, data)
        predictions = trained.predict(data, split)
        rows = list(predictions.rows())
    for line in tools:
        console.print(f"warning: {line} (model, {file}); numbers may differ", soft_wrap=True)
    say_absent(predictions.absent, predictions.modalities, str(file))
    say_calibrated(predictions)
    with_columns(rows, promise.columns(predictions))
    write_rows(rows, out, as_json=as_json, what="clip", of=f" of split '{split}'")


def with_columns(rows: list[dict[str, Any]], columns: dict[str, list[object]]) -> None:
    """Add columns to the rows."""
    for name, column in columns.items():
        for row, value in zip(rows, column, strict=True):
            row[name] = value


def write_rows(
    rows: list[dict[str, Any]], out: Path | None, *, as_json: bool, what: str, of: str = ""
) -> None:
    """As a file of the kind its suffix says; else on the screen, as CSV or JSON.

    what, of: what a row is, for the message.
    """
    import json

    from tricord.cli.console import console
    from tricord.files import write_atomically
    from tricord.report.words import counted

    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    if out is None:
        if not as_json:
            typer.echo(_csv(rows), nl=False)
        return
    if out.suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        text = _csv(rows)
    write_atomically(out, lambda path: path.write_text(text, encoding="utf-8"))
    console.print(f"{counted(len(rows), what)}{of} written to {out}", soft_wrap=True)


def _csv(rows: list[dict[str, Any]]) -> str:
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
