"""Faces and feet: the squares that bodies lead to, and what is found there and put back.

The networks here are stand-ins that find coloured dots in a crop, so that every answer can be told
in advance; the last tests look at real people with real networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import original_networks
from openpose_ext import _core
from openpose_ext.models.network import CropMaps, CropPoints, FaceNetwork
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.faces import FaceFinder
from openpose_ext.stages.feet import FootFinder
from openpose_ext.stages.heads import head_box
from openpose_ext.stages.legs import body_box, leg_boxes
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import (
    BODY_25,
    COCO_18,
    FACE_68,
    FACE_70,
    FEET_6,
    FOOT_2,
    Topology,
)

Point = tuple[float, float]


def body(parts: dict[str, Point], topology: Topology = COCO_18, score: float = 0.8) -> np.ndarray:
    keypoints = np.zeros((len(topology.parts), 3), np.float32)
    for name, (x, y) in parts.items():
        keypoints[topology.parts.index(name)] = x, y, score
    return keypoints


def people(*bodies: np.ndarray, topology: Topology = COCO_18) -> Poses:
    keypoints = np.stack(bodies)
    shape = keypoints.shape[:2]
    return Poses(
        keypoints, np.ones(len(bodies), np.float32), np.zeros(shape, np.bool_), topology, (640, 480)
    )


# Where they are ------------------------------------------------------------------------------


def test_a_head_lies_around_eyes_and_nose() -> None:
    box = head_box(body({"REye": (100, 50), "LEye": (140, 50), "Nose": (120, 80)}), COCO_18)
    assert box is not None
    assert box.centre == pytest.approx((120, 0.4 * 50 + 0.6 * 80))
    assert box.side == pytest.approx(4.2 * 40)
    assert box.angle == pytest.approx(0)
    assert box.anchor == pytest.approx((120, 80))


@pytest.mark.parametrize(
    ("parts", "angle"),
    [
        ({"REye": (100, 50), "LEye": (100, 90), "Nose": (80, 70)}, 90.0),
        # Seen from the right side, looking to the right of the picture, and from the left side.
        ({"REye": (130, 50), "REar": (90, 50), "Nose": (140, 60)}, 0.0),
        ({"LEye": (90, 50), "LEar": (130, 50), "Nose": (80, 60)}, 0.0),
        ({"REar": (90, 50), "LEar": (130, 60), "Nose": (110, 60)}, math.degrees(math.atan(0.25))),
    ],
    ids=["turned", "right side", "left side", "ears"],
)
def test_eyes_and_ears_tell_how_a_head_is_turned(parts: dict[str, Point], angle: float) -> None:
    box = head_box(body(parts), COCO_18)
    assert box is not None
    assert box.angle == pytest.approx(angle)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"Nose": (10, 10)},
        {"REye": (10, 10), "REar": (60, 10)},  # the back of a head, or a guess
        {"REye": (10, 10), "LEye": (13, 10), "Nose": (11, 12)},
    ],
    ids=["nothing", "no size", "no nose", "tiny"],
)
def test_without_a_nose_or_a_size_or_if_tiny_there_is_no_head(parts: dict[str, Point]) -> None:
    assert head_box(body(parts), COCO_18) is None


def test_what_was_filled_in_tells_no_place() -> None:
    parts = {"REye": (100.0, 50.0), "LEye": (140.0, 50.0), "Nose": (120.0, 80.0)}
    assert head_box(body(parts, score=0.04), COCO_18) is None
    legs = {"RKnee": (100.0, 50.0), "RAnkle": (100.0, 150.0)}
    assert leg_boxes(body(legs, score=0.04), COCO_18) == (None, None)
    assert body_box(body(legs, score=0.04), COCO_18) is None


def test_a_foot_lies_beyond_the_ankle_with_the_leg_downwards() -> None:
    """The leg points to the right; the thigh is longer than what is seen of the lower leg."""
    parts: dict[str, Point] = {"RHip": (0, 0), "RKnee": (0, 100), "RAnkle": (50, 100)}
    left, right = leg_boxes(body(parts), COCO_18)
    assert left is None
    assert right is not None
    assert right.side == pytest.approx(160)
    assert right.centre == pytest.approx((65, 100))
    assert right.angle == pytest.approx(-90)
    assert right.anchor == pytest.approx((50, 100))


def test_the_square_of_a_body_holds_all_of_it_around_the_hips() -> None:
    parts: dict[str, Point] = {
        "RHip": (190, 200), "LHip": (210, 200), "RShoulder": (180, 100), "LShoulder": (220, 100),
        "LAnkle": (200, 400),
    }  # fmt: skip
    box = body_box(body(parts), COCO_18)
    assert box is not None
    assert box.centre == pytest.approx((200, 200))
    assert box.angle == pytest.approx(0)
    assert box.side == pytest.approx(2.2 * 1.15 * 200)
    del parts["LAnkle"]
    box = body_box(body(parts), COCO_18)
    assert box is not None
    assert box.side == pytest.approx(2.2 * 1.9 * 100)


# Things of dots ------------------------------------------------------------------------------

RED, BLUE = (0, 0, 255), (255, 0, 0)


def dots(*points: tuple[Point, tuple[int, int, int]]) -> np.ndarray:
    picture = np.full((480, 640, 3), 255, np.uint8)
    for (x, y), colour in points:
        cv2.circle(picture, (round(16 * x), round(16 * y)), 16 * 4, colour, -1, cv2.LINE_AA, 4)
    return picture


def middle(crop: np.ndarray, channel: int) -> np.ndarray | None:
    """Where the dot is of which this channel of red and blue is the only one left."""
    others = crop[..., 2 - channel].astype(int) + crop[..., 1]
    mask = (others < 100) & (crop[..., channel] > 150)
    return None if mask.sum() < 4 else np.argwhere(mask).mean(axis=0)[::-1]


class Dots:
    """A stand-in: two dots, red and blue, tell all points, as a frame of axes does.

    shape  (K, 2): the points, of which `ends` are where the dots are
    """

    def __init__(
        self, topology: Topology, shape: np.ndarray, ends: tuple[int, int], *, maps: bool = False
    ) -> None:
        self.topology = topology
        self.regresses = not maps
        self.outlined = False
        self.crop = 160
        self.stride = 8
        self.min_score: float | None = None
        self.fixed_size = None if maps else (160, 160)
        self.info = None
        self.shape = shape
        self.ends = ends
        self.scores = np.ones(len(shape), np.float32)
        self.crops: list[np.ndarray] = []

    def close(self) -> None:
        pass

    def run(self, batch: np.ndarray) -> CropMaps | CropPoints:
        self.crops += [*batch]
        found = [self.points(crop) for crop in batch]
        if self.regresses:
            points = np.nan_to_num(np.stack(found), nan=-1e4).astype(np.float32)
            there = np.isfinite(np.stack(found)[:, 0, 0]).astype(np.float32)
            return CropPoints(points, there, None, np.tile(self.scores, (len(batch), 1)), points)
        cells = batch.shape[1] // 8
        y, x = np.mgrid[:cells, :cells]
        heat = np.zeros((len(batch), len(self.shape) + 1, cells, cells), np.float32)
        for maps, points in zip(heat, found, strict=True):
            for one, point in zip(maps, points, strict=False):
                if np.isfinite(point).all():
                    cx, cy = (point + 0.5) / 8 - 0.5
                    one[:] = 0.9 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 2)
        return CropMaps(heat)

    def points(self, crop: np.ndarray) -> np.ndarray:
        red, blue = middle(crop, 2), middle(crop, 0)
        if red is None or blue is None:
            return np.full_like(self.shape, np.nan)
        return placed(self.shape, self.ends, (red[0], red[1]), (blue[0], blue[1]))


def placed(shape: np.ndarray, ends: tuple[int, int], a: Point, b: Point) -> np.ndarray:
    """The shape turned, scaled and moved so that its two ends are at a and b."""
    points = shape @ (1, 1j)
    first, last = points[list(ends)]
    turned = (points - first) / (last - first) * (complex(*b) - complex(*a)) + complex(*a)
    return np.stack([turned.real, turned.imag], axis=1)


def face_shape(count: int = 70) -> np.ndarray:
    """Points around two eyes and a nose: a jaw below, all else in between."""
    shape = np.random.default_rng(1).uniform((-0.4, -0.2), (0.4, 0.6), (70, 2))
    shape[:17] = [(-0.7 * math.cos(t), 0.8 * math.sin(t)) for t in np.linspace(0, math.pi, 17)]
    shape[36], shape[45], shape[30] = (-0.45, 0), (0.45, 0), (0, 0.35)
    for pupil, eye in ((68, slice(36, 42)), (69, slice(42, 48))):
        shape[pupil] = shape[eye].mean(axis=0)
    return shape[:count]


def faces(count: int = 70, *, maps: bool = False) -> tuple[FaceFinder, Dots]:
    topology = {68: FACE_68, 70: FACE_70}[count]
    network: Any = Dots(topology, face_shape(count), (36, 45), maps=maps)
    return FaceFinder(network), network


@pytest.mark.parametrize("maps", [False, True], ids=["landmarks", "maps"])
@pytest.mark.parametrize("count", [68, 70])
def test_a_face_is_found_where_it_is_with_pupils(count: int, maps: bool) -> None:
    red, blue = (280.0, 200.0), (340.0, 200.0)
    picture = dots((red, RED), (blue, BLUE))
    truth = placed(face_shape(), (36, 45), red, blue)
    finder, _ = faces(count, maps=maps)
    eyes = {"REye": red, "LEye": blue, "Nose": tuple(truth[30])}
    found = finder.of_people(picture, people(body(eyes)))
    assert found.shape == (1, 70, 3)
    assert np.abs(found[0, :, :2] - truth).max() < (4 if maps else 2)
    assert (found[..., 2] > 0.5).all()
    (boxed,) = finder.in_boxes(picture, [[220, 130, 180, 180]])
    assert np.abs(boxed[:, :2] - truth).max() < (6 if maps else 2)


@pytest.mark.parametrize("angle", [-100, -30, 20, 75])
def test_a_turned_face_is_seen_upright_the_second_time(angle: float) -> None:
    across = 30 * np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    red, blue = tuple(np.array((310, 200)) - across), tuple(np.array((310, 200)) + across)
    finder, network = faces()
    truth = placed(face_shape(), (36, 45), red, blue)
    (found,) = finder.in_boxes(dots((red, RED), (blue, BLUE)), [[220, 110, 180, 180]])
    assert np.abs(found[:, :2] - truth).max() < 3
    eyes = middle(network.crops[-1], 2), middle(network.crops[-1], 0)
    assert eyes[0] is not None
    assert eyes[1] is not None
    assert abs(eyes[0][1] - eyes[1][1]) < 2
    assert eyes[0][0] < eyes[1][0]


def test_one_face_that_two_people_claim_goes_to_the_nearer_nose() -> None:
    red, blue = (280.0, 200.0), (340.0, 200.0)
    nose = placed(face_shape(), (36, 45), red, blue)[30]
    own = body({"REye": red, "LEye": blue, "Nose": tuple(nose)})
    guest = body({"REye": (300, 215), "LEye": (360, 215), "Nose": (330, 240)})
    finder, _ = faces()
    for order in ((own, guest), (guest, own)):
        found = finder.of_people(dots((red, RED), (blue, BLUE)), people(*order))
        assert found[..., 2].any(axis=1).tolist() == [one is own for one in order]


def test_nobody_and_nothing_have_no_faces() -> None:
    finder, network = faces()
    picture = dots()
    assert finder.of_people(picture, Poses.empty((640, 480))).shape == (0, 70, 3)
    assert not finder.of_people(picture, people(body({"Nose": (5, 5)}))).any()
    assert not network.crops
    assert not finder.in_boxes(picture, [[100, 100, 200, 200]]).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2, 3, 4],), r"boxes must be \(N, 4\)"),
        (([[1, 2, 3, 4]], [1, 2]), "1 boxes need as many angles, not 2"),
        (([[1, 2, 3, 4]], [math.nan]), "angles must be numbers of degrees"),
    ],
)
def test_boxes_that_are_none_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        faces()[0].in_boxes(dots(), *arguments)


LEG: dict[str, Point] = {"RHip": (300, 100), "RKnee": (300, 200), "RAnkle": (300, 300)}
HEEL, TOE = (295.0, 320.0), (340.0, 325.0)


def mirrored(points: dict[str, Point]) -> dict[str, Point]:
    return {f"L{name[1:]}": (640 - x, y) for name, (x, y) in points.items()}


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("maps", [False, True], ids=["landmarks", "maps"])
def test_a_foot_of_either_side_is_found_and_the_person_becomes_body_25(
    side: str, maps: bool
) -> None:
    """The network knows right feet: red heel, blue toe."""
    network: Any = Dots(FOOT_2, np.array([(0.0, 0.0), (1.0, 0.0)]), (0, 1), maps=maps)
    finder = FootFinder(network)
    across: Callable[[Point], Point] = (
        (lambda p: p) if side == "right" else (lambda p: (640 - p[0], p[1]))
    )
    picture = dots((across(HEEL), RED), (across(TOE), BLUE))
    found = finder.of_people(picture, people(body(LEG if side == "right" else mirrored(LEG))))
    assert found.topology == BODY_25
    s = side[0].upper()
    for name, point in ((f"{s}Heel", HEEL), (f"{s}BigToe", TOE)):
        x, y, score = found.keypoints[0, BODY_25.parts.index(name)]
        assert (x, y) == pytest.approx(across(point), abs=3)
        assert score > 0.05
    assert (found.keypoints[0, 19:, 2] > 0).sum() == 2
    assert not found.filled.any()


def test_body_25s_own_feet_are_kept_where_they_are_surer() -> None:
    network: Any = Dots(FOOT_2, np.array([(0.0, 0.0), (1.0, 0.0)]), (0, 1))
    network.scores[:] = 0.6
    keypoints = body(LEG, BODY_25)
    heel, toe, small = (BODY_25.parts.index(n) for n in ("RHeel", "RBigToe", "RSmallToe"))
    keypoints[heel] = 290, 318, 0.7
    keypoints[toe] = 350, 330, 0.5
    keypoints[small] = 345, 332, 0.5
    picture = dots((HEEL, RED), (TOE, BLUE))
    found = FootFinder(network).of_people(picture, people(keypoints, topology=BODY_25))
    np.testing.assert_array_equal(found.keypoints[0, [heel, small]], keypoints[[heel, small]])
    assert found.keypoints[0, toe] == pytest.approx([*TOE, 0.6], abs=1.5)


def test_a_whole_bodys_feet_count_where_the_legs_end() -> None:
    """Six points in one look; the left leg is not seen by the body, and a weak point is missing."""
    shape = np.array([(2.0, -4), (2, -3), (3, -3), (0, 0), (0, 1), (1, 1)])
    network: Any = Dots(FEET_6, shape, (4, 5))
    network.crop = 480
    parts = LEG | {"LHip": (330.0, 100.0), "RShoulder": (290.0, 20.0), "LShoulder": (340.0, 20.0)}
    truth = placed(shape, (4, 5), HEEL, TOE)
    parts["RAnkle"] = tuple(truth[3])
    picture = dots((HEEL, RED), (TOE, BLUE))
    found = FootFinder(network).of_people(picture, people(body(parts)))
    heel, toe = (found.keypoints[0, BODY_25.parts.index(n)] for n in ("RHeel", "RBigToe"))
    assert heel[:2] == pytest.approx(HEEL, abs=4)
    assert toe[:2] == pytest.approx(TOE, abs=4)
    assert (found.keypoints[0, 19:, 2] > 0).sum() == 2
    network.scores[4] = 0.2
    found = FootFinder(network).of_people(picture, people(body(parts)))
    assert (found.keypoints[0, 19:, 2] > 0).sum() == 1
    parts["RAnkle"] = (300.0, 240.0)
    found = FootFinder(network).of_people(picture, people(body(parts)))
    assert not found.keypoints[0, 19:].any()


@pytest.mark.parametrize("points", [2, 21, 70])
def test_points_of_any_number_of_maps_are_those_of_a_hands(points: int) -> None:
    """With and without a background; missing where nothing is above 0.1, NaN counts as nothing."""
    rng = np.random.default_rng(points)
    heat = rng.uniform(0, 0.6, (points + 1, 12, 15)).astype(np.float32)
    heat[1] *= 0.1
    heat[0, 3, 4] = np.nan
    affine, size = (8.0, 3.5, 8.0, 3.5), (120, 96)
    found = _core.decode_points(heat, points, affine, size)
    np.testing.assert_array_equal(_core.decode_points(heat[:-1], points, affine, size), found)
    assert not found[1].any()
    for part in (part for part in range(points) if part != 1):
        y, x = np.unravel_index(np.nanargmax(heat[part]), heat[part].shape)
        assert abs(found[part, 0] - (8 * x + 3.5)) <= 8
        assert abs(found[part, 1] - (8 * y + 3.5)) <= 8
    for first in range(0, points, 21):  # as hands, which have an oracle of their own
        some = heat[first : min(first + 21, points)]
        hand = np.zeros((21, 12, 15), np.float32)
        hand[: len(some)] = some
        as_hand = _core.decode_hand(hand, affine, size)[: len(some)]
        np.testing.assert_array_equal(found[first : first + len(some)], as_hand)
    with pytest.raises(ValueError, match=f"do not fit {points + 2} points"):
        _core.decode_points(heat[:-1], points + 2, affine, size)


# Real people ---------------------------------------------------------------------------------


def test_real_faces_and_feet_are_found(shared: Path) -> None:
    weights = shared / "weights"
    picture = str(shared / "data" / "media" / "COCO_val2014_000000000241.jpg")
    options = {"precision": "f32", "threads": 1}
    with PoseEstimator(
        weights / "human-pose-estimation-0001-int8-qdq.onnx",
        face=weights / "face_landmark.tflite",
        foot=weights / "pose_landmark_full.tflite",
        **options,  # type: ignore[arg-type]
    ) as estimator:
        poses = estimator(picture)
        assert estimator.face_info is not None
        assert estimator.foot_info is not None
        assert estimator.face_info.model.name == "face_landmark.tflite"
        stages = estimator.stages(picture)
    assert {"faces", "feet"} <= {*poses.timings}
    assert poses.topology == BODY_25
    assert stages.topology == COCO_18
    assert stages.people.allclose(poses, pixels=0, score=0)
    assert poses.faces is not None
    # The man who stands, in the middle: his face is seen, and so are his feet.
    standing = int(np.argmax(np.ptp(poses.keypoints[..., 1], axis=1)))
    face = poses.faces[standing]
    assert (face[:, 2] > 0.5).all()
    nose = poses.keypoints[standing, BODY_25.parts.index("Nose"), :2]
    assert np.hypot(*(face[30, :2] - nose)) < 15
    feet = poses.keypoints[standing, [19, 21, 22, 24]]
    assert (feet[:, 2] > 0.3).all()
    assert (feet[:, 1] > 560).all()
    assert not poses.keypoints[standing, [20, 23]].any()


@pytest.mark.filterwarnings("ignore:nothing tells which range")  # the registry knows other bytes
@pytest.mark.torch
def test_the_original_face_network_runs_by_its_file_and_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thinner and with random weights; by its name it is converted once, for other engines."""
    file = original_networks.write(tmp_path / "facenet.pth", "face")
    monkeypatch.setenv("OPENPOSE_EXT_MODELS", str(tmp_path))
    picture = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    found = []
    for network, backend in ((file, "torch"), ("openpose", "openvino")):
        with FaceNetwork.open(network, backend=backend, precision="f32") as opened:
            assert (opened.topology, opened.crop, opened.regresses) == (FACE_70, 368, False)
            maps = opened.run(picture[None, :128, :128])
        assert isinstance(maps, CropMaps)
        assert maps.heat.shape == (1, 71, 16, 16)
        found.append(maps.heat)
    np.testing.assert_allclose(found[0], found[1], atol=1e-4 * np.ptp(found[0]))
    assert [one.name for one in tmp_path.glob("*.onnx")] != []
    with PoseEstimator(None, face=file, backend="torch", precision="f32") as estimator:
        assert estimator.faces(picture, [[50, 50, 100, 100]]).shape == (1, 70, 3)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"body": None, "foot": "landmark"}, "no network is given"),
        ({"body": None, "foot": "landmark", "hand": "lite"}, "foot needs a body network"),
        ({"body": None}, "no network is given"),
    ],
)
def test_what_leaves_nothing_to_look_for_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoseEstimator(**asked)


