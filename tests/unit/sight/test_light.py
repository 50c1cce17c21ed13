"""The light extractor: each measure by hand, and drawn faces that move."""

from __future__ import annotations

import json
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from drawn_clips import face
from drawn_faces import Still, column, nobody, seen
from tricord.sight import light
from tricord.sight.extractor import Sight
from tricord.sight.faces import Box

Image = NDArray[np.uint8]
Numbers = NDArray[np.float64]

WIDTH, HEIGHT = 320, 240
S = light.SIZE
NOBODY = nobody(WIDTH, HEIGHT)


def drawn(smile: float = 0.0, mouth: float = 0.2) -> Image:
    return face(smile, mouth, WIDTH, HEIGHT)


def see(images: Sequence[Image], which: str = "largest", rate: float = 5.0) -> Sight:
    return seen(light.extractor(rate, which), images)


def named(numbers: Numbers, names: Sequence[str]) -> dict[str, float]:
    assert len(numbers) == len(names)
    return dict(zip(names, numbers.tolist(), strict=True))


def edges(crop: NDArray[np.integer]) -> dict[str, float]:
    return named(light.edges(crop.astype(np.uint8)), (*light.HOG, *light.FINE_HOG))


# edges


@pytest.mark.parametrize(
    ("slope", "angle"),
    [((1, 0), 0), ((1, 1), 1), ((0, 1), 2), ((-1, 1), 3), ((-1, 0), 0), ((-1, -1), 1)],
)
def test_an_edge_counts_for_its_direction(slope: tuple[int, int], angle: int) -> None:
    y, x = np.mgrid[1 : S + 1, 1 : S + 1]
    found = edges(120 + slope[0] * x * 0.9 // 1 + slope[1] * y * 0.9 // 1)
    for name, value in found.items():
        if name.startswith("hog_1_1"):  # within, where no border is near
            assert (value > 0.15) == name.endswith(f"_{angle}")


def test_an_edge_counts_for_its_cell() -> None:
    crop = np.zeros((S, S))
    crop[16:32, 56:] = 200  # within the second row and the last column of 16 pixels
    crop[32:, 56:] = 200
    found = edges(crop)
    assert found["hog_2_3_0"] > 0.5
    assert found["hog_0_0_0"] == found["hog_2_2_0"] == 0


def test_shares_of_a_vertical_step_by_hand() -> None:
    crop = np.zeros((S, S))
    crop[:, 8:] = 100  # all gradients lie in the first column of cells, 16 rows each
    found = edges(crop)
    assert {name: value for name, value in found.items() if value} == {
        f"hog_{row}_0_0": 0.5 for row in range(4)
    } | {"eyes_hog_0_0_0": 1.0}  # the eyes' first column is pixel 8; the mouth's is 16


def test_a_direction_between_two_is_shared() -> None:
    y, x = np.mgrid[:S, :S]
    # twice as steep along y: arctan(2) is 0.352 of half a turn, 1.41 of four directions
    found = edges(x + 2 * y)
    ratio = (found["hog_1_1_2"] / found["hog_1_1_1"]) ** 2
    share = np.arctan(2) / np.pi * 4 - 1
    assert ratio == pytest.approx(share / (1 - share))


def test_squares_sum_to_one_whatever_the_light() -> None:
    crop = np.random.default_rng(0).integers(0, 100, (S, S))
    found = edges(crop)
    for start in ("hog_", "mouth_hog_", "eyes_hog_"):
        squares = [v**2 for name, v in found.items() if name.startswith(start)]
        assert sum(squares) == pytest.approx(1)
    assert edges(crop * 2 + 50) == pytest.approx(found)


def test_one_grey_has_no_edges() -> None:
    assert set(edges(np.full((S, S), 9)).values()) == {0.0}


# light and place


def test_light_by_hand() -> None:
    crop = np.zeros((S, S), dtype=np.uint8)
    crop[:, ::2] = 255  # mirrored it is its own negative
    found = named(light.look(crop), light.LIGHT)
    assert found["brightness"] == found["contrast"] == 0.5
    assert found["symmetry"] == pytest.approx(-1)
    for region in light.REGIONS:
        assert found[f"{region}_contrast"] == pytest.approx(1, abs=0.02)


def test_a_dark_mouth() -> None:
    crop = np.full((S, S), 200, dtype=np.uint8)
    crop[46:58, 20:44] = 0
    found = named(light.look(crop), light.LIGHT)
    assert found["mouth_brightness"] < 0.5 < 1 < found["eyes_brightness"]
    assert found["mouth_contrast"] > 1
    assert found["eyes_contrast"] == 0
    assert found["symmetry"] == pytest.approx(1)


@pytest.mark.parametrize("level", [0, 255])
def test_light_of_one_grey(level: int) -> None:
    found = light.look(np.full((S, S), level, dtype=np.uint8))
    np.testing.assert_array_equal(found, [level / 255] + [0] * (len(light.LIGHT) - 1))


def test_place_by_hand() -> None:
    found = named(light.place(Box(30, 20, 40, 40), (100, 200)), light.PLACE)
    assert found == pytest.approx({"box_x": -0.5, "box_y": -0.1, "box_size": 0.4})


def test_a_box_is_steadied_in_size_not_in_place() -> None:
    assert light.steady(Box(0, 0, 100, 100), None) == Box(0, 0, 100, 100)
    steadied = light.steady(Box(100, 100, 100, 100), Box(0, 0, 200, 200))
    assert steadied == Box(70, 70, 160, 160)  # 0.6 of 200 and 0.4 of 100 about (150, 150)


def test_a_box_beyond_the_picture_takes_its_border() -> None:
    grey = np.tile(np.arange(10, 74, dtype=np.uint8), (S, 1))
    np.testing.assert_array_equal(light.cut(grey, Box(0, 0, S, S)), grey)
    shifted = light.cut(grey, Box(-4, -9, S, S))
    assert (shifted[:, :5] == 10).all()
    np.testing.assert_array_equal(shifted[:, 4:], grey[:, :-4])
    assert (light.cut(grey, Box(500, 500, 3, 3)) == 73).all()
    assert light.cut(grey, Box(3.2, 3.2, 0.1, 0.1)).shape == (S, S)


# motion


def test_motion_of_the_whole_face_is_the_heads() -> None:
    flow = np.zeros((S, S, 2))
    flow[..., 0], flow[..., 1] = 0.3, -0.2
    found = named(light.motion(flow), light.FLOW)
    assert found.pop("head_flow_x") == 0.3
    assert found.pop("head_flow_y") == -0.2
    assert set(found.values()) == {0.0}


def test_motion_of_a_mouth_that_opens_and_widens() -> None:
    flow = np.zeros((S, S, 2))
    flow[52:, :, 1] = 0.4  # the mouth is rows 44 to 59, columns 16 to 47
    flow[44:60, 32:48, 0] = 0.3
    found = named(light.motion(flow), light.FLOW)
    assert found["mouth_opening"] == pytest.approx(0.4)
    assert found["mouth_widening"] == pytest.approx(0.3)
    assert found["mouth_flow_x"] == pytest.approx(0.15)
    assert found["mouth_flow_y"] == pytest.approx(0.2)
    assert found["mouth_flow_size"] == pytest.approx((0 + 0.3 + 0.4 + 0.5) / 4)
    assert found["eyes_flow_size"] == found["head_flow_x"] == 0


def test_flow_points_where_things_go() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (S + 8, S + 8)).astype(np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 2)
    flow = light.moved(picture[4:-4, 4:-4], picture[3:-5, 6:-2])  # 2 left, 1 down
    middle = np.median(flow[8:-8, 8:-8].reshape(-1, 2), axis=0) * S
    np.testing.assert_allclose(middle, [-2, 1], atol=0.15)


