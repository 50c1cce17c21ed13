"""What holds for every vision extractor, by one that measures a picture's brightness."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tricord.sight import Extractor
from tricord.sight.extractor import Picture, Row


@dataclass(frozen=True)
class Still:
    time: float
    image: NDArray[np.uint8]


def stills(*levels: int) -> list[Still]:
    return [
        Still(i / 5, np.full((2, 3, 3), level, dtype=np.uint8)) for i, level in enumerate(levels)
    ]


def measure(pictures: Iterator[Picture]) -> Iterator[Row | None]:
    """The level and its half; a black picture has no face."""
    for picture in pictures:
        level = float(picture.image.max())
        yield np.array([level, level / 2], dtype=np.float32) if level else None


TOY = Extractor("toy", 3, 5.0, ("face", "level", "half"), measure, {"face": "largest"}, {"x": "1"})


def test_one_row_a_picture() -> None:
    sight = TOY(stills(10, 30))
    np.testing.assert_array_equal(sight.track.values, [[1, 10, 5], [1, 30, 15]])
    np.testing.assert_array_equal(sight.track.times, [0, 0.2])
    assert sight.track.columns == TOY.columns
    assert (sight.frames, sight.faces) == (2, 2)


def test_a_picture_without_a_face_is_marked_and_leaves_the_means() -> None:
    sight = TOY(stills(0, 10, 0, 30))
    np.testing.assert_array_equal(
        sight.track.values, [[0, 20, 10], [1, 10, 5], [0, 20, 10], [1, 30, 15]]
    )
    assert (sight.frames, sight.faces) == (4, 2)
    assert len(sight.track.times) == 4


@pytest.mark.parametrize("levels", [(), (0,), (0, 0, 0)])
def test_no_face_at_all_is_no_rows(levels: tuple[int, ...]) -> None:
    sight = TOY(stills(*levels))
    assert sight.track.values.shape == (0, 3)
    assert sight.track.times.shape == (0,)
    assert (sight.frames, sight.faces) == (len(levels), 0)


def test_one_picture() -> None:
    np.testing.assert_array_equal(TOY(stills(8)).track.values, [[1, 8, 4]])


def test_pictures_are_not_kept() -> None:
    alive: list[weakref.ref[Still]] = []
    most = 0

    def pictures() -> Iterator[Still]:
        nonlocal most
        for still in range(1, 21):
            picture = Still(still / 5, np.full((2, 3, 3), still, dtype=np.uint8))
            alive.append(weakref.ref(picture))
            most = max(most, sum(ref() is not None for ref in alive))
            yield picture

    assert TOY(pictures()).frames == 20
    assert most <= 3


def test_numbers_that_are_not_finite_are_a_defect() -> None:
    broken = Extractor(
        "broken",
        1,
        5.0,
        ("face", "bad"),
        lambda pictures: (np.array([np.nan], dtype=np.float32) for _ in pictures),
    )
    with pytest.raises(ValueError, match="'bad'"):
        broken(stills(1))


def test_what_it_is_can_be_written_as_json() -> None:
    described = TOY.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["version"] == 3
    assert described["settings"] == {"face": "largest"}
