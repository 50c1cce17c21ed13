"""Measures of an aligned face, computed by hand, and what they make of a clip."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from mesh_face import LEFT, front
from tricord.sight.mesh_measures import COLUMNS, MEASURES, POSE, STILL, rows_of, still
from tricord.sight.mesh_points import LEFT_IRIS, NAMED, RIGHT_IRIS, Head

Array = NDArray[np.float64]


def measured(points: Array, *, height: int = 200, width: int = 300) -> dict[str, float]:
    head = Head(points, 10, -20, 30, np.array([180.0, -60.0]), 50)
    return dict(zip(STILL, still(head, height, width), strict=True))


def of_clip(stills: list[Array | None], rate: float = 5.0) -> list[dict[str, float] | None]:
    follows = [b is not None and a is not None for a, b in pairwise([None, *stills])]
    rows = rows_of(stills, [i / rate for i in range(len(stills))], follows)
    return [None if row is None else dict(zip(COLUMNS, row, strict=True)) for row in rows]


def with_eyes(opening: float) -> Array:
    """A still with eyes this much open, in shares of the usual."""
    lids = {
        f"{side}_eye_{lid}_{part}": (
            sign * LEFT[f"eye_{lid}_{part}"][0],
            opening * LEFT[f"eye_{lid}_{part}"][1],
            0.0,
        )
        for side, sign in (("left", 1), ("right", -1))
        for lid in ("upper", "lower")
        for part in ("outer", "inner")
    }
    head = Head(front(**lids), 0, 0, 0, np.zeros(2), 1)
    return still(head, 1, 1)


def test_columns_are_named_once() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS) == 195
    assert COLUMNS[: len(STILL)] == STILL
    assert len(STILL) == len(POSE) + len(MEASURES) + 2 * len(NAMED)


def test_values_by_hand() -> None:
    expected = {
        "yaw": 10,
        "pitch": -20,
        "roll": 30,
        "head_x": (180 - 150) / 200,
        "head_y": (100 - 60) / 200,
        "head_size": 50 / 200,
        "right_eye_open": 0.12 / 0.4,
        "left_eye_open": 0.12 / 0.4,
        "right_brow_inner_raise": 0.25,
        "left_brow_outer_raise": 0.2,
        "brow_gap": 0.3,
        "left_cheek_raise": -0.3 + 0.07,
        "mouth_open": 0.1,
        "mouth_width": 0.5,
        "mouth_aspect": 0.1 / 0.4,
        "lip_upper": 0.05,
        "lip_lower": 0.05,
        "smile": 0,
        "jaw_drop": 0.6,
        "nose_to_lip": 0.1,
        "right_gaze_x": 0,
        "left_gaze_y": 0,
        "brows_asymmetry": 0,
        "mouth_asymmetry": 0,
        "nose_tip_x": 0,
        "nose_tip_y": -0.3,
        "right_jaw_x": -0.4,
    }
    found = measured(front())
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_an_eye_of_two_heights_by_hand() -> None:
    points = front(left_eye_upper_outer=(0.42, 0.10, 0.0), left_eye_lower_inner=(0.26, -0.02, 0.0))
    assert measured(points)["left_eye_open"] == pytest.approx((0.16 + 0.08) / 2 / 0.4)


def test_raised_corners_are_a_smile_and_one_is_lopsided() -> None:
    both = front(left_lip_corner=(0.25, -0.5, 0.1), right_lip_corner=(-0.25, -0.5, 0.1))
    found = measured(both)
    assert found["smile"] == pytest.approx(0.1 / 0.5)
    assert found["mouth_asymmetry"] == pytest.approx(0)
    one = measured(front(left_lip_corner=(0.25, -0.5, 0.1)))
    assert one["left_smile"] > one["smile"] > one["right_smile"] == pytest.approx(0)
    assert one["mouth_asymmetry"] == pytest.approx(0.1 / 8)  # one of eight pairs, by 0.1
    assert measured(front(left_lip_corner=(0.25, -0.7, 0.1)))["smile"] < 0


def test_irises_to_the_persons_left_and_up() -> None:
    points = front()
    points[[RIGHT_IRIS, LEFT_IRIS]] += [0.1, 0.05, 0.0]
    found = measured(points)
    for side in ("right", "left"):
        assert found[f"{side}_gaze_x"] == pytest.approx(0.1 / 0.4)
        assert found[f"{side}_gaze_y"] == pytest.approx(0.05 / 0.4)


def test_a_face_of_one_point_stays_finite() -> None:
    assert np.isfinite(still(Head(np.zeros((478, 3)), 0, 0, 0, np.zeros(2), 1), 1, 1)).all()


def test_changes_are_per_second_and_begin_anew_after_a_gap() -> None:
    small, large = (still(Head(s * front(), 0, 0, 0, np.zeros(2), 1), 1, 1) for s in (1, 1.1))
    a, b, gap, c = of_clip([small, large, None, small])
    assert gap is None
    assert a is not None
    assert b is not None
    assert c is not None
    assert b["mouth_width_change"] == pytest.approx(0.1 * 0.5 / 0.2, rel=1e-5)
    lengths = np.linalg.norm(front()[list(NAMED.values()), :2], axis=1)
    assert b["motion"] == pytest.approx(0.1 * lengths.mean() / 0.2, rel=1e-5)
    for first in (a, c):
        assert {first[name] for name in COLUMNS if name.endswith(("_change", "motion"))} == {0}


def test_blinks_are_counted_over_the_clip() -> None:
    opening = [1, 1, 0.2, 0.2, 1, 1, 0.3, 1, 1, 1, 1]
    rows = [row for row in of_clip([with_eyes(x) for x in opening]) if row is not None]
    assert [row["eyes_closed"] for row in rows] == [x < 0.6 for x in opening]
    assert {row["blink_rate"] for row in rows} == {60.0}  # 2 in 2 seconds


def test_eyes_that_are_shut_when_they_come_into_view_do_not_blink() -> None:
    rows = of_clip([with_eyes(1), with_eyes(1), None, with_eyes(0.1), with_eyes(1), with_eyes(1)])
    assert {row["blink_rate"] for row in rows if row is not None} == {0.0}
    shut = rows[3]
    assert shut is not None
    assert shut["eyes_closed"] == 1


def test_clips_of_one_picture_and_of_none() -> None:
    (only,) = of_clip([with_eyes(1)])
    assert only is not None
    assert only["blink_rate"] == only["eyes_closed"] == only["motion"] == 0
    assert rows_of([], [], []) == []
    assert rows_of([None, None], [0.0, 0.2], [False, False]) == [None, None]
