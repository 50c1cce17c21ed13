"""tricord models: what can be trained, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from tricord.models.entry import Entry


def command(
    name: Annotated[str | None, typer.Argument(help="One model: everything about it.")] = None,
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Parameters for each data set, beside the paper's.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """List the models that tricord train and tricord compare know.

    Example:

    \b
        tricord models --sizes
        tricord models cmc
    """
    import json

    from rich.console import Console

    from tricord.models import registry

    entries = {name: registry.get(name)} if name else registry.MODELS
    if as_json:
        found = {n: registry.sizes(n) if sizes else _facts(entry) for n, entry in entries.items()}
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    console = Console(highlight=False)
    if sizes:
        console.print(_sizes(entries))
    elif name:
        console.print(_about(entries[name]))
    else:
        console.print(_list(entries))


def _facts(entry: Entry) -> dict[str, Any]:
    """What the registry says, as plain values."""
    return {
        "title": entry.title,
        "paper": entry.paper,
        "year": entry.year,
        "licence": entry.licence,
        "needs": list(entry.needs),
        "uses": list(entry.uses),
        "search": {setting: _tried(values) for setting, values in entry.search.items()},
    }


def _list(entries: Mapping[str, Entry]) -> Table:
    table = _plain_table("name", "title", "year", "needs")
    for entry in entries.values():
        table.add_row(entry.name, entry.title, str(entry.year), "; ".join(entry.needs))
    table.caption = "tricord models NAME shows one in full"
    return table


def _sizes(entries: Mapping[str, Entry]) -> Table:
    """Two lines a model: counted, and what the paper prints."""
    from tricord.models import registry

    table = _plain_table("", *registry.WIDTHS)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, entry in entries.items():
        counted = registry.sizes(name)
        table.add_row(name, *(f"{counted[preset]:,}" for preset in registry.WIDTHS))
        if entry.published:
            table.add_row(*_published(entry, registry.WIDTHS), style="dim")
    table.title = "Parameters outside the language model, counted"
    table.caption = "paper: printed in Table IV of the CMC paper"
    return table


def _published(entry: Entry, presets: Mapping[str, object]) -> Iterator[str]:
    yield "  paper"
    for preset in presets:
        yield f"{entry.published[preset]:,}" if preset in entry.published else "-"


def _about(entry: Entry) -> Table:
    """Two columns: what, and what it is."""
    from tricord.models import registry

    table = _plain_table(entry.name, entry.title)
    counted = registry.sizes(entry.name)
    for what, text in (
        ("paper", f"{entry.paper} ({entry.year})"),
        ("licence", entry.licence),
        ("needs", "; ".join(entry.needs) or "labelled clips"),
        ("makes use of", "; ".join(entry.uses)),
        ("size", _by_preset({preset: f"{n:,}" for preset, n in counted.items()})),
        ("size, the paper's", _by_preset({p: f"{n:,}" for p, n in entry.published.items()})),
    ):
        table.add_row(what, text or "-")
    _add_part(table, "settings", _settings(entry, list(counted)))
    _add_part(table, "search", {k: _tried(v) for k, v in entry.search.items()})
    return table


def _add_part(table: Table, title: str, rows: Mapping[str, str]) -> None:
    table.add_section()
    table.add_row(f"[bold]{title}[/bold]", "" if rows else "none")
    for what, text in rows.items():
        table.add_row(f"  {what}", text)


def _settings(entry: Entry, presets: list[str]) -> dict[str, str]:
    """Dotted path -> its value, or its value for each data set where they differ."""
    trees = {
        preset: dict(_leaves(entry.config(preset).model_dump(mode="json"))) for preset in presets
    }
    names = [n for n in trees[presets[0]] if n != "preset" and not n.startswith("labels.")]
    return {
        name: _by_preset({preset: _shown(tree.get(name)) for preset, tree in trees.items()})
        for name in names
    }


def _leaves(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _by_preset(values: Mapping[str, str]) -> str:
    """One value where all are the same."""
    if len(set(values.values())) <= 1:
        return next(iter(values.values()), "")
    return ", ".join(f"{preset}: {value}" for preset, value in values.items())


def _tried(values: Any) -> str:
    from tricord.models.entry import Range

    if isinstance(values, Range):
        return f"{values.low:g} to {values.high:g}{' (log)' if values.log else ''}"
    return ", ".join(map(_shown, values.values))


def _shown(value: Any) -> str:
    """As it would be typed after --set."""
    import json

    return value if isinstance(value, str) else json.dumps(value)


def _plain_table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title_justify="left", caption_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, no_wrap=place == 0, overflow="fold")
    return table
