"""The head's frame: what is left of a face without its pose, and the pose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mesh_face import front
from tricord.sight.mesh_points import (
    LANDMARKS,
    LEFT_IRIS,
    MIDDLE,
    NAMED,
    PAIRS,
    RIGHT_IRIS,
    align,
    angles,
    in_pixels,
)

Array = NDArray[np.float64]


def turn(yaw: float, pitch: float, roll: float) -> Array:
    """R_y(yaw) R_x(-pitch) R_z(roll) of angles in degrees."""
    a, b, c = np.radians([yaw, -pitch, roll])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def test_every_named_point_is_another_landmark() -> None:
    assert len(NAMED) == 2 * len(PAIRS) + len(MIDDLE) == len(set(NAMED.values()))
    assert max(NAMED.values()) < RIGHT_IRIS < LEFT_IRIS < LANDMARKS


def test_a_face_from_the_front_stays_as_it_is() -> None:
    head = align(front())
    assert head is not None
    np.testing.assert_allclose(head.points, front(), atol=1e-12)
    assert (head.yaw, head.pitch, head.roll) == pytest.approx((0, 0, 0))
    assert head.size == pytest.approx(1)
    np.testing.assert_allclose(head.centre, 0, atol=1e-12)


@given(
    yaw=st.floats(-80, 80),
    pitch=st.floats(-80, 80),
    roll=st.floats(-170, 170),
    size=st.floats(5, 500),
    place=st.tuples(*[st.floats(-1000, 1000)] * 3),
    seed=st.integers(0, 1000),
)
def test_pose_place_and_size_leave_no_trace(
    yaw: float, pitch: float, roll: float, size: float, place: tuple[float, ...], seed: int
) -> None:
    face = front() + np.random.default_rng(seed).normal(0, 0.02, (LANDMARKS, 3))
    plain = align(face)
    turned = align(size * face @ turn(yaw, pitch, roll).T + np.array(place))
    assert plain is not None
    assert turned is not None
    np.testing.assert_allclose(turned.points, plain.points, atol=1e-8)
    assert turned.size == pytest.approx(size * plain.size)


@given(yaw=st.floats(-85, 85), pitch=st.floats(-85, 85), roll=st.floats(-175, 175))
def test_the_pose_is_found_again(yaw: float, pitch: float, roll: float) -> None:
    head = align(100 * front() @ turn(yaw, pitch, roll).T + np.array([320.0, -240.0, 5.0]))
    assert head is not None
    found = (head.yaw, head.pitch, head.roll)
    assert found == pytest.approx((yaw, pitch, roll), abs=1e-6)
    np.testing.assert_allclose(head.centre, (320, -240), atol=1e-9)


def test_signs_of_the_pose_by_hand() -> None:
    nose = np.array([0.0, 0.0, 1.0])
    assert (turn(90, 0, 0) @ nose)[0] == pytest.approx(1)  # to the viewer's right: person's left
    assert (turn(0, 90, 0) @ nose)[1] == pytest.approx(1)  # upwards
    crown = turn(0, 0, 90) @ np.array([0.0, 1.0, 0.0])
    assert crown[0] == pytest.approx(-1)  # to the viewer's left: the person's right shoulder
    assert angles(np.eye(3)) == (0, 0, 0)


def test_pixels_of_a_share_by_hand() -> None:
    shares = np.array([[0.5, 0.25, -0.1]])
    np.testing.assert_allclose(in_pixels(shares, 200, 400), [[200, -50, 40]])


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((LANDMARKS, 3)),
        np.full((LANDMARKS, 3), 7.0),
        np.repeat(np.arange(LANDMARKS, dtype=float)[:, None], 3, axis=1),  # all on a line
    ],
)
def test_a_face_without_extent_is_none(points: Array) -> None:
    assert align(points) is None
