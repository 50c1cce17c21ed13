"""Finding faces, and choosing one of several."""

from __future__ import annotations

import importlib.util

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from drawn_clips import face
from tricord.errors import ConfigError
from tricord.sight import faces
from tricord.sight.faces import FACES, Box, Detector, choose, one_thread

Image = NDArray[np.uint8]

SHAPE = (240, 640)  # of `two_faces`
SMALL, BIG = Box(300, 100, 40, 40), Box(10, 10, 90, 90)

boxes = st.builds(
    Box,
    st.floats(-50, 700),
    st.floats(-50, 300),
    st.floats(1, 300),
    st.floats(1, 300),
)


def two_faces() -> Image:
    """A large one on the left, a small one on the right, nearer the middle."""
    image = np.full((*SHAPE, 3), 90, dtype=np.uint8)
    image[:, :320] = face(width=320, height=240)
    image[60:180, 320:480] = face(width=160, height=120)
    return image


def test_overlap_by_hand() -> None:
    box = Box(0, 0, 2, 2)
    assert box.overlap(box) == 1
    assert box.overlap(Box(1, 1, 2, 2)) == pytest.approx(1 / 7)
    assert box.overlap(Box(0, 0, 4, 2)) == pytest.approx(1 / 2)
    assert box.overlap(Box(2, 0, 2, 2)) == 0  # they touch
    assert box.overlap(Box(5, 5, 2, 2)) == 0


@given(boxes, boxes)
def test_overlap_is_a_share_both_ways(one: Box, other: Box) -> None:
    assert 0 <= one.overlap(other) <= 1 + 1e-9
    assert one.overlap(other) == pytest.approx(other.overlap(one))


def test_the_largest_and_the_one_in_the_middle() -> None:
    for order in ([SMALL, BIG], [BIG, SMALL]):
        assert choose(order, SHAPE, "largest", None) == BIG
        assert choose(order, SHAPE, "largest", SMALL) == BIG
        assert choose(order, SHAPE, "central", BIG) == SMALL


def test_the_middle_is_of_a_picture_of_height_and_width() -> None:
    wide, high = Box(310, 110, 20, 20), Box(110, 310, 20, 20)
    assert choose([high, wide], (240, 640), "central", None) == wide
    assert choose([high, wide], (640, 240), "central", None) == high


def test_tracked_begins_with_the_largest_and_stays_with_it() -> None:
    first = choose([SMALL, BIG], SHAPE, "tracked", None)
    assert first == BIG
    shrunk, grown = Box(20, 20, 60, 60), Box(280, 80, 120, 120)
    assert choose([grown, shrunk], SHAPE, "tracked", first) == shrunk


def test_tracked_goes_on_with_the_nearest_where_none_overlaps() -> None:
    near, far = Box(120, 10, 20, 20), Box(500, 10, 200, 200)
    assert choose([far, near], SHAPE, "tracked", BIG) == near


@pytest.mark.parametrize("how", FACES)
def test_no_box_and_one_box(how: str) -> None:
    assert choose([], SHAPE, how, BIG) is None
    assert choose([SMALL], SHAPE, how, BIG) == SMALL


@pytest.mark.parametrize("how", FACES)
@given(found=st.lists(boxes, min_size=1, max_size=5), previous=st.none() | boxes)
def test_only_a_face_that_is_there_is_chosen(
    how: str, found: list[Box], previous: Box | None
) -> None:
    chosen = choose(found, SHAPE, how, previous)
    assert chosen in found
    if how == "largest":
        assert chosen is not None
        assert chosen.area == max(box.area for box in found)


@pytest.mark.parametrize("some", [[], [BIG]])
def test_another_way_to_choose_is_refused(some: list[Box]) -> None:
    with pytest.raises(ConfigError, match=r"face 'smallest' found.*largest, central, tracked"):
        choose(some, SHAPE, "smallest", None)


@pytest.mark.parametrize("height", [120, 240, 480])
def test_a_drawn_face_is_found_where_it_is(height: int) -> None:
    width = height * 4 // 3
    (box,) = Detector()(face(width=width, height=height))
    x, y = box.centre
    assert x == pytest.approx(width / 2, abs=0.05 * height)
    assert y == pytest.approx(height / 2, abs=0.1 * height)
    assert box.w == pytest.approx(0.85 * height, abs=0.15 * height)
    assert box.w == box.h


def test_two_faces_are_found_the_larger_first() -> None:
    large, small = Detector()(two_faces())
    assert large.centre[0] < 320 < small.centre[0]
    assert large.area > 2 * small.area


def test_the_same_picture_gives_the_same_boxes() -> None:
    find = Detector()
    once = find(two_faces())
    find(face(width=160, height=120))
    assert find(two_faces()) == once == Detector()(two_faces())


@pytest.mark.parametrize("shape", [(240, 320), (1, 1), (5, 900), (900, 5), (26, 26)])
def test_there_is_no_face_in_one_colour(shape: tuple[int, int]) -> None:
    assert Detector()(np.full((*shape, 3), 120, dtype=np.uint8)) == []


def test_a_face_too_small_is_not_found() -> None:
    image = np.full((480, 640, 3), 90, dtype=np.uint8)
    image[:48, :64] = face()
    assert Detector()(image) == []


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'faces' needs opencv.*tricord\[clips\]"):
        Detector()


def test_an_opencv_without_cascades_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "CASCADE", "none.xml")
    with pytest.raises(ConfigError, match=r"needs the file none.xml of OpenCV 4.*tricord\[clips\]"):
        Detector()


def test_threads_are_as_before_afterwards() -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        with one_thread():
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 2
        Detector()(face(width=160, height=120))
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
