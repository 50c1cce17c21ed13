"""tricord data: look at feature files, check them, mend them, keep them well."""

from __future__ import annotations

import typer

from tricord.cli.data import check, convert, export, fix, show, split, subset

app = typer.Typer(
    help="Look at feature files, check them, mend them, keep them well.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    pass


app.command("show")(show.command)
app.command("check")(check.command)
app.command("fix")(fix.command)
app.command("split")(split.command)
app.command("subset")(subset.command)
app.command("convert")(convert.command)
app.command("export")(export.command)
