"""The commands and their help; each imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from tricord.cli import (
    bench,
    clips,
    compare,
    confidence,
    data,
    demo,
    evaluate,
    extract,
    importance,
    labels,
    leave_out,
    models,
    predict,
    reproduce,
    robustness,
    simulate,
    train,
)

HELP = """Multimodal emotion recognition with calibrated consensus (CMC).

Start with a demonstration that needs no data (about two minutes):

    tricord demo

Your own clips, a folder of videos or sound files:

\b
    tricord clips init CLIPS
    tricord extract CLIPS --labels CLIPS/label.csv --out mydata.tricord
    tricord train mydata.tricord --out my-run
    tricord predict my-run CLIP

Features that you have, a file, a store or a folder:

\b
    tricord data show FILE
    tricord data check FILE
    tricord train FILE --preset ch-sims --out my-run
    tricord evaluate my-run
    tricord predict my-run FILE --out predictions.csv
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
app.command("demo")(demo.command)
app.command("simulate")(simulate.command)
app.add_typer(data.app, name="data")
app.add_typer(clips.app, name="clips")
app.command("extract")(extract.command)
app.command("train")(train.command)
app.command("evaluate")(evaluate.command)
app.command("labels")(labels.command)
app.command("predict")(predict.command)
app.command("confidence")(confidence.command)
app.command("models")(models.command)
app.command("compare")(compare.command)
app.command("leave-out")(leave_out.command)
app.command("importance")(importance.command)
app.command("robustness")(robustness.command)
app.command("reproduce")(reproduce.command)
app.command("bench")(bench.command)


def _version(show: bool) -> None:
    if show:
        from tricord._version import __version__

        typer.echo(f"tricord {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
