"""tricord predict: probabilities, votes and weights, clip by clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tricord.inference.predictor import Predictions

RISK = typer.Option(help="Largest share of answers that may be wrong, such as 0.1.")
COVERAGE = typer.Option(help="Least share of sets that hold the true class, such as 0.9.")
UNIT = typer.Option(
    help="Promise these for a clip of a new 'video', or for a new 'clip' of the same videos."
)


def command(
    run: Annotated[Path, typer.Argument(help="A folder that tricord train made.")],
    file: Annotated[
        Path, typer.Argument(help="A feature file, a store or a folder; it needs no labels.")
    ],
    split: Annotated[
        str | None, typer.Option(help="Which split; needed where there are several without test.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A .csv or .jsonl file; CSV on the screen if not given.")
    ] = None,
    risk: Annotated[float | None, RISK] = None,
    coverage: Annotated[float | None, COVERAGE] = None,
    unit: Annotated[str, UNIT] = "video",
) -> None:
    """Class probabilities, the modalities' votes and weights, and whether they conflict.

    Probabilities are calibrated on valid. A model without votes gives a class, and its score or
    probabilities. Of several seeds the one that was best on valid is used.
    --risk adds a column that says where to give no answer, --coverage one with a set of classes.

    Example:

    \b
        tricord predict my-run new.pkl --out predictions.csv
        tricord predict my-run new.pkl --risk 0.1 --coverage 0.9
    """
    import csv
    import io
    import json

    from tricord.api import load_model
    from tricord.cli.console import console, say_absent
    from tricord.data.load import load
    from tricord.errors import ConfigError
    from tricord.files import write_atomically

    if out is not None and out.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"--out {out}: a name ending in .csv or .jsonl expected")
    by_video = by_video_of(unit, risk, coverage)
    with console.status("predicting"):
        trained = load_model(run)
        data = load(file)
        names = list(data)
        if split is None:
            split = "test" if "test" in names else names[0]
            if "test" not in names and len(names) > 1:
                raise ConfigError(f"{file}: which split? --split with one of {names}")
        predictions = trained.predict(data, split)
        rows = list(predictions.rows())
    say_absent(predictions.absent, predictions.modalities, str(file))
    added = _promised(predictions, risk, coverage, by_video=by_video)
    rows = [
        {**row, **{name: column[i] for name, column in added.items()}} for i, row in enumerate(rows)
    ]
    if out is not None and out.suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = buffer.getvalue()
    if out is None:
        typer.echo(text, nl=False)
        return
    write_atomically(out, lambda path: path.write_text(text, encoding="utf-8"))
    console.print(f"{len(rows)} clips of split '{split}' written to {out}", soft_wrap=True)


def by_video_of(unit: str, risk: float | None, coverage: float | None) -> bool:
    """What --unit says; raises ConfigError for a value of the three that cannot be."""
    from tricord.errors import ConfigError

    for name, value in (("risk", risk), ("coverage", coverage)):
        if value is not None and not 0 < value < 1:
            raise ConfigError(f"--{name} {value:g}: a number between 0 and 1 expected")
    if unit not in ("video", "clip"):
        raise ConfigError(f"--unit {unit}: 'video' or 'clip' expected")
    return unit == "video"


def _promised(
    predictions: Predictions, risk: float | None, coverage: float | None, *, by_video: bool
) -> dict[str, list[object]]:
    """Columns by name, N values each; says on what the probabilities and the promises stand."""
    from tricord.cli.console import console
    from tricord.evaluation.calibration import described
    from tricord.inference.confidence import abstains, sets

    if predictions.scheme.head != "regression":
        console.print(described(predictions.calibration), soft_wrap=True)
    added: dict[str, list[object]] = {}
    if risk is not None:
        found = abstains(predictions, risk, by_video)
        added["abstain"] = found.tolist()
        hint = "; --unit clip asks for less" if found.all() and by_video else ""
        console.print(f"no answer for {found.sum()} of {len(found)} clips{hint}", soft_wrap=True)
    if coverage is not None:
        added["set"] = list(sets(predictions, coverage, by_video))
    if added and not predictions.present.all():
        console.print("promises need not hold for clips that lack a modality", soft_wrap=True)
    return added
