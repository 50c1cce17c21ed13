"""A figure as PNG and SVG."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

from tricord.files import write_atomically
from tricord.report.figures import INK, SETTINGS, families, in_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

RED = "#d1605e"  # the paper marks words in red
_BOXES = (
    "Letters for which no font was installed are boxes in the PNG; the SVG is drawn with the fonts "
    "of who reads it."
)


def note_on_letters(words: Iterable[str]) -> str:
    """What to say below a drawing of these words, nothing for plain ones."""
    return "" if all(word.isascii() for word in words) else _BOXES


def shortened(text: str, columns: int) -> str:
    """As much of it as fits; a wide letter, such as a Chinese one, takes two columns."""
    ends = accumulate(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
    fitting = sum(end <= columns for end in ends)
    return text if fitting == len(text) else f"{text[: fitting - 1]}…"


def write_figure(path: Path, size: tuple[float, float], draw: Callable[[Figure], None]) -> None:
    """What ``draw`` makes of an empty figure, beside each other as .png and .svg.

    path: without a suffix. size: inches.
    """
    import matplotlib
    from matplotlib.figure import Figure

    own = {"legend.fontsize": 8.5, "svg.hashsalt": path.name, "font.family": families()}
    settings: Any = {**SETTINGS, **in_colour(INK), **own}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # an SVG's letters are drawn by the reader's fonts
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=size, layout="constrained", dpi=150)
        draw(figure)
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            _save(figure, path.with_name(f"{path.name}.{kind}"), kind, metadata)


def write_rows(
    path: Path, width: float, height: float, head: str, rows: Sequence[Callable[[SubFigure], None]]
) -> None:
    """The same of a row each, below each other; nothing for none.

    width, height: of a row, in inches. head: above all, such as SIMULATED.
    """

    def draw(figure: Figure) -> None:
        figure.suptitle(head, x=0.005, ha="left", fontsize=9.5)
        places = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for place, draw_row in zip(places, rows, strict=True):
            draw_row(place)

    if rows:
        write_figure(path, (width, 0.35 + height * len(rows)), draw)


def _save(figure: Figure, path: Path, kind: str, metadata: dict[str, None]) -> None:
    write_atomically(path, lambda p: figure.savefig(p, format=kind, metadata=metadata))
