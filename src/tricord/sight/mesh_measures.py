"""What is measured on an aligned face, and how it moves: named numbers of each picture.

Distances are shares of the distance between the outer corners of the eyes. Only x and y are used:
the depth that a single camera guesses is the least certain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tricord.sight.mesh_points import LEFT_IRIS, NAMED, PAIRS, RIGHT_IRIS, Head, Points

Row = NDArray[np.float32]

# Share of the clip's median eye opening below which eyes are closed. On real clips the fewest
# pictures lie at 0.5 to 0.6, between closed and open.
CLOSED = 0.6
_NARROWEST = 0.02  # no eye or mouth is narrower; keeps ratios of a face in profile finite
_SIDES = ("right", "left")
_REGIONS = {"brows": ("brow",), "eyes": ("eye",), "mouth": ("lip", "mouth")}

POSE = ("yaw", "pitch", "roll", "head_x", "head_y", "head_size")
MEASURES = (
    *(f"{side}_eye_open" for side in _SIDES),
    *(f"{side}_brow_{part}_raise" for part in ("inner", "outer") for side in _SIDES),
    "brow_gap",
    *(f"{side}_cheek_raise" for side in _SIDES),
    *("mouth_open", "mouth_width", "mouth_aspect", "lip_upper", "lip_lower"),
    *("smile", "right_smile", "left_smile"),
    *("jaw_drop", "nose_to_lip"),
    *(f"{side}_gaze_{axis}" for axis in "xy" for side in _SIDES),
    *(f"{region}_asymmetry" for region in _REGIONS),
)
STILL = (*POSE, *MEASURES, *(f"{name}_{axis}" for name in NAMED for axis in "xy"))
COLUMNS = (
    *STILL,
    *(f"{name}_change" for name in (*POSE, *MEASURES)),
    *("motion", "eyes_closed", "blink_rate"),
)


def still(head: Head, height: int, width: int) -> Points:
    """The numbers of one picture, in the order of `STILL`.

    height, width: of the picture in pixels.
    """
    named = head.points[list(NAMED.values()), :2]
    return np.concatenate([_pose(head, height, width), _measures(head.points), named.ravel()])


def rows_of(
    stills: Sequence[Points | None], times: Sequence[float], follows: Sequence[bool]
) -> list[Row | None]:
    """A row of `COLUMNS` for each picture by `still`, None where there is no face.

    times: seconds of the pictures. follows: whether a picture's face is the one of the picture
        before; false where either has none.
    Changes and motion are per second since the picture before, and 0 where that one's face is none
    or another. `eyes_closed` and `blink_rate` look at the clip as a whole.
    """
    seen = [i for i, values in enumerate(stills) if values is not None]
    rows: list[Row | None] = [None] * len(stills)
    if not seen:
        return rows
    values = np.stack([row for row in stills if row is not None])
    at = np.array(times, dtype=np.float64)[seen]
    fresh = ~np.array(follows, dtype=bool)[seen]
    split = len(POSE) + len(MEASURES)
    now, named = values[:, :split], values[:, split:].reshape(len(seen), -1, 2)
    motion = np.linalg.norm(_per_second(named, at, fresh), axis=-1).mean(axis=-1)
    closed = _closed(now[:, len(POSE) : len(POSE) + 2].mean(axis=1))
    rate = np.full(len(seen), _blink_rate(closed, at, fresh))
    clip = np.stack([motion, closed, rate], axis=1)
    whole = np.concatenate([values, _per_second(now, at, fresh), clip], axis=1, dtype=np.float32)
    for i, row in zip(seen, whole, strict=True):
        rows[i] = row
    return rows


def _pose(head: Head, height: int, width: int) -> list[float]:
    """Degrees; place, from the picture's middle, and size are shares of the picture's height."""
    place = (head.centre - np.array([width / 2, -height / 2])) / height
    return [head.yaw, head.pitch, head.roll, *place, head.size / height]


def _measures(points: Points) -> list[float]:
    """The numbers of `MEASURES`, in its order."""
    p = {name: points[index, :2] for name, index in NAMED.items()}
    apart = {name: _apart(p, name) for name in ("lip_corner", "mouth_corner", "brow_inner")}
    mouth_open = _distance(p["mouth_top"], p["mouth_bottom"])
    lips = (p["lip_top"] + p["lip_bottom"]) / 2
    lifts = [(p[f"{side}_lip_corner"] - lips)[1] / apart["lip_corner"] for side in _SIDES]
    gazes = [
        _gaze(p, side, points[iris, :2])
        for side, iris in zip(_SIDES, (RIGHT_IRIS, LEFT_IRIS), strict=True)
    ]
    return [
        *(eye_open(p, side) for side in _SIDES),
        *(
            p[f"{side}_brow_{part}"][1] - _eye_middle(p, side)[1]
            for part in ("inner", "outer")
            for side in _SIDES
        ),
        apart["brow_inner"],
        *((p[f"{side}_cheek"] - p[f"{side}_eye_lower"])[1] for side in _SIDES),
        *(mouth_open, apart["lip_corner"], mouth_open / apart["mouth_corner"]),
        _distance(p["lip_top"], p["mouth_top"]),
        _distance(p["lip_bottom"], p["mouth_bottom"]),
        *(sum(lifts) / 2, *lifts),
        *(_distance(p["nose_base"], p["chin"]), _distance(p["nose_base"], p["lip_top"])),
        *(gaze[axis] for axis in range(2) for gaze in gazes),
        *(asymmetry(p, starts) for starts in _REGIONS.values()),
    ]


def eye_open(p: dict[str, Points], side: str) -> float:
    """Eye aspect ratio: mean height by two pairs of lid points, over the width.

    Soukupova and Cech (2016), Real-time eye blink detection using facial landmarks.
    """
    heights = [
        _distance(p[f"{side}_eye_upper_{part}"], p[f"{side}_eye_lower_{part}"])
        for part in ("outer", "inner")
    ]
    return sum(heights) / 2 / _eye_width(p, side)


def asymmetry(p: dict[str, Points], starts: tuple[str, ...]) -> float:
    """Mean distance of a region's left points from the mirror image of its right ones."""
    mirror = np.array([-1.0, 1.0])
    found = [
        _distance(p[f"left_{name}"], p[f"right_{name}"] * mirror)
        for name in PAIRS
        if name.startswith(starts)
    ]
    return sum(found) / len(found)


