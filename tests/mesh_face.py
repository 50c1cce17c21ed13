"""A symmetrical face of 478 landmarks with round numbers, as if seen from the front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tricord.sight.mesh_points import LANDMARKS, LEFT_IRIS, NAMED, PAIRS, RIGHT_IRIS

# Of the person's left half and the middle: x to the left, y up, z forward; the right half mirrors.
LEFT = {
    "brow_outer": (0.5, 0.2, 0.0),
    "brow_mid_outer": (0.4, 0.25, 0.05),
    "brow_mid": (0.3, 0.27, 0.1),
    "brow_mid_inner": (0.2, 0.26, 0.1),
    "brow_inner": (0.15, 0.25, 0.1),
    "eye_outer": (0.5, 0.0, 0.0),
    "eye_upper_outer": (0.42, 0.06, 0.02),
    "eye_upper": (0.34, 0.07, 0.03),
    "eye_upper_inner": (0.26, 0.06, 0.02),
    "eye_inner": (0.1, 0.0, 0.0),
    "eye_lower_inner": (0.26, -0.06, 0.02),
    "eye_lower": (0.34, -0.07, 0.03),
    "eye_lower_outer": (0.42, -0.06, 0.02),
    "nostril": (0.15, -0.35, 0.2),
    "cheek": (0.4, -0.3, 0.1),
    "cheek_lower": (0.4, -0.4, 0.1),
    "lip_corner": (0.25, -0.6, 0.1),
    "lip_upper_outer": (0.15, -0.55, 0.15),
    "lip_upper_inner": (0.05, -0.52, 0.2),
    "lip_lower_outer": (0.15, -0.65, 0.15),
    "lip_lower_inner": (0.05, -0.68, 0.2),
    "mouth_corner": (0.2, -0.6, 0.1),
    "mouth_upper": (0.1, -0.58, 0.15),
    "mouth_lower": (0.1, -0.62, 0.15),
    "jaw_ear": (0.7, -0.5, -0.4),
    "jaw_angle": (0.6, -0.7, -0.3),
    "jaw": (0.4, -0.9, -0.1),
    "jaw_chin": (0.1, -1.0, 0.1),
}
MIDDLE = {
    "brows_between": (0.0, 0.2, 0.1),
    "nose_tip": (0.0, -0.3, 0.4),
    "nose_base": (0.0, -0.4, 0.1),
    "lip_top": (0.0, -0.5, 0.2),
    "mouth_top": (0.0, -0.55, 0.2),
    "mouth_bottom": (0.0, -0.65, 0.2),
    "lip_bottom": (0.0, -0.7, 0.2),
    "chin": (0.0, -1.0, 0.1),
}
UNNAMED = {
    **{127: (-0.7, 0.0, -0.5), 356: (0.7, 0.0, -0.5), 168: (0.0, 0.1, 0.1), 6: (0.0, 0.0, 0.1)},
    **{RIGHT_IRIS: (-0.3, 0.0, 0.0), LEFT_IRIS: (0.3, 0.0, 0.0)},
}


def front(**moved: tuple[float, float, float]) -> NDArray[np.float64]:
    """(478, 3) in the head's own frame; moved: named points that are elsewhere."""
    points = np.zeros((LANDMARKS, 3))
    for name in PAIRS:
        points[NAMED[f"left_{name}"]] = LEFT[name]
        points[NAMED[f"right_{name}"]] = np.array(LEFT[name]) * (-1, 1, 1)
    for name, place in {**MIDDLE, **moved}.items():
        points[NAMED[name]] = place
    for index, place in UNNAMED.items():
        points[index] = place
    return points
