"""Which of MediaPipe's 478 landmarks are used and named, and the head's own frame.

Left and right are the person's own. Numbers are those of MediaPipe's face mesh with irises:
https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

LANDMARKS = 478
RIGHT_IRIS, LEFT_IRIS = 468, 473

# (right, left) of each point that has a mirror image
PAIRS = {
    "brow_outer": (70, 300),
    "brow_mid_outer": (63, 293),
    "brow_mid": (105, 334),
    "brow_mid_inner": (66, 296),
    "brow_inner": (107, 336),
    "eye_outer": (33, 263),
    "eye_upper_outer": (160, 387),
    "eye_upper": (159, 386),
    "eye_upper_inner": (158, 385),
    "eye_inner": (133, 362),
    "eye_lower_inner": (153, 380),
    "eye_lower": (145, 374),
    "eye_lower_outer": (144, 373),
    "nostril": (129, 358),
    "cheek": (50, 280),
    "cheek_lower": (205, 425),
    "lip_corner": (61, 291),
    "lip_upper_outer": (40, 270),
    "lip_upper_inner": (37, 267),
    "lip_lower_outer": (91, 321),
    "lip_lower_inner": (84, 314),
    "mouth_corner": (78, 308),
    "mouth_upper": (81, 311),
    "mouth_lower": (178, 402),
    "jaw_ear": (132, 361),
    "jaw_angle": (172, 397),
    "jaw": (150, 379),
    "jaw_chin": (148, 377),
}
MIDDLE = {
    "brows_between": 9,
    "nose_tip": 1,
    "nose_base": 2,
    "lip_top": 0,
    "mouth_top": 13,
    "mouth_bottom": 14,
    "lip_bottom": 17,
    "chin": 152,
}
NAMED: dict[str, int] = {
    **{f"right_{name}": right for name, (right, _) in PAIRS.items()},
    **{f"left_{name}": left for name, (_, left) in PAIRS.items()},
    **MIDDLE,
}

# What no expression moves much. Mirrored pairs: corners of the eyes and temples.
_RIGHT_STABLE, _LEFT_STABLE = [33, 133, 127], [263, 362, 356]
_BRIDGE, _NOSE_BASE = [168, 6], [2]  # upper and lower end of the nose
_RIGHT_OUTER, _LEFT_OUTER = 33, 263
_EYE_CORNERS = [33, 133, 263, 362]
_SMALLEST = 1e-6  # pixels; below it directions are rounding errors


@dataclass(frozen=True)
class Head:
    """A face without its pose, and the pose.

    points: (478, 3): x to the person's left, y up, z forward, from the middle between the eyes; 1
        is the distance of the outer corners of the eyes.
    yaw, pitch, roll: degrees. Turned to the person's left, upwards, and leaning to the right
        shoulder are positive.
    centre: (2,) pixels right and up from the picture's upper left corner, between the eyes.
    size: distance of the outer corners of the eyes in pixels, as if seen from the front.
    """

    points: Points
    yaw: float
    pitch: float
    roll: float
    centre: Points
    size: float


def in_pixels(landmarks: Points, height: int, width: int) -> Points:
    """MediaPipe's shares of a picture to pixels: x right, y up, z to the viewer.

    Its z has the scale of x, counts away from the viewer and has no origin of meaning.
    """
    return landmarks * np.array([width, -height, -width], dtype=np.float64)


def align(points: Points) -> Head | None:
    """The head's pose by points that no expression moves, and what is left without it.

    points: (478, 3) by `in_pixels`. The first axis is the mean direction between mirrored corners
    of the eyes and temples; the second that from the base of the nose to its bridge, less the
    first's share; so neither turning, moving nor scaling the points changes the result's points.
    None where the face has no extent.
    """
    across = points[_LEFT_STABLE].mean(axis=0) - points[_RIGHT_STABLE].mean(axis=0)
    size = float(np.linalg.norm(points[_LEFT_OUTER] - points[_RIGHT_OUTER]))
    if np.linalg.norm(across) < _SMALLEST or size < _SMALLEST:
        return None
    x = across / np.linalg.norm(across)
    up = points[_BRIDGE].mean(axis=0) - points[_NOSE_BASE].mean(axis=0)
    up = up - (up @ x) * x
    if np.linalg.norm(up) < _SMALLEST:
        return None
    y = up / np.linalg.norm(up)
    axes = np.stack([x, y, np.cross(x, y)])  # rows: the head's axes in the picture
    middle = points[_EYE_CORNERS].mean(axis=0)
    yaw, pitch, roll = angles(axes.T)
    return Head((points - middle) @ axes.T / size, yaw, pitch, roll, middle[:2], size)


def angles(rotation: Points) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees of R = R_y(yaw) R_x(-pitch) R_z(roll), (3, 3).

    R's columns are the head's axes (left, up, forward) in the picture (right, up, to the viewer).
    """
    yaw = np.arctan2(rotation[0, 2], rotation[2, 2])
    pitch = np.arcsin(np.clip(rotation[1, 2], -1.0, 1.0))
    roll = np.arctan2(rotation[1, 0], rotation[1, 1])
    found = np.degrees([yaw, pitch, roll])
    return float(found[0]), float(found[1]), float(found[2])
