"""tricord predict: probabilities, votes and weights, clip by clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
) -> None:
    """Class probabilities, the modalities' votes and weights, and whether they conflict.

    A model without votes gives a class, and its score or probabilities.
    Of several seeds the one that was best on valid is used.

    Example:

    \b
        tricord predict my-run new.pkl --out predictions.csv
    """
    import csv
    import io
    import json

    from tricord.api import load_model
    from tricord.cli.console import console
    from tricord.data.load import load
    from tricord.errors import ConfigError
    from tricord.files import write_atomically

    if out is not None and out.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"--out {out}: a name ending in .csv or .jsonl expected")
    with console.status("predicting"):
        trained = load_model(run)
        data = load(file)
        names = list(data)
        if split is None:
            split = "test" if "test" in names else names[0]
            if "test" not in names and len(names) > 1:
                raise ConfigError(f"{file}: which split? --split with one of {names}")
        rows = list(trained.predict(data, split).rows())
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