# clips


def test_a_face_that_talks() -> None:
    sight = see([drawn(mouth=m) for m in (0, 1, 0, 1)])
    assert (sight.frames, sight.faces) == (4, 4)
    assert sight.track.values.shape == (4, 138)
    assert len(set(sight.track.columns)) == 138
    opening = column(sight, "mouth_opening")
    assert opening[0] == 0
    assert opening[1] > 0.05
    assert opening[2] < -0.05
    assert opening[3] > 0.05
    size = {region: column(sight, f"{region}_flow_size")[1:].mean() for region in light.REGIONS}
    assert size["mouth"] > 2 * max(size["eyes"], size["brow"])


def test_motion_is_by_the_second_whatever_the_rate() -> None:
    images = [drawn(mouth=m) for m in (0, 1)]
    slow, fast = (column(see(images, rate=rate), "mouth_opening")[1] for rate in (2, 4))
    assert fast == pytest.approx(2 * slow, rel=1e-5)


def test_a_head_that_moves() -> None:
    sight = see([drawn(), np.roll(drawn(), 10, axis=1), np.roll(drawn(), (6, 10), axis=(0, 1))])
    right, down = column(sight, "head_flow_x"), column(sight, "head_flow_y")
    assert right[1] > 5 * abs(down[1])
    assert down[2] > 5 * abs(right[2])


