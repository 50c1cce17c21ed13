"""Figures that are drawn and not saved: a file takes a second, and `write_figure` has its test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

Drawn = dict[str, Figure]  # by the name of the file without its suffix
MODULES = ("importance", "confidence_figures", "robustness_figures")


def keep_unsaved(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Figures of `tricord.experiments` from here on; the files are there, but empty."""
    found: Drawn = {}

    def write_figure(path: Path, size: tuple[float, float], draw: Callable[[Figure], None]) -> None:
        draw(found.setdefault(path.name, Figure(figsize=size)))
        for kind in ("png", "svg"):
            path.with_name(f"{path.name}.{kind}").touch()

    for module in MODULES:
        monkeypatch.setattr(f"tricord.experiments.{module}.write_figure", write_figure)
    return found


def letters(figure: Figure) -> str:
    """All that is written in it."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))
