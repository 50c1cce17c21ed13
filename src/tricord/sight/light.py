"""`light`: edges, motion and place of the face, by OpenCV alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tricord.sight.extractor import FACE, Extractor, Picture, Row
from tricord.sight.faces import (
    SAME,
    Box,
    Detector,
    Grey,
    check,
    choose,
    grey_of,
    one_thread,
    opencv,
)

NAME = "light"
SIZE = 64  # pixels of the crop, which is as wide as high
CELLS = 4  # of the crop, along each side
ANGLES = 4  # directions of edges, from vertical edges on; light to dark is as dark to light
KEPT = 0.6  # share of the box before in a box's size: the search finds sizes in coarse steps
FASTEST = 8.0  # face widths a second; faster is a mistake of the flow

Flow = NDArray[np.float64]  # (SIZE, SIZE, 2): x to the right and y down, in face widths a second

# (top, bottom, left, right) as shares of the box, by where MediaPipe's landmarks lie in it on
# average over real clips. Left and right are the picture's.
REGIONS = {
    "brow": (0.15, 0.32, 0.12, 0.88),
    "eyes": (0.30, 0.50, 0.12, 0.88),
    "mouth": (0.68, 0.94, 0.25, 0.75),
}
FINE = {"mouth": (2, 4), "eyes": (1, 4)}  # rows and columns of smaller cells

HOG = tuple(
    f"hog_{row}_{column}_{angle}"
    for row in range(CELLS)
    for column in range(CELLS)
    for angle in range(ANGLES)
)
FINE_HOG = tuple(
    f"{region}_hog_{row}_{column}_{angle}"
    for region, (rows, columns) in FINE.items()
    for row in range(rows)
    for column in range(columns)
    for angle in range(ANGLES)
)
LIGHT = (
    *("brightness", "contrast", "symmetry"),
    *(f"{region}_{what}" for region in REGIONS for what in ("brightness", "contrast")),
)
PLACE = ("box_x", "box_y", "box_size")
FLOW = (
    *("head_flow_x", "head_flow_y"),
    *(f"{region}_flow_{what}" for region in REGIONS for what in ("x", "y", "size")),
    *("mouth_opening", "mouth_widening"),
)
COLUMNS = (*HOG, *FINE_HOG, *LIGHT, *PLACE, *FLOW)


def extractor(rate: float, face: str) -> Extractor:
    """The light extractor at so many pictures a second.

    face: which one of several, see `faces.choose`. Raises ConfigError where OpenCV is not
    installed.
    """
    check(face)
    return Extractor(
        name=NAME,
        version=1,
        rate=rate,
        columns=(FACE, *COLUMNS),
        measure=_Measure(face),
        settings={"face": face, "detector": Detector.describe(), "size": SIZE},
        tools=opencv(NAME),
    )


@dataclass(frozen=True)
class _Seen:
    """A picture with a face. box: as it is cut out, steadied by the one before."""

    time: float
    grey: Grey
    box: Box


class _Measure:
    def __init__(self, face: str) -> None:
        self.face = face

    def __call__(self, pictures: Iterator[Picture]) -> Iterator[Row | None]:
        find = Detector()
        followed: Box | None = None  # the last face there was
        before: _Seen | None = None  # the picture before, if it has a face
        for picture in pictures:
            grey = grey_of(picture.image)
            found = choose(find.in_grey(grey), _shape(grey), self.face, followed)
            if found is None:  # no face is made up where none is found
                before = None
                yield None
                continue
            same = before is not None and found.overlap(before.box) >= SAME
            last = before if same else None
            seen = _Seen(picture.time, grey, steady(found, last.box if last else None))
            followed, before = found, seen
            with one_thread():
                row = _row(seen, last)
            yield row


def steady(box: Box, before: Box | None) -> Box:
    """The box about its own centre, of a size between its own and that of the one before."""
    if before is None:
        return box
    w = KEPT * before.w + (1 - KEPT) * box.w
    h = KEPT * before.h + (1 - KEPT) * box.h
    x, y = box.centre
    return Box(x - w / 2, y - h / 2, w, h)


def _row(seen: _Seen, last: _Seen | None) -> Row:
    """The numbers of a picture; without motion where there is no last one of the same face."""
    crop = cut(seen.grey, seen.box)
    flow = np.zeros((SIZE, SIZE, 2))
    if last is not None:  # both cut by one box, so that what moves in the box is the face itself
        flow = moved(cut(last.grey, seen.box), crop) / (seen.time - last.time)
    parts = (
        edges(crop),
        look(crop),
        place(seen.box, _shape(seen.grey)),
        motion(np.clip(flow, -FASTEST, FASTEST)),
    )
    return np.concatenate(parts).astype(np.float32)


def cut(grey: Grey, box: Box) -> Grey:
    """(SIZE, SIZE) of the box; beyond the picture its border goes on."""
    import cv2

    left, top = round(box.x), round(box.y)
    right, bottom = max(left + 1, round(box.x + box.w)), max(top + 1, round(box.y + box.h))
    rows = np.clip(np.arange(top, bottom), 0, grey.shape[0] - 1)
    columns = np.clip(np.arange(left, right), 0, grey.shape[1] - 1)
    way = cv2.INTER_AREA if right - left > SIZE else cv2.INTER_LINEAR
    crop = cv2.resize(grey[rows[:, None], columns], (SIZE, SIZE), interpolation=way)
    return np.asarray(crop, dtype=np.uint8)


def edges(crop: Grey) -> NDArray[np.float64]:
    """Histograms of oriented gradients (Dalal & Triggs, 2005), in the order of `HOG`, `FINE_HOG`.

    The root of each cell's and direction's share in all gradients of the crop, or of the region
    that is divided finely, so that the squares sum to 1; 0 where nothing has an edge. A gradient
    between two directions counts for both.
    """
    image = np.pad(crop.astype(np.float64), 1, mode="edge")
    x = image[1:-1, 2:] - image[1:-1, :-2]
    y = image[2:, 1:-1] - image[:-2, 1:-1]
    angle = np.arctan2(y, x) / np.pi % 1.0  # 0: brightness changes along x, 0.5: along y
    size = np.hypot(x, y)
    parts = [_histograms(angle, size, (CELLS, CELLS))]
    for region, cells in FINE.items():
        inside = _inside(region)
        parts.append(_histograms(angle[inside], size[inside], cells))
    return np.concatenate(parts)


def _histograms(
    angle: NDArray[np.float64], size: NDArray[np.float64], cells: tuple[int, int]
) -> NDArray[np.float64]:
    """(rows * columns * ANGLES,) of pixels (H, W); angle: share of half a turn in [0, 1)."""
    rows = np.arange(angle.shape[0]) * cells[0] // angle.shape[0]
    columns = np.arange(angle.shape[1]) * cells[1] // angle.shape[1]
    cell = (rows[:, None] * cells[1] + columns) * ANGLES
    low = np.floor(angle * ANGLES).astype(np.int64)
    rest = angle * ANGLES - low
    bins = np.concatenate([(cell + low % ANGLES).ravel(), (cell + (low + 1) % ANGLES).ravel()])
    weights = np.concatenate([(size * (1 - rest)).ravel(), (size * rest).ravel()])
    sums = np.bincount(bins, weights, cells[0] * cells[1] * ANGLES).astype(np.float64)
    total = sums.sum()
    return np.sqrt(sums / total) if total > 0 else sums


def look(crop: Grey) -> NDArray[np.float64]:
    """Light and dark, in the order of `LIGHT`.

    brightness, contrast: mean and standard deviation of the crop, 1 is white. symmetry:
    correlation of the crop with its mirror image; a face seen from the front has a high one. The
    regions' are shares of the crop's own. 0 where a crop is of one grey.
    """
    image = crop / 255.0
    mean, spread = image.mean(), image.std()
    if spread == 0:
        return np.array([mean, *[0.0] * (len(LIGHT) - 1)])
    numbers = [mean, spread, ((image - mean) * (image[:, ::-1] - mean)).mean() / spread**2]
    for region in REGIONS:
        part = image[_inside(region)]
        numbers += [part.mean() / mean, part.std() / spread]
    return np.array(numbers)


def place(box: Box, shape: tuple[int, int]) -> NDArray[np.float64]:
    """In the order of `PLACE`: the box's centre from the picture's, and its width.

    In heights of the picture, x to the right and y down.
    """
    height, width = shape
    x, y = box.centre
    return np.array([(x - width / 2) / height, (y - height / 2) / height, box.w / height])


def moved(before: Grey, after: Grey) -> Flow:
    """(SIZE, SIZE, 2) how far each pixel of `before` has moved, in face widths (Farnebäck)."""
    import cv2

    flow = cv2.calcOpticalFlowFarneback(
        before,
        after,
        np.zeros((*before.shape, 2), dtype=np.float32),
        pyr_scale=0.5,
        levels=3,
        winsize=11,
        iterations=3,
        poly_n=5,
        poly_sigma=1.1,
        flags=0,
    )
    return np.asarray(flow, dtype=np.float64) / SIZE


def motion(flow: Flow) -> NDArray[np.float64]:
    """In the order of `FLOW`, in face widths a second.

    head: the median of the whole crop; the rest is beside it. Regions: mean x, mean y, mean
    length. mouth_opening: how much faster the mouth's lower half goes down than its upper half;
    mouth_widening: how much faster its right half goes right than its left half.
    """
    head = np.median(flow.reshape(-1, 2), axis=0)
    own = flow - head
    numbers = [*head]
    for region in REGIONS:
        part = own[_inside(region)].reshape(-1, 2)
        numbers += [*part.mean(axis=0), np.hypot(part[:, 0], part[:, 1]).mean()]
    mouth = own[_inside("mouth")]
    down, across = mouth.shape[0] // 2, mouth.shape[1] // 2
    opening = mouth[down:, :, 1].mean() - mouth[:down, :, 1].mean()
    widening = mouth[:, across:, 0].mean() - mouth[:, :across, 0].mean()
    return np.array([*numbers, opening, widening])


def _inside(region: str) -> tuple[slice, slice]:
    top, bottom, left, right = (round(share * SIZE) for share in REGIONS[region])
    return slice(top, bottom), slice(left, right)


def _shape(grey: Grey) -> tuple[int, int]:
    return grey.shape[0], grey.shape[1]
