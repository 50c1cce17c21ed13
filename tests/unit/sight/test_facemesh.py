"""The face mesh on drawn faces; what needs mediapipe is skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import ROOT
from drawn_clips import face
from drawn_faces import Still, column, nobody, seen
from mesh_face import front
from tricord.errors import ConfigError
from tricord.sight import facemesh, mesh_measures
from tricord.sight.extractor import Sight

Image = NDArray[np.uint8]

WIDTH, HEIGHT = 480, 360
needs_mediapipe = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed"
)
NOBODY = nobody(WIDTH, HEIGHT)


def drawn(smile: float = 0.0, mouth: float = 0.2) -> Image:
    return face(smile, mouth, WIDTH, HEIGHT)


def see(images: Sequence[Image], which: str = "largest", rate: float = 5.0) -> Sight:
    return seen(facemesh.extractor(rate, which), images)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs mediapipe.*pip install 'tricord\[facemesh\]'"):
        facemesh.extractor(5.0, "largest")


def test_what_cannot_be_loaded_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.face_mesh", None)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ConfigError, match="mediapipe cannot be loaded"):
        facemesh.extractor(5.0, "largest")


def test_another_way_to_choose_a_face_is_refused() -> None:
    with pytest.raises(ConfigError, match="face 'nearest' found, expected one of largest"):
        facemesh.extractor(5.0, "nearest")


def test_a_box_holds_the_points() -> None:
    points = np.array([[10.0, -20.0, 0.0], [30.0, -50.0, 9.0], [15.0, -25.0, 0.0]])
    box = facemesh._box(points)
    assert (box.x, box.y, box.w, box.h) == (10, 20, 20, 30)


@pytest.mark.parametrize(("to", "same"), [(0.3, True), (0.8, False), (3.0, False)])
def test_a_face_beside_the_one_before_does_not_move(
    to: float, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """to: how far, in widths of the face; boxes of neighbours may touch."""
    points = 100 * front()
    wide = float(np.ptp(points[:, 0]))
    places = iter([points, points + np.array([to * wide, 0, 0])])
    monkeypatch.setattr(facemesh, "_mesh", nullcontext)
    monkeypatch.setattr(facemesh, "_find", lambda mesh, image: [next(places)])
    rows = list(facemesh._Measure("largest")(iter([Still(0.0, NOBODY), Still(0.2, NOBODY)])))
    change = mesh_measures.COLUMNS.index("head_x_change")
    assert [row is not None and bool(row[change]) for row in rows] == [False, same]


@needs_mediapipe
def test_a_smile_and_a_frown_and_an_open_mouth() -> None:
    sight = see([drawn(1), drawn(-1), drawn(0, 1.0), drawn(0, 0.0)])
    assert (sight.frames, sight.faces) == (4, 4)
    smile, frown = column(sight, "smile")[:2]
    assert smile > frown + 0.05
    assert (column(sight, "motion") > 0).tolist() == [False, True, True, True]
    opened, shut = column(sight, "mouth_open")[2:]
    assert opened > shut + 0.03
    assert np.abs(column(sight, "yaw")).max() < 5
    assert np.abs(column(sight, "head_x")).max() < 0.05


@needs_mediapipe
def test_a_face_that_leans_has_the_same_measures() -> None:
    cv2 = pytest.importorskip("cv2")
    lean = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 15, 1.0)
    border = tuple(int(c) for c in drawn()[0, 0])
    turned = cv2.warpAffine(drawn(1), lean, (WIDTH, HEIGHT), borderValue=border)
    sight = see([drawn(1), turned])
    roll = column(sight, "roll")
    assert roll[1] - roll[0] == pytest.approx(15, abs=2)
    for name in ("smile", "mouth_width", "right_eye_open", "brow_gap"):
        straight, leaning = column(sight, name)
        assert leaning == pytest.approx(straight, abs=0.06), name


@needs_mediapipe
def test_no_face_is_marked_and_not_dropped() -> None:
    sight = see([drawn(1), NOBODY, drawn(1)])
    assert (sight.frames, sight.faces) == (3, 2)
    assert column(sight, "face").tolist() == [1, 0, 1]
    assert (column(sight, "motion") == 0).all()  # nothing is known of the way between
    assert len(see([NOBODY, NOBODY]).track) == 0
    assert len(see([]).track) == 0


@needs_mediapipe
def test_two_faces() -> None:
    small = face(1, 0.2, 240, 180)
    scene = np.concatenate([drawn(-1), np.full((HEIGHT, 240, 3), small[0, 0])], axis=1)
    scene[90:270, WIDTH:] = small
    left = np.ascontiguousarray(scene[:, ::-1])
    largest, tracked = (see([scene, left], which) for which in ("largest", "tracked"))
    assert column(largest, "head_x") == pytest.approx([-1 / 3, 1 / 3], abs=0.05)
    assert column(tracked, "head_x")[0] == pytest.approx(-1 / 3, abs=0.05)
    assert column(tracked, "head_x")[1] < -0.5  # the small one is where the large one was
    gone = np.full((HEIGHT, 720 + WIDTH, 3), small[0, 0])
    far, near = gone.copy(), gone.copy()
    far[:, :WIDTH], near[:, 720:] = drawn(0), drawn(1)
    assert (column(see([far, near]), "motion") == 0).all()  # another person


@needs_mediapipe
def test_a_clip_does_not_depend_on_those_before() -> None:
    clips = [[drawn(1), drawn(0.5)], [drawn(-1, 0.8)], [NOBODY, drawn(0)]]
    extractor = facemesh.extractor(5.0, "largest")

    def run(order: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        return {
            i: extractor([Still(t / 5, im) for t, im in enumerate(clips[i])]).track.values
            for i in order
        }

    forwards, backwards = run([0, 1, 2]), run([2, 1, 0])
    for i in range(3):
        np.testing.assert_array_equal(forwards[i], backwards[i])


@needs_mediapipe
def test_it_is_silent_but_hides_no_error() -> None:
    script = """
import os, sys
import numpy as np
from tricord.sight import facemesh
with facemesh._quiet():
    os.write(2, b"a real message\\n")
class Still:
    time, image = 0.0, np.zeros((48, 64, 3), dtype=np.uint8)
facemesh.extractor(5.0, "largest")([Still()])
print("the end", file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.stderr.splitlines() == ["a real message", "the end"]
