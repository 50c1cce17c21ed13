"""HTML that is escaped unless it says otherwise: ids, words and names come from users' files."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_VOID = frozenset({"meta"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def markup(content: object) -> Html:
    """Markup as it is; anything else as escaped text."""
    return content if isinstance(content, Html) else Html(html.escape(str(content)))


def join(parts: Iterable[object], between: str = "") -> Html:
    """One piece of markup of several, with escaped text between them."""
    return Html(html.escape(between).join(map(markup, parts)))


def tag(name: str, /, *content: object, **attributes: object) -> Html:
    """An element. ``class_`` stands for class, ``aria_label`` for aria-label."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    end = "" if name in _VOID else f"{join(content)}</{name}>"
    return Html(f"<{name}{written}>{end}")


def table(head: Sequence[object], rows: Iterable[Sequence[object]], caption: object = "") -> Html:
    """A table that scrolls sideways where it is too wide; the first cell of a row heads it."""
    body = (
        tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest))
        for first, *rest in rows
    )
    content = tag(
        "table",
        tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))),
        tag("tbody", *body),
    )
    # beside the table, not in it: it must not scroll with it
    above = tag("p", caption, class_="soft") if caption else Html()
    return join([above, tag("div", content, class_="wide")])


def section(title: str, *content: object) -> Html:
    """A part of the page under its heading."""
    return tag("section", tag("h2", title), *content)


def folded(summary: str, content: Html) -> Html:
    """Shown when asked for."""
    return tag("details", tag("summary", summary), content)


def charts(drawn: Iterable[Html], legend: str = "") -> Html:
    """Figures side by side, with what holds for all below them."""
    below = tag("p", legend, class_="soft") if legend else Html()
    return join([tag("div", *drawn, class_="charts"), below])


def items(points: Iterable[object]) -> Html:
    """A list with bullets."""
    return tag("ul", *(tag("li", point) for point in points))
