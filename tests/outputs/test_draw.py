"""Where skeletons are drawn, in which colour, and how thick."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from openpose_ext.errors import SourceError
from openpose_ext.outputs.draw import draw
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, Topology

SIZE = (300, 200)


def person(parts: dict[str, tuple[float, ...]], topology: Topology = COCO_18) -> np.ndarray:
    """(K, 3): the named parts at x, y with a score of 1 or the third number."""
    keypoints = np.zeros((len(topology.parts), 3), np.float32)
    for name, (x, y, *score) in parts.items():
        keypoints[topology.parts.index(name)] = x, y, *(score or [1])
    return keypoints


def poses(
    *people: np.ndarray,
    topology: Topology = COCO_18,
    hands: np.ndarray | None = None,
    faces: np.ndarray | None = None,
) -> Poses:
    keypoints = np.stack(people)
    filled = np.zeros(keypoints.shape[:2], np.bool_)
    scores = np.ones(len(people), np.float32)
    return Poses(keypoints, scores, filled, topology, SIZE, hands, faces=faces)


def black() -> np.ndarray:
    return np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


def bgr(name: str, topology: Topology = COCO_18) -> list[int]:
    return list(topology.colours[topology.parts.index(name)][::-1])


def test_a_file_is_drawn_on_as_its_picture_is(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    picture = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    cv2.imwrite(str(file), picture)
    people = poses(person({"Neck": (50, 50), "RShoulder": (100, 50)}))
    np.testing.assert_array_equal(draw(file, people), draw(picture, people))
    with pytest.raises(SourceError, match=r"b\.png: No such file"):
        draw("b.png", people)


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
def test_limbs_have_the_colour_of_their_second_part_and_parts_their_own(topology: Topology) -> None:
    parts = {"Neck": (50, 50), "RShoulder": (100, 50), "RElbow": (150, 90), "Nose": (50, 20)}
    drawn = draw(black(), poses(person(parts, topology), topology=topology))
    for name, (x, y) in parts.items():
        assert drawn[y, x].tolist() == bgr(name, topology)
    assert drawn[50, 75].tolist() == bgr("RShoulder", topology)
    assert drawn[70, 125].tolist() == bgr("RElbow", topology)
    assert drawn[35, 50].tolist() == bgr("Nose", topology)
    assert not drawn[150:].any()
    assert not drawn[:, 200:].any()


def test_the_picture_is_not_changed() -> None:
    picture = black()
    picture.setflags(write=False)
    drawn = draw(picture, poses(person({"Neck": (50, 50), "Nose": (50, 20)})))
    assert drawn.any()
    assert not picture.any()
    assert (draw(picture, Poses.empty(SIZE)) == picture).all()
    upside_down = black()[::-1, ::-1]
    assert draw(upside_down, poses(person({"Nose": (50, 20)})))[20, 50].any()


def test_missing_weak_and_filled_parts_are_left_out() -> None:
    weak = person({"Neck": (50, 50), "RShoulder": (100, 50, 0.05), "RElbow": (150, 90, 0.0501)})
    drawn = draw(black(), poses(weak))
    assert drawn[50, 50].any()
    assert drawn[90, 150].any()
    assert not drawn[50, 75].any()
    assert not drawn[50, 100].any()
    assert not drawn[0, 0].any()
    assert draw(black(), poses(weak), threshold=0)[50, 75].any()
    assert not draw(black(), poses(weak), threshold=1).any()


def test_shoulder_ear_pairs_are_not_drawn() -> None:
    drawn = draw(black(), poses(person({"RShoulder": (100, 50), "REar": (200, 50)})))
    assert not drawn[50, 150].any()


@pytest.mark.parametrize(("length", "thickness"), [(980, 12), (500, 6), (60, 2)])
def test_a_large_person_is_drawn_thicker(length: int, thickness: int) -> None:
    """Lines are 0.75 sqrt(W H) / 75 thick for a person as tall as the picture, at least 2."""
    large = np.zeros((1000, 1500, 3), np.uint8)
    drawn = draw(large, poses(person({"Neck": (750, 10), "Nose": (750, 10 + length)})))
    across = drawn[10 + length // 2].max(axis=1) > 127
    assert across.sum() == pytest.approx(thickness, abs=1)


def test_later_people_lie_on_top() -> None:
    first, second = person({"Neck": (50, 50)}), person({"Nose": (50, 50)})
    assert draw(black(), poses(first, second))[50, 50].tolist() == bgr("Nose")
    assert draw(black(), poses(second, first))[50, 50].tolist() == bgr("Neck")


def a_face() -> np.ndarray:
    """The first points of a jaw, and a pupil."""
    faces = np.zeros((1, 70, 3), np.float32)
    faces[0, :4] = [(100, 150, 0.9), (120, 150, 0.9), (140, 150, 0.9), (160, 150, 0.4)]
    faces[0, 68] = 130, 190, 0.9
    return faces


def test_faces_are_drawn_white_where_they_score_above_two_fifths() -> None:
    drawn = draw(black(), poses(person({"Nose": (50, 20)}), faces=a_face()))
    for point in ((100, 150), (110, 150), (130, 150), (130, 190)):
        assert len({*drawn[point[1], point[0]].tolist()}) == 1
        assert drawn[point[1], point[0], 0] > 200
    assert not drawn[150, 155:].any()


def test_controlnet_draws_faces_as_white_discs_of_radius_3() -> None:
    drawn = draw(black(), poses(person({"Nose": (50, 20)}), faces=a_face()), style="controlnet")
    assert drawn[150, 97:104].all()
    assert not drawn[150, 104:116].any()
    assert not drawn[150, 150:].any()


def test_hands_are_drawn_where_they_score_above_a_fifth() -> None:
    hands = np.zeros((1, 2, 21, 3), np.float32)
    hands[0, 0, 5:9] = [(100, 150, 0.9), (120, 150, 0.9), (140, 150, 0.9), (160, 150, 0.2)]
    drawn = draw(black(), poses(person({"Nose": (50, 20)}), hands=hands))
    assert drawn[150, 130].tolist() == [0, 200, 200], "the index finger is yellow"
    assert not drawn[150, 155].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (70000, 3), (3, 70000)])
def test_pictures_of_any_size_are_drawn_on(size: tuple[int, int]) -> None:
    width, height = size
    far = person({"Neck": (width - 1, height - 1), "Nose": (width - 2, height - 2)})
    drawn = draw(np.zeros((height, width, 3), np.uint8), poses(far))
    assert drawn[-1, -1].any()


def test_points_far_outside_do_no_harm() -> None:
    far = person({"Neck": (-1e30, 50), "Nose": (1e9, 1e9), "RShoulder": (50, 50)})
    assert draw(black(), poses(far))[50, 50].tolist() == bgr("RShoulder")


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_what_is_no_bgr_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"picture must be \(H, W, 3\) uint8 BGR"):
        draw(picture, Poses.empty(SIZE))


def test_a_file_that_opencv_cannot_read_is_told_as_the_reason() -> None:
    with pytest.raises(ValueError, match=r"cv2\.imread returns that for a file it cannot read"):
        draw(cv2.imread("gone.jpg"), Poses.empty(SIZE))


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(
        ValueError, match="style must be one of openpose, controlnet, seed, not 'cubist'"
    ):
        draw(black(), Poses.empty(SIZE), style="cubist")


def hand_of(points: dict[int, tuple[float, ...]]) -> np.ndarray:
    """(1, 2, 21, 3): the points of a left hand."""
    hands = np.zeros((1, 2, 21, 3), np.float32)
    for part, point in points.items():
        hands[0, 0, part] = point
    return hands


ARM = {"Neck": (60, 100), "RShoulder": (120, 100), "RElbow": (200, 100)}
FINGER = hand_of({0: (60, 160, 0.9), 5: (100, 160, 0.9), 6: (140, 160, 0.1)})


def test_controlnet_draws_dim_limbs_below_bright_parts_on_black() -> None:
    picture = np.full((SIZE[1], SIZE[0], 3), 200, np.uint8)
    drawn = draw(picture, poses(person(ARM), hands=FINGER), style="controlnet")
    assert not drawn[0, 0].any(), "the picture is not seen"
    # In RGB: limb 0 is red, limb 2 orange, at 0.6 of their light; parts in full.
    assert drawn[100, 90, ::-1].tolist() == [153, 0, 0]
    assert drawn[100, 160, ::-1].tolist() == [153, 102, 0]
    assert drawn[100, 60, ::-1].tolist() == [255, 85, 0]
    assert drawn[100, 120, ::-1].tolist() == [255, 170, 0]
    # Four pixels to either side.
    assert drawn[104, 90].any()
    assert not drawn[106, 90].any()
    assert drawn[160, 80, ::-1].tolist() == [203, 255, 0], "the hand's fifth edge"
    assert drawn[160, 60, ::-1].tolist() == [0, 0, 255]
    assert not drawn[160, 120].any(), "a weak point ends no edge"


def test_the_seed_blends_limbs_over_parts_and_exchanges_red_and_blue() -> None:
    picture = np.full((SIZE[1], SIZE[0], 3), 100, np.uint8)
    drawn = draw(picture, poses(person(ARM), hands=FINGER), style="seed")
    assert drawn[0, 0].tolist() == [100, 100, 100]
    blended = 0.4 * 100 + 0.6 * np.array([255, 0, 0])
    assert np.abs(drawn[100, 90] - blended).max() <= 1
    # The disc of the neck, in the triple's order, lies below the limb that begins there.
    assert (
        np.abs(drawn[100, 61] - (0.4 * np.array([255, 85, 0]) + 0.6 * np.array([255, 0, 0]))).max()
        <= 1
    )
    assert drawn[160, 80].tolist() == [203, 255, 0]
    assert drawn[160, 60].tolist() == [0, 0, 255]


@pytest.mark.parametrize("style", ["controlnet", "seed"])
def test_the_other_styles_draw_any_skeleton_and_nobody(style: str) -> None:
    body = poses(person(ARM, BODY_25), topology=BODY_25)
    same = poses(person(ARM))
    assert (draw(black(), body, style=style) == draw(black(), same, style=style)).all()
    assert not draw(black(), Poses.empty(SIZE), style=style).any()
    far = person({"Neck": (-1e30, 50), "Nose": (1e9, 1e9), "RShoulder": (50, 50)})
    assert draw(black(), poses(far), style=style)[50, 50].any()
