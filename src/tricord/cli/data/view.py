"""`tricord data show`: the summary of a data set on one screen."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tricord.cli.data.plain import plain

_MOST_NOTICES = 4
_SUBSETS = ("D_msc", "D_msi")


def render(summary: dict[str, Any]) -> Group:
    """What `tricord.data.describe.describe` returns, for 80 columns."""
    lines: list[RenderableType] = [Text(plain(summary["source"]), style="bold", overflow="fold")]
    if summary["simulated"]:
        lines.append(Text("SIMULATED: not real data", style="bold yellow"))
    lines += [_splits(summary["splits"]), _sequences(summary) or Text("no features")]
    notices = summary["notices"]
    lines += [Text(plain(f"note: {notice}")) for notice in notices[:_MOST_NOTICES]]
    if len(notices) > _MOST_NOTICES:
        lines.append(Text(f"and {len(notices) - _MOST_NOTICES} more notes"))
    return Group(*lines)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right")
    return table


def _splits(splits: dict[str, Any]) -> Table:
    table = _table("split", "clips", "videos", *_SUBSETS)
    table.add_column("labels", overflow="fold")
    for name, split in splits.items():
        # "negative 7", but "below 0: 7"
        mark = ":" if any(label[-1:].isdigit() for label in split["labels"]) else ""
        labels = ", ".join(f"{label}{mark} {count}" for label, count in split["labels"].items())
        subsets = [str(split["subsets"].get(subset, "-")) for subset in _SUBSETS]
        table.add_row(
            name, str(split["clips"]), str(split["videos"]), *subsets, Text(plain(labels))
        )
    return table


def _sequences(summary: dict[str, Any]) -> Table | None:
    """One row for each modality, one column of lengths for each split; None without features."""
    splits = summary["splits"]
    table = _table("sequence", "width", "padded to", *(f"{name} lengths" for name in splits))
    for modality, width in summary["widths"].items():
        lengths = [split["lengths"][modality] for split in splits.values()]
        if not width:
            if any(
                found["max"] for found in lengths
            ):  # words, which a text encoder makes frames of
                table.add_row(modality, "words", "-", *("" for _ in splits))
            continue
        padded = "/".join(dict.fromkeys(str(found["padded"]) for found in lengths))
        table.add_row(modality, str(width), padded, *map(_range, lengths))
    tokens = dict.fromkeys(str(split["tokens"]) for split in splits.values() if split["tokens"])
    if tokens:
        table.add_row("tokens", "-", "/".join(tokens), *("" for _ in splits))
    if not table.rows:
        return None
    table.caption = "lengths: least - mean - greatest"
    table.caption_justify = "left"
    return table


def _range(lengths: dict[str, Any]) -> str:
    if lengths["mean"] is None:
        return "all absent"
    found = f"{lengths['min']} - {lengths['mean']:.1f} - {lengths['max']}"
    return f"{found}\n{lengths['absent']} absent" if lengths["absent"] else found