def test_where_a_head_is() -> None:
    around = np.full((480, 640, 3), 90, dtype=np.uint8)
    for left, top in ((0, 0), (320, 240), (160, 120)):
        picture = around.copy()
        picture[top : top + HEIGHT, left : left + WIDTH] = drawn()
        sight = see([picture])
        x, y = (left + WIDTH / 2 - 320) / 480, (top + HEIGHT / 2 - 240) / 480
        assert column(sight, "box_x")[0] == pytest.approx(x, abs=0.03)
        assert column(sight, "box_y")[0] == pytest.approx(y, abs=0.03)
        assert column(sight, "box_size")[0] == pytest.approx(0.43, abs=0.05)


def test_a_smile_changes_the_mouths_edges_most() -> None:
    sight = see([drawn(smile=-1), drawn(smile=1)])
    change = np.abs(np.diff(sight.track.values, axis=0))[0]
    names = np.array(sight.track.columns)
    mouth, eyes = (
        change[np.char.startswith(names, f"{region}_hog")].mean() for region in ("mouth", "eyes")
    )
    assert mouth > 2 * eyes


def test_a_missing_face_is_never_made_up_and_stops_the_motion() -> None:
    sight = see([drawn(mouth=0), NOBODY, drawn(mouth=1), drawn(mouth=0)])
    np.testing.assert_array_equal(column(sight, "face"), [1, 0, 1, 1])
    opening = column(sight, "mouth_opening")
    assert opening[0] == opening[2] == 0
    assert opening[3] < -0.05


@pytest.mark.parametrize("images", [[], [NOBODY], [NOBODY] * 3])
def test_nobody_there(images: list[Image]) -> None:
    sight = see(images)
    assert (len(sight.track), sight.frames, sight.faces) == (0, len(images), 0)


def test_which_face_is_seen() -> None:
    both = np.full((HEIGHT, 640, 3), 90, dtype=np.uint8)
    both[:, :WIDTH] = drawn()
    both[60:180, 320:480] = face(width=160, height=120)
    only = np.full((HEIGHT, 640, 3), 90, dtype=np.uint8)
    only[60:180, 320:480] = both[60:180, 320:480]
    found = {
        which: column(see([only, both], which), "box_x") < 0
        for which in ("largest", "central", "tracked")
    }
    assert found["largest"].tolist() == [False, True]
    assert found["central"].tolist() == found["tracked"].tolist() == [False, False]


def test_another_face_does_not_move_from_the_one_before() -> None:
    left, right = (np.full((HEIGHT, 640, 3), 90, dtype=np.uint8) for _ in range(2))
    left[:, :WIDTH], right[:, WIDTH:] = drawn(), drawn()
    flow = [name for name in light.FLOW if "flow" in name]
    sight = see([left, right])
    assert all((column(sight, name) == 0).all() for name in flow)


def test_the_same_pictures_give_the_same_numbers_after_any_other_clip() -> None:
    images = [drawn(mouth=m) for m in (0.1, 0.7)]
    for image in images:
        image.flags.writeable = False
    extractor = light.extractor(5.0, "tracked")
    pictures = [Still(i / 5, image) for i, image in enumerate(images)]
    once = extractor(pictures).track.values
    extractor([Still(0, np.roll(drawn(1, 1), 30, axis=1))])
    np.testing.assert_array_equal(extractor(pictures).track.values, once)


def test_what_it_is_can_be_written_as_json() -> None:
    described = light.extractor(5.0, "largest").describe()
    assert json.loads(json.dumps(described)) == described
    assert described["tools"] == {"opencv": cv2.__version__}
    assert described["columns"][0] == "face"