def _gaze(p: dict[str, Points], side: str, iris: Points) -> Points:
    """(2,) the iris from the middle between the eye's corners, in widths of the eye."""
    offset: Points = (iris - _eye_middle(p, side)) / _eye_width(p, side)
    return offset


def _eye_middle(p: dict[str, Points], side: str) -> Points:
    middle: Points = (p[f"{side}_eye_outer"] + p[f"{side}_eye_inner"]) / 2
    return middle


def _eye_width(p: dict[str, Points], side: str) -> float:
    return max(_distance(p[f"{side}_eye_outer"], p[f"{side}_eye_inner"]), _NARROWEST)


def _apart(p: dict[str, Points], name: str) -> float:
    return max(_distance(p[f"right_{name}"], p[f"left_{name}"]), _NARROWEST)


def _distance(a: Points, b: Points) -> float:
    return float(np.linalg.norm(a - b))


def _per_second(values: Points, times: Points, fresh: NDArray[np.bool_]) -> Points:
    """(n, ...) differences from row to row over the time between, 0 in rows that are fresh."""
    passed = np.diff(times, prepend=times[0] - 1).reshape(-1, *[1] * (values.ndim - 1))
    change: Points = np.diff(values, axis=0, prepend=values[:1]) / passed
    change[fresh] = 0
    return change


def _closed(opening: Points) -> NDArray[np.bool_]:
    """Whether eyes are much less open than the clip's median: people's eyes differ."""
    closed: NDArray[np.bool_] = opening < CLOSED * np.median(opening)
    return closed


def _blink_rate(closed: NDArray[np.bool_], times: Points, fresh: NDArray[np.bool_]) -> float:
    """Times that open eyes closed, per minute of watching, from a picture to the next."""
    closing = closed[1:] & ~closed[:-1] & ~fresh[1:]
    watched = float(np.diff(times)[~fresh[1:]].sum())
    return 60 * float(closing.sum()) / watched if watched > 0 else 0.0
