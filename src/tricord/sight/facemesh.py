"""`facemesh`: MediaPipe's 478 landmarks without the head's pose, the pose, and named measures."""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np

from tricord.errors import ConfigError
from tricord.sight import mesh_measures
from tricord.sight.extractor import FACE, Extractor, Image, Picture, Row
from tricord.sight.faces import SAME, Box, check, choose
from tricord.sight.mesh_points import LANDMARKS, Points, align, in_pixels

FACES = 4  # faces looked for in a picture
CONFIDENCE = 0.5  # MediaPipe's own default

# What the C++ libraries write at each start; no setting of theirs stops it.
_CHATTER = re.compile(
    rb"^(INFO: Created TensorFlow Lite|WARNING: All log messages before absl"
    rb"|W\d{4} .*inference_feedback_manager).*\n?",
    re.MULTILINE,
)


def extractor(rate: float, face: str) -> Extractor:
    """The face mesh at so many pictures a second.

    face: which one of several, see `faces.choose`. Each picture is searched anew, so that no
    result depends on other clips. Raises ConfigError for another `face`, or where mediapipe is not
    installed or cannot be loaded.
    """
    check(face)
    _library()
    return Extractor(
        name="facemesh",
        version=1,
        rate=rate,
        columns=(FACE, *mesh_measures.COLUMNS),
        measure=_Measure(face),
        settings={"face": face, "faces": FACES, "confidence": CONFIDENCE},
        tools={"mediapipe": version("mediapipe")},
    )


def _library() -> Any:
    """MediaPipe's class `FaceMesh`; loading it takes seconds the first time."""
    if importlib.util.find_spec("mediapipe") is None:
        raise ConfigError(
            "vision extractor 'facemesh' needs mediapipe, which is not installed: "
            "pip install 'tricord[facemesh]'"
        )
    try:
        from mediapipe.python.solutions.face_mesh import FaceMesh
    except ImportError as error:  # a part of the system that it needs, or another version
        raise ConfigError(
            f"vision extractor 'facemesh': mediapipe cannot be loaded: {error}; "
            "expected what pip install 'tricord[facemesh]' installs"
        ) from error
    return FaceMesh


class _Measure:
    def __init__(self, face: str) -> None:
        self.face = face

    def __call__(self, pictures: Iterator[Picture]) -> Iterator[Row | None]:
        stills: list[Points | None] = []
        times: list[float] = []
        follows: list[bool] = []
        previous: Box | None = None
        before: Box | None = None  # of the picture before this one
        with _mesh() as mesh:
            for picture in pictures:
                height, width = picture.image.shape[:2]
                faces = _find(mesh, picture.image)
                boxes = [_box(points) for points in faces]
                chosen = choose(boxes, (height, width), self.face, previous)
                head = None if chosen is None else align(faces[boxes.index(chosen)])
                stills.append(None if head is None else mesh_measures.still(head, height, width))
                times.append(picture.time)
                follows.append(bool(head and chosen and before and chosen.overlap(before) >= SAME))
                previous = chosen or previous
                before = None if head is None else chosen
        yield from mesh_measures.rows_of(stills, times, follows)


@contextmanager
def _mesh() -> Iterator[Any]:
    """A face mesh that has started; its first picture is black, so that all it says is caught."""
    with _quiet():
        mesh = _library()(
            static_image_mode=True,
            max_num_faces=FACES,
            refine_landmarks=True,
            min_detection_confidence=CONFIDENCE,
        )
        _find(mesh, np.zeros((32, 32, 3), dtype=np.uint8))
    try:
        yield mesh
    finally:
        mesh.close()


def _find(mesh: Any, image: Image) -> list[Points]:
    """(478, 3) of each face in pixels, see `in_pixels`."""
    height, width = image.shape[:2]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"SymbolDatabase\.GetPrototype", UserWarning)
        found = mesh.process(np.ascontiguousarray(image)).multi_face_landmarks or []
    faces = []
    for face in found:
        landmarks = np.array([(p.x, p.y, p.z) for p in face.landmark], dtype=np.float64)
        if landmarks.shape == (LANDMARKS, 3) and np.isfinite(landmarks).all():
            faces.append(in_pixels(landmarks, height, width))
    return faces


def _box(points: Points) -> Box:
    """The smallest that holds the points; y counts down from the picture's top."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return Box(float(low[0]), float(-high[1]), float(high[0] - low[0]), float(high[1] - low[1]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' known chatter off the screen; all else is shown afterwards."""
    try:
        screen = os.dup(2)
    except OSError:  # there is no screen
        yield
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)
            caught.seek(0)
            rest = _CHATTER.sub(b"", caught.read())
            if rest:
                os.write(2, rest)