def test_the_whole_person_is_found_with_what_is_in_the_package_where_nothing_is_said() -> None:
    with PoseEstimator(whole=True, hand="none", threads=1) as estimator:
        poses = estimator(np.zeros((64, 96, 3), np.uint8))
        names = [info and info.model.name for info in (estimator.face_info, estimator.foot_info)]
        assert estimator.hand_info is None
    assert names == ["lite_face.onnx", "lite_foot.onnx"]
    assert poses.topology == BODY_25
    assert poses.hands is None
    assert poses.faces is not None


def test_without_a_face_network_no_faces_can_be_asked_for() -> None:
    with (
        PoseEstimator(None, hand="lite") as estimator,
        pytest.raises(ValueError, match="no face network"),
    ):
        estimator.faces(np.zeros((64, 64, 3), np.uint8), [])


def test_the_embedded_feet_are_where_shoes_are(shared: Path) -> None:
    """Heels and toes of the man who stands lie near his ankles, the toes below them."""
    picture = str(shared / "data" / "media" / "COCO_val2014_000000000241.jpg")
    body = shared / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
    with PoseEstimator(body, foot="lite", precision="f32", threads=1) as estimator:
        poses = estimator(picture)
    standing = poses.keypoints[int(np.argmax(np.ptp(poses.keypoints[..., 1], axis=1)))]
    at = {name: standing[k] for k, name in enumerate(BODY_25.parts)}
    for side in "LR":
        ankle, toe, heel = (at[f"{side}{name}"] for name in ("Ankle", "BigToe", "Heel"))
        leg = np.hypot(*(at[f"{side}Knee"][:2] - ankle[:2]))
        assert min(toe[2], heel[2]) >= 0.7
        assert toe[1] > ankle[1]
        assert np.hypot(*(toe[:2] - ankle[:2])) < 0.7 * leg
        assert np.hypot(*(heel[:2] - ankle[:2])) < 0.4 * leg


def test_an_embedded_face_lies_on_the_face(shared: Path) -> None:
    """Its nose is the body's, its eyes are level above, its mouth and chin below."""
    picture = str(shared / "data" / "media" / "COCO_val2014_000000000241.jpg")
    body = shared / "weights" / "human-pose-estimation-0001-int8-qdq.onnx"
    with PoseEstimator(body, face="lite", precision="f32", threads=1) as estimator:
        poses = estimator(picture)
    assert poses.faces is not None
    standing = int(np.argmax(np.ptp(poses.keypoints[..., 1], axis=1)))
    face, keypoints = poses.faces[standing], poses.keypoints[standing]
    assert (face[:, 2] >= 0.7).all()
    names = poses.topology.parts
    nose, right, left = (keypoints[names.index(name), :2] for name in ("Nose", "REye", "LEye"))
    eyes = np.hypot(*(left - right))
    for point, part in ((30, nose), (68, right), (69, left)):
        assert np.hypot(*(face[point, :2] - part)) < 0.5 * eyes
    assert face[30, 1] < face[57, 1] < face[8, 1]
