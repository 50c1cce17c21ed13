"""What the drawings of Figures 4 to 7 share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tricord.experiments.reproduce.drawing import note_on_letters, shortened, write_figure
from tricord.report.figures import class_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@pytest.mark.parametrize(
    ("text", "expected"),
    [("four", "four"), ("fives", "fiv…"), ("很好", "很好"), ("很好的", "很…"), ("", "")],
)
def test_a_wide_letter_takes_two_columns(text: str, expected: str) -> None:
    assert shortened(text, 4) == expected


def test_letters_that_may_be_missing_are_spoken_of() -> None:
    assert "PNG" in note_on_letters(["good", "好"])
    assert note_on_letters(["good"]) == ""


def test_every_class_has_a_colour_of_its_own() -> None:
    for classes, ordered in ((("a", "b", "c"), True), (("a", "b", "c"), False), ("abcdefg", True)):
        colours = class_colours(list(classes), ordered=ordered)
        assert len(set(colours)) == len(colours) == len(classes)


def test_the_same_drawing_has_the_same_bytes(tmp_path: Path) -> None:
    def draw(figure: Figure) -> None:
        figure.suptitle("words $_$ 好")

    for folder in ("a", "b"):
        write_figure(tmp_path / folder / "x.y", (1, 1), draw)
    for name in ("x.y.png", "x.y.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert "words $_$ 好" in (tmp_path / "a" / "x.y.svg").read_text(encoding="utf-8")
