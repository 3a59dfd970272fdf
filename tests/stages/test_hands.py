"""Hands: the squares that arms lead to, what is cut out of them, and whose hand is found there.

The networks here are stand-ins that find 21 coloured marks in a crop, so that every answer can be
told in advance; the last tests look at real hands with real networks.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import hand_oracle
from openpose_ext.models.network import CropMaps, CropPoints
from openpose_ext.stages import cascade
from openpose_ext.stages.arms import arm_boxes
from openpose_ext.stages.box import Box
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.hand_detector import HandDetector
from openpose_ext.stages.hands import HandFinder
from openpose_ext.stages.view import View
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, HAND_21, Topology

Point = tuple[float, float]


# Where arms end ------------------------------------------------------------------------------


def body(parts: dict[str, Point], topology: Topology = COCO_18) -> np.ndarray:
    """(K, 3): the named parts, scored 0.8."""
    keypoints = np.zeros((len(topology.parts), 3), np.float32)
    for name, (x, y) in parts.items():
        keypoints[topology.parts.index(name)] = x, y, 0.8
    return keypoints


def left_and_right(parts: dict[str, Point]) -> tuple[Box | None, Box | None]:
    return arm_boxes(body(parts), COCO_18)


@pytest.mark.parametrize("topology", [COCO_18, BODY_25], ids=lambda t: t.name)
@pytest.mark.parametrize("side", ["L", "R"])
def test_the_square_of_a_whole_arm_is_openposes(topology: Topology, side: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        arm = rng.uniform(-50, 600, (3, 2)).astype(np.float32)
        parts = dict(zip((f"{side}Shoulder", f"{side}Elbow", f"{side}Wrist"), arm, strict=True))
        boxes = arm_boxes(body(parts, topology), topology)
        box, none = boxes if side == "L" else boxes[::-1]
        assert none is None
        x, y, width = hand_oracle.box(*arm.astype(float).tolist())
        if width < 20:
            assert box is None
            continue
        assert box is not None
        found = (box.centre[0] - box.side / 2, box.centre[1] - box.side / 2, box.side)
        np.testing.assert_allclose(found, (x, y, width), atol=1e-3)
        assert box.anchor == pytest.approx(arm[2].tolist())


def test_the_squares_of_the_published_example() -> None:
    """Before they are clamped, which only the seed does."""
    left, right = left_and_right(
        {
            "RShoulder": (50, 60), "RElbow": (60, 100), "RWrist": (64, 130),
            "LShoulder": (90, 62), "LElbow": (100, 100), "LWrist": (118, 126),
        }
    )  # fmt: skip
    for box, expected in ((right, (37, 112, 55)), (left, (97, 108, 53))):
        assert box is not None
        corner = (int(box.centre[0] - box.side / 2), int(box.centre[1] - box.side / 2))
        assert (*corner, int(box.side)) == expected


@pytest.mark.parametrize(
    ("wrist", "angle"),
    [((100, 50), 0), ((150, 100), 90), ((100, 150), 180), ((50, 100), -90), ((150, 50), 45)],
)
def test_the_forearm_tells_where_the_fingers_point(wrist: Point, angle: float) -> None:
    box = left_and_right({"LElbow": (100, 100), "LWrist": wrist})[0]
    assert box is not None
    assert box.angle == pytest.approx(angle)


def test_without_a_shoulder_the_body_tells_how_large_a_foreshortened_arm_is() -> None:
    arm = {"LElbow": (100.0, 100.0), "LWrist": (100.0, 60.0)}
    alone = left_and_right(arm)[0]
    assert alone is not None
    assert alone.side == pytest.approx(1.5 * 40)
    shoulders = {"RShoulder": (100.0, 0.0), "LShoulder": (300.0, 0.0)}
    del shoulders["LShoulder"]
    other = {"RShoulder": (0.0, 0.0), "RElbow": (100.0, 0.0), "RWrist": (100.0, 50.0)}
    larger = left_and_right(arm | other)[0]
    assert larger is not None
    assert larger.side == pytest.approx(1.5 * 90), "0.9 of the other upper arm"
    assert larger.centre == pytest.approx(alone.centre)


def test_without_an_elbow_the_square_is_centred_on_the_wrist_and_larger() -> None:
    whole = left_and_right({"RShoulder": (0, 0), "RElbow": (0, 100), "RWrist": (0, 190)})[1]
    box = left_and_right({"RShoulder": (0, 0), "RWrist": (0, 190)})[1]
    assert whole is not None
    assert box is not None
    assert box.centre == (0, 190)
    assert box.angle is None
    assert whole.side < box.side < 2 * whole.side
    by_trunk = left_and_right({"RWrist": (0, 190), "Neck": (50, 0), "RHip": (50, 200)})[1]
    assert by_trunk is not None
    assert by_trunk.side == pytest.approx(2.16 * 0.58 * 200)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"RShoulder": (0, 0), "RElbow": (0, 100)},
        {"RWrist": (50, 50)},
        {"RWrist": (50, 50), "Nose": (10, 10)},
        {"RShoulder": (0, 0), "RElbow": (0, 8), "RWrist": (0, 16)},
        {"RShoulder": (9, 9), "RElbow": (9, 9), "RWrist": (9, 9)},
    ],
)
def test_without_a_wrist_or_a_size_or_if_tiny_there_is_no_square(parts: dict[str, Point]) -> None:
    assert left_and_right(parts) == (None, None)


# Cutting out ---------------------------------------------------------------------------------


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def square(x: int, y: int, side: int) -> Point:
    """The centre of the pixels x .. x + side - 1."""
    return x + (side - 1) / 2, y + (side - 1) / 2


def test_points_go_to_the_network_and_back() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        view = View(
            tuple(rng.uniform(-100, 900, 2)),
            rng.uniform(20, 900),
            int(rng.integers(8, 400)),
            rng.uniform(-400, 400),
            bool(rng.integers(2)),
        )
        points = rng.uniform(-200, 1000, (21, 3))
        there = view.to_network(points)
        np.testing.assert_allclose(view.to_picture(there), points, atol=1e-6)
        np.testing.assert_array_equal(there[:, 2], points[:, 2])
        # The square's centre is the input's, and its upper edge lies along the angle.
        half = (view.size - 1) / 2
        np.testing.assert_allclose(view.to_picture(np.array([half, half])), view.centre)
        turn = math.radians(view.angle)
        up = np.asarray(view.centre) + view.side / 2 * np.array([math.sin(turn), -math.cos(turn)])
        np.testing.assert_allclose(view.to_network(up), (half, -0.5), atol=1e-6)


def test_a_square_of_the_inputs_size_is_a_slice() -> None:
    picture = noise(90, 120)
    part = picture[20:60, 30:70]
    centre = square(30, 20, 40)
    np.testing.assert_array_equal(View(centre, 40, 40).cut(picture), part)
    np.testing.assert_array_equal(View(centre, 40, 40, mirrored=True).cut(picture), part[:, ::-1])
    # Turned clockwise by 90 degrees it shows what pointed right pointing up.
    turned = View(centre, 40, 40, angle=90).cut(picture).astype(int)
    assert np.abs(turned - np.rot90(part)).max() <= 1
    turned = View(centre, 40, 40, angle=90, mirrored=True).cut(picture).astype(int)
    assert np.abs(turned - np.rot90(part)[:, ::-1]).max() <= 1


def test_the_network_sees_a_mirrored_hand_as_it_sees_the_hand() -> None:
    smooth = cv2.GaussianBlur(noise(200, 300), (0, 0), 6)
    picture = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    for side, angle in ((80.0, 0.0), (80.0, 33.0), (250.0, -120.0), (170.0, 90.0)):
        view = View((120.25, 90.5), side, 64, angle)
        twin = View((299 - 120.25, 90.5), side, 64, -angle, mirrored=True)
        apart = view.cut(picture).astype(int) - twin.cut(mirrored)
        # Large squares are averaged over areas that begin elsewhere in a mirrored picture, and hold
        # more or less of the grey beyond its edge.
        assert np.abs(apart).max() <= (1 if side < 96 else 20)
        points = np.array([[3.0, 50.0], [60.0, 1.5]])
        there, back = view.to_picture(points), twin.to_picture(points)
        np.testing.assert_allclose(back[:, 0], 299 - there[:, 0], atol=1e-9)
        np.testing.assert_allclose(back[:, 1], there[:, 1], atol=1e-9)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_larger_square_is_averaged(factor: int) -> None:
    picture = noise(400, 500)
    side = 40 * factor
    x, y = 5 * factor, 3 * factor
    means = picture[y : y + side, x : x + side].reshape(40, factor, 40, factor, 3).mean(axis=(1, 3))
    shown = View(square(x, y, side), side, 40).cut(picture).astype(float)
    assert np.abs(shown - means).max() <= 2, "rounded three times"


def test_what_lies_outside_the_picture_is_grey_and_the_square_keeps_its_size() -> None:
    picture = noise(60, 80)
    for x, y in ((-25, -10), (55, 40), (-10, 30)):
        shown = View(square(x, y, 40), 40, 40).cut(picture)
        expected = np.full((40, 40, 3), 128, np.uint8)
        ys, xs = slice(max(y, 0), min(y + 40, 60)), slice(max(x, 0), min(x + 40, 80))
        expected[ys.start - y : ys.stop - y, xs.start - x : xs.stop - x] = picture[ys, xs]
        np.testing.assert_array_equal(shown, expected)
    for shrink in (1, 4):
        away = View((-500.0, 30.0), 40.0 * shrink, 40).cut(picture)
        assert (away == 128).all()
    large = View(square(0, 0, 80), 240, 40).cut(np.zeros_like(picture))
    assert (large[:12] == 128).all()
    assert (large[15:22, 15:22] == 0).all()


def test_a_spot_is_shown_where_the_view_says() -> None:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:300, :400]
    for _ in range(60):
        spot = rng.uniform(60, 240, 2)
        light = 128 + 127 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 8.0**2))
        picture = np.repeat(light[..., None], 3, axis=2).round().astype(np.uint8)
        centre = spot + rng.uniform(-15, 15, 2)
        view = View(
            tuple(centre), rng.uniform(90, 400), 96, rng.uniform(0, 360), bool(rng.integers(2))
        )
        shown = view.cut(picture)[..., 0].astype(float) - 128
        rows, columns = np.mgrid[:96, :96]
        middle = np.array([(shown * columns).sum(), (shown * rows).sum()]) / shown.sum()
        assert np.abs(middle - view.to_network(spot)).max() < 0.1


def test_pictures_of_any_kind_are_cut() -> None:
    picture = noise(50, 40000)
    expected = picture[:40, 39900:39940]
    centre = square(39900, 0, 40)
    np.testing.assert_array_equal(View(centre, 40, 40).cut(picture), expected)
    turned = picture[:, ::-1]
    turned.setflags(write=False)
    np.testing.assert_array_equal(View(square(60, 0, 40), 40, 40).cut(turned), expected[:, ::-1])


# Hands of marks ------------------------------------------------------------------------------

# A right hand, seen from the palm, fingers up: x, y in a unit square, the thumb at the right.
HAND = np.array(
    [
        (0.50, 0.95), (0.66, 0.85), (0.78, 0.75), (0.86, 0.66), (0.94, 0.58), (0.64, 0.50),
        (0.67, 0.37), (0.69, 0.26), (0.70, 0.15), (0.53, 0.47), (0.54, 0.32), (0.54, 0.19),
        (0.54, 0.07), (0.42, 0.49), (0.41, 0.35), (0.40, 0.23), (0.39, 0.12), (0.31, 0.54),
        (0.27, 0.43), (0.24, 0.34), (0.21, 0.25),
    ]
) - 0.5  # fmt: skip

# Of the marks, in OpenCV's degrees of 2. Where a mark fades into white or grey the hue stays.
HUES = 4 + 8 * np.arange(21)
BACKGROUND = (255, 255, 255)


def canvas(width: int = 640, height: int = 480) -> np.ndarray:
    return np.full((height, width, 3), BACKGROUND, np.uint8)


def paint(
    picture: np.ndarray,
    centre: Point,
    size: float,
    *,
    left: bool = False,
    angle: float = 0,
) -> np.ndarray:
    """Draw a hand of marks in place; returns where its points are, (21, 2)."""
    hand = HAND * (-1, 1) if left else HAND
    turn = math.radians(angle)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    points: np.ndarray = centre + size * hand @ rotation.T
    radius = round(16 * size / 40)
    for hue, point in zip(HUES, points, strict=True):
        colour = cv2.cvtColor(np.array([[[hue, 255, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
        at = (16 * point).round().astype(int).tolist()
        cv2.circle(picture, at, radius, colour.tolist(), cv2.FILLED, cv2.LINE_AA, shift=4)
    return points


class Marks:
    """A stand-in for a hand network: it finds the marks of the hand nearest to the middle.

    Presence is the share of marks found. It was trained on right hands: one that is shown as a
    left hand counts half.
    """

    def __init__(
        self, *, regresses: bool = True, crop: int = 160, fixed: bool | None = None
    ) -> None:
        self.regresses = regresses
        self.crop = crop
        self.stride = 8
        self.topology = HAND_21
        self.min_score: float | None = None
        is_fixed = regresses if fixed is None else fixed
        self.fixed_size = (crop, crop) if is_fixed else None
        self.info = None
        self.batches: list[tuple[int, ...]] = []
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def run(self, batch: np.ndarray) -> CropMaps | CropPoints:
        self.batches.append(batch.shape)
        assert batch.dtype == np.uint8
        seen = [find_marks(crop) for crop in batch]
        if self.regresses:
            points = np.stack([np.nan_to_num(points, nan=-1e4) for points in seen])
            shares = np.array([np.isfinite(one[:, 0]).mean() for one in seen], np.float32)
            right = np.array([is_right(one) for one in seen], np.float32)
            presence = shares * (0.5 + 0.5 * right)
            return CropPoints(points.astype(np.float32), presence.astype(np.float32), right)
        size = batch.shape[1] // self.stride
        y, x = np.mgrid[:size, :size]
        heat = np.zeros((len(batch), 22, size, size), np.float32)
        for maps, points in zip(heat, seen, strict=True):
            height = 0.9 if is_right(points) else 0.45
            for one, point in zip(maps, points, strict=False):
                if np.isfinite(point).all():
                    cx, cy = (point + 0.5) / self.stride - 0.5
                    one[:] = height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 2)
        return CropMaps(heat)


def find_marks(crop: np.ndarray) -> np.ndarray:
    """(21, 2): the middle of each hue's mark, NaN where there is none."""
    points = np.full((21, 2), np.nan)
    middle = (len(crop) - 1) / 2
    hue, saturation, _ = cv2.split(cv2.cvtColor(crop, cv2.COLOR_BGR2HSV))
    for part, wanted in enumerate(HUES):
        mask = ((np.abs(hue.astype(int) - wanted) < 3) & (saturation > 80)).astype(np.uint8)
        count, _, stats, centres = cv2.connectedComponentsWithStats(mask)
        near = [
            (math.dist(centres[k], (middle, middle)), k)
            for k in range(1, count)
            if stats[k, cv2.CC_STAT_AREA] >= 4
        ]
        if near:
            points[part] = centres[min(near)[1]]
    return points


def is_right(points: np.ndarray) -> bool:
    """Whether the index finger's knuckle is right of the little finger's, seen from the wrist."""
    wrist, index, little = points[[0, 5, 17]]
    across = np.cross([*(index - wrist), 0], [*(little - wrist), 0])[2]
    return bool(across < 0)


def finder(network: Any = None, **options: Any) -> HandFinder:
    return HandFinder(network or Marks(), **options)


def box_around(centre: Point, size: float, share: float = 2) -> list[float]:
    side = share * size
    return [centre[0] - side / 2, centre[1] - side / 2, side, side]


KINDS = pytest.mark.parametrize("regresses", [True, False], ids=["landmarks", "maps"])
SIDES = pytest.mark.parametrize("side", ["right", "left"])


@KINDS
@SIDES
@pytest.mark.parametrize("size", [40, 90, 210])
def test_a_hand_of_either_side_is_found_where_it_is(regresses: bool, side: Any, size: int) -> None:
    picture = canvas()
    truth = paint(picture, (300, 230), size, left=side == "left")
    (found,) = finder(Marks(regresses=regresses)).in_boxes(
        picture, [box_around((300, 230), size)], [side]
    )
    assert found.shape == (21, 3)
    assert found.dtype == np.float32
    assert np.abs(found[:, :2] - truth).max() < 0.02 * size + 0.3
    assert (found[:, 2] > 0.6).all()


@KINDS
def test_a_mirrored_picture_gives_the_mirrored_hand(regresses: bool) -> None:
    picture = canvas()
    paint(picture, (300, 230), 120, angle=20)
    search = finder(Marks(regresses=regresses))
    (right,) = search.in_boxes(picture, [box_around((300, 230), 120)], ["right"], [20])
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    (left,) = search.in_boxes(mirrored, [box_around((639 - 300, 230), 120)], ["left"], [-20])
    assert right[:, 2].all()
    # The stand-in counts whole pixels of the crop, of which 1.5 are one of the picture.
    np.testing.assert_allclose(left[:, 0], 639 - right[:, 0], atol=0.5)
    np.testing.assert_allclose(left[:, 1:], right[:, 1:], atol=0.5)


@KINDS
@SIDES
def test_without_a_side_both_are_tried_and_the_better_counts(regresses: bool, side: str) -> None:
    picture = canvas()
    truth = paint(picture, (300, 230), 120, left=side == "left")
    network = Marks(regresses=regresses)
    (found,) = finder(network).in_boxes(picture, [box_around((300, 230), 120)])
    assert np.abs(found[:, :2] - truth).max() < 3
    assert (found[:, 2] > 0.6).all()


@pytest.mark.parametrize("angle", [0, 35, 90, 160, -100])
def test_a_turned_hand_is_seen_upright_by_landmarks(
    angle: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = canvas()
    truth = paint(picture, (300, 230), 120, angle=angle)
    network = Marks()
    upright: list[bool] = []
    run = network.run

    def watched(batch: np.ndarray) -> CropMaps | CropPoints:
        points = find_marks(batch[0])
        up = points[9] - points[0]
        upright.append(abs(math.degrees(math.atan2(up[0], -up[1]))) < 12)
        return run(batch)

    monkeypatch.setattr(network, "run", watched)
    search = finder(network, max_batch=1)
    (found,) = search.in_boxes(picture, [box_around((300, 230), 120)], ["right"], [angle])
    assert upright == [True, True], "the first look and the closer one"
    assert np.abs(found[:, :2] - truth).max() < 3
    upright.clear()
    (again,) = search.in_boxes(picture, [box_around((300, 230), 120)], ["right"])
    assert len(upright) == 5, "four turns, and the closer look"
    assert upright[-1]
    assert np.abs(again[:, :2] - truth).max() < 3


@KINDS
def test_a_hand_cut_by_the_pictures_edge_keeps_what_is_seen(regresses: bool) -> None:
    picture = canvas()
    truth = paint(picture, (612, 230), 120)
    network = Marks(regresses=regresses)
    network.min_score = 0.2
    (found,) = finder(network).in_boxes(picture, [box_around((612, 230), 120)], ["right"], [0])
    seen = truth[:, 0] < 630
    assert 3 < (~seen).sum() < 21
    assert np.abs(found[seen, :2] - truth[seen]).max() < 4
    assert (found[truth[:, 0] > 645] == 0).all()


class Constant(Marks):
    """Always answers with the same points, as shares of the crop."""

    def __init__(self, points: list[Point], presence: float = 1.0) -> None:
        super().__init__()
        self.points = np.array(points, np.float32)
        self.presence = presence

    def run(self, batch: np.ndarray) -> CropPoints:
        self.batches.append(batch.shape)
        count = len(batch)
        points = np.tile(self.points * self.crop, (count, 1, 1))
        return CropPoints(points, np.full(count, self.presence, np.float32), None)


def test_points_far_outside_the_picture_are_missing_and_near_ones_on_its_edge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cascade, "LEAST_FOR_SECOND_LOOK", 2)  # none
    # The square of 100 reaches from -50 to 50: half of it, and more, is outside.
    points = [(0.5 + 0.02 * k - 0.2, 0.5) for k in range(21)]
    search = finder(Constant(points))
    (found,) = search.in_boxes(canvas(), [[-50, 200, 100, 100]], ["right"], [0])
    expected = np.array([100 / 160 * (160 * x - 79.5) for x, _ in points])
    near, far = (expected > -4.5) & (expected < 0), expected < -5.5
    assert near.any()
    assert far.any()
    assert (found[near, 0] == 0).all()
    assert (found[near, 2] > 0).all()
    assert (found[far] == 0).all()
    np.testing.assert_allclose(found[expected > 0.5, 0], expected[expected > 0.5], atol=1)


@KINDS
def test_a_hand_of_weak_evidence_is_absent(regresses: bool) -> None:
    picture = canvas()
    network = Marks(regresses=regresses)
    boxes = [box_around((300, 230), 120)]
    assert not finder(network).in_boxes(picture, boxes).any(), "there is none"
    paint(picture, (300, 230), 120)
    assert finder(network).in_boxes(picture, boxes).any()
    network.min_score = 0.95 if not regresses else 1.0
    cv2.rectangle(picture, (230, 120), (370, 200), BACKGROUND, cv2.FILLED)
    assert not finder(network).in_boxes(picture, boxes).any(), "its fingers are hidden"


def test_tiny_hands_and_boxes_outside_are_absent_and_cost_nothing() -> None:
    picture = canvas()
    network = Marks()
    boxes = [[300, 200, 19, 19], [300, 200, 0, 0], [-300, 100, 90, 90], [900, 900, 50, 50]]
    found = finder(network).in_boxes(picture, [*boxes, [300, 200, -50, 10]])
    assert found.shape == (5, 21, 3)
    assert not found.any()
    assert not network.batches
    assert finder(network).in_boxes(picture, []).shape == (0, 21, 3)
    assert finder(network).in_boxes(picture, np.zeros((0, 4))).shape == (0, 21, 3)


# Batches and scales --------------------------------------------------------------------------


def ten_hands() -> tuple[np.ndarray, list[list[float]], list[np.ndarray]]:
    picture = canvas(1000, 460)
    centres = [(100 + 200 * (k % 5), 110 + 230 * (k // 5)) for k in range(10)]
    truths = [paint(picture, centre, 100, left=k % 3 == 0) for k, centre in enumerate(centres)]
    return picture, [box_around(centre, 100) for centre in centres], truths


SIDES_OF_TEN: list[Any] = ["left" if k % 3 == 0 else "right" for k in range(10)]


@KINDS
@pytest.mark.parametrize("most", [1, 3, 10, 64])
def test_batches_of_any_size_give_the_same_hands(regresses: bool, most: int) -> None:
    picture, boxes, truths = ten_hands()
    network = Marks(regresses=regresses)
    found = finder(network, max_batch=most).in_boxes(picture, boxes, SIDES_OF_TEN, [0] * 10)
    looks = 2 if regresses else 1
    assert len(network.batches) == looks * math.ceil(10 / most)
    assert max(shape[0] for shape in network.batches) <= most
    assert np.abs(found[..., :2] - np.array(truths)).max() < 3
    alone = finder(Marks(regresses=regresses))
    for k, hand in enumerate(found):
        (single,) = alone.in_boxes(picture, [boxes[k]], [SIDES_OF_TEN[k]], [0])
        np.testing.assert_array_equal(hand, single)


@pytest.mark.parametrize(
    ("crop", "scales", "most", "runs"),
    [(368, (1.0,), 8, 2), (160, (1.0,), 42, 1), (368, (2.0,), 2, 5), (1200, (1.0,), 1, 10)],
)
def test_batches_are_bounded_by_pixels(
    crop: int, scales: tuple[float, ...], most: int, runs: int
) -> None:
    picture, boxes, _ = ten_hands()
    network = Marks(regresses=False, crop=crop)

    def empty(batch: np.ndarray) -> CropMaps:
        network.batches.append(batch.shape)
        cells = batch.shape[1] // 8
        return CropMaps(np.zeros((len(batch), 22, cells, cells), np.float32))

    network.run = empty  # type: ignore[method-assign]
    finder(network, scales=scales).in_boxes(picture, boxes, SIDES_OF_TEN)
    assert len(network.batches) == runs
    assert max(shape[0] for shape in network.batches) <= most


@KINDS
def test_scales_are_averaged_in_one_frame(regresses: bool) -> None:
    picture, boxes, truths = ten_hands()
    network = Marks(regresses=regresses)
    search = finder(network, scales=(0.8, 1.0, 1.5))
    found = search.in_boxes(picture, boxes, SIDES_OF_TEN, [0] * 10)
    assert np.abs(found[..., :2] - np.array(truths)).max() < 3
    sizes = {shape[1] for shape in network.batches}
    assert sizes == ({160} if regresses else {128, 160, 240})


def test_networks_of_maps_of_one_size_have_no_scales() -> None:
    with pytest.raises(ValueError, match="crops of 160 x 160 only"):
        finder(Marks(regresses=False, fixed=True), scales=(1.0, 2.0))


# Whose hand ----------------------------------------------------------------------------------


def people(*bodies: dict[str, Point], size: Point = (640, 480)) -> Poses:
    keypoints = np.stack([body(parts) for parts in bodies])
    return Poses(
        keypoints,
        np.ones(len(bodies), np.float32),
        np.zeros(keypoints.shape[:2], np.bool_),
        COCO_18,
        (int(size[0]), int(size[1])),
    )


def arm(side: str, elbow: Point, wrist: Point) -> dict[str, Point]:
    """An arm whose upper arm is as long as the forearm, at a right angle."""
    dx, dy = wrist[0] - elbow[0], wrist[1] - elbow[1]
    shoulder = (elbow[0] + dy, elbow[1] - dx)
    return {f"{side}Shoulder": shoulder, f"{side}Elbow": elbow, f"{side}Wrist": wrist}


def hand_on(
    picture: np.ndarray, elbow: Point, wrist: Point, *, left: bool, size: float = 90
) -> np.ndarray:
    """Paint the hand that ends this arm: its own wrist is the arm's."""
    direction = np.subtract(wrist, elbow) / math.dist(wrist, elbow)
    angle = math.degrees(math.atan2(direction[0], -direction[1]))
    centre = np.asarray(wrist) + 0.45 * size * direction
    return paint(picture, (float(centre[0]), float(centre[1])), size, left=left, angle=angle)


@KINDS
def test_both_hands_of_everybody_are_found(regresses: bool) -> None:
    picture = canvas(900, 480)
    bodies, truths = [], []
    for x in (150, 550):
        right, left = ((x, 380.0), (x - 60.0, 260.0)), ((x + 180, 380.0), (x + 220.0, 260.0))
        bodies.append(arm("R", *right) | arm("L", *left))
        truths.append([hand_on(picture, *left, left=True), hand_on(picture, *right, left=False)])
    found = finder(Marks(regresses=regresses)).of_people(picture, people(*bodies, size=(900, 480)))
    assert found.shape == (2, 2, 21, 3)
    assert np.abs(found[..., :2] - np.array(truths)).max() < 4


def test_crossed_arms_keep_their_own_hands() -> None:
    """The right hand is at the left and the left one at the right, and the squares overlap."""
    picture = canvas()
    right = ((230.0, 380.0), (350.0, 260.0))
    left = ((400.0, 380.0), (280.0, 260.0))
    truth = [hand_on(picture, *left, left=True), hand_on(picture, *right, left=False)]
    found = finder().of_people(picture, people(arm("R", *right) | arm("L", *left)))
    assert np.abs(found[0, ..., :2] - np.array(truth)).max() < 4


@pytest.mark.parametrize("only", ["left", "right"])
def test_one_hand_that_both_wrists_claim_goes_to_its_own(only: str) -> None:
    """Both arms end nearly at one place; one of the hands is hidden."""
    picture = canvas()
    right = ((330.0, 400.0), (315.0, 280.0))
    left = ((300.0, 400.0), (325.0, 280.0))
    truth = hand_on(picture, *(left if only == "left" else right), left=only == "left")
    found = finder().of_people(picture, people(arm("R", *right) | arm("L", *left)))
    own, other = (0, 1) if only == "left" else (1, 0)
    assert np.abs(found[0, own, :, :2] - truth).max() < 4
    assert not found[0, other].any()


@KINDS
def test_one_hand_that_two_people_claim_goes_to_the_nearer_wrist(regresses: bool) -> None:
    picture = canvas()
    owner = ((330.0, 400.0), (315.0, 280.0))
    guest = ((250.0, 380.0), (285.0, 262.0))
    truth = hand_on(picture, *owner, left=False)
    search = finder(Marks(regresses=regresses))
    for order in ((owner, guest), (guest, owner)):
        found = search.of_people(picture, people(*(arm("R", *one) for one in order)))
        index = order.index(owner)
        assert np.abs(found[index, 1, :, :2] - truth).max() < 4
        assert not found[1 - index].any()


def test_somebody_elses_hand_far_from_the_wrist_is_not_taken() -> None:
    picture = canvas()
    mine = ((200.0, 400.0), (200.0, 300.0))
    # At the far corner of the square, its wrist away from the arm.
    paint(picture, (232, 215), 40, angle=180)
    assert not finder().of_people(picture, people(arm("R", *mine))).any()


def test_nobody_has_no_hands() -> None:
    network = Marks()
    assert finder(network).of_people(canvas(), Poses.empty((640, 480))).shape == (0, 2, 21, 3)
    assert not finder(network).of_people(canvas(), people({"Nose": (5, 5)})).any()
    assert not network.batches


def test_a_hand_claimed_once_as_left_and_once_as_right_is_one() -> None:
    """The network takes it for its mirror image: the fingers come the other way round."""
    search = finder()
    hand = np.ones((21, 3), np.float32)
    hand[:, :2] = (300, 230) + 90 * HAND
    mirrored = hand[[0, *range(17, 21), *range(13, 17), *range(9, 13), *range(5, 9), *range(1, 5)]]
    assert search.same(hand, mirrored)
    beside = hand + np.float32([60, 0, 0])
    assert not search.same(hand, beside)


# Without a body ------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_hand_without_a_body_is_found_once_and_known_ones_are_not_again(side: str) -> None:
    picture = canvas()
    truth = paint(picture, (390, 150), 110, left=side == "left")
    search = finder(Marks(regresses=False))
    assert search.can_detect
    detector = HandDetector(search.network)
    nothing = np.zeros((0, 2, 21, 3), np.float32)
    found = search.anywhere(picture, detector, nothing)
    assert found.shape == (1, 2, 21, 3)
    own = 0 if side == "left" else 1
    assert np.abs(found[0, own, :, :2] - truth).max() < 8
    assert not found[0, 1 - own].any()
    assert search.anywhere(picture, detector, found).shape == (0, 2, 21, 3)
    assert search.anywhere(canvas(), detector, nothing).shape == (0, 2, 21, 3)


def test_networks_of_points_or_one_size_cannot_be_run_over_whole_pictures() -> None:
    for network in (Marks(), Marks(regresses=False, fixed=True)):
        assert not finder(network).can_detect
        with pytest.raises(ValueError, match="returns heat maps and takes inputs of any size"):
            HandDetector(network)  # type: ignore[arg-type]


# What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "hand_scales must be positive"),
        ({"scales": (1, 0)}, "hand_scales must be positive"),
        ({"scales": (math.nan,)}, "hand_scales must be positive"),
        ({"max_batch": 0}, "max_batch must be at least 1"),
        ({"max_batch": 1.5}, "max_batch must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        finder(**options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2, 3, 4],), r"boxes must be \(N, 4\)"),
        (([[1, 2, 3]],), r"boxes must be \(N, 4\)"),
        (([[1, 2, 3, math.inf]],), r"boxes must be \(N, 4\) finite"),
        (([[1, 2, 3, 4]], ["left", "left"]), "1 boxes need as many sides, not 2"),
        (([[1, 2, 3, 4]], ["Left"]), "sides must be 'left', 'right' or None"),
        (([[1, 2, 3, 4]], None, [1, 2]), "1 boxes need as many angles, not 2"),
        (([[1, 2, 3, 4]], None, [math.nan]), "angles must be numbers of degrees"),
    ],
)
def test_boxes_that_are_none_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        finder().in_boxes(canvas(), *arguments)


# Real hands ----------------------------------------------------------------------------------


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import bench/bench_hands.py."""
    pytest.importorskip("pycocotools")
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "bench"))
    import bench_hands

    return bench_hands


@pytest.mark.parametrize(("name", "least"), [("landmark", 0.95), ("lite", 0.68)])
def test_points_are_right_on_annotated_hands(
    shared: Path, bench: Any, name: str, least: float
) -> None:
    with PoseEstimator(None, hand=bench.NETWORKS[name], precision="f32") as estimator:
        errors = bench.errors_by_source(estimator, bench.read_hands())
    assert len(errors) == 5
    assert np.mean(np.concatenate([*errors.values()]) < 0.2) >= least


def test_the_raised_hand_of_the_demo_picture_is_found(shared: Path) -> None:
    weights = shared / "weights"
    with PoseEstimator(
        weights / "human-pose-estimation-0001-int8-qdq.onnx",
        hand=weights / "hand_landmark_full.tflite",
        precision="f32",
    ) as estimator:
        poses = estimator(shared / "data" / "media" / "pytorch_openpose_demo.jpg")
    assert poses.hands is not None
    left, right = poses.hands[0]
    assert not left.any(), "it hangs below the picture's edge"
    assert right[:, 2].min() > 0.8
    # Finger tips, read off the picture by eye: thumb, index, middle, ring, little.
    tips = [(115, 61), (104, 22), (90, 13), (75, 15), (67, 27)]
    assert np.abs(right[[4, 8, 12, 16, 20], :2] - tips).max() < 8


@pytest.mark.parametrize("hand", ["lite", "landmark"])
def test_a_picture_of_a_hand_alone_gives_a_person_without_a_body(
    shared: Path, bench: Any, hand: str
) -> None:
    network = bench.NETWORKS[hand]
    truth = bench.read_hands()[7]
    options: dict[str, Any] = {"precision": "f32", "threads": 1, "hand_detector": True}
    with PoseEstimator(None, hand=network, **options) as estimator:
        poses = estimator(truth.picture)
        nobody = estimator(np.full((200, 300, 3), 90, np.uint8))
    assert len(nobody) == 0
    assert nobody.hands is not None
    assert poses.bodiless.all()
    assert poses.hands is not None
    seen = poses.hands[0][poses.hands[0].any(axis=(1, 2))]
    assert len(seen) == 1
    assert np.mean(truth.errors(seen[0]) < 0.2) > 0.7
    assert poses.to_coco(1) == []
    (person, *_) = poses.to_openpose()["people"]
    assert not any(person["pose_keypoints_2d"])


def test_hands_alone_are_looked_for_in_every_frame_of_a_video(shared: Path, bench: Any) -> None:
    """They have no regions, so `detect_every` changes nothing."""
    picture = bench.read_hands()[7].picture
    shown = [picture, picture, np.zeros_like(picture), picture]
    frames = [Frame(one, "hand.mp4", k, k / 30) for k, one in enumerate(shown)]
    options: dict[str, Any] = {"hand": "lite", "hand_detector": True, "threads": 1}
    with PoseEstimator(None, **options) as estimator:
        watch = estimator.watch(3)
        found = [len(watch(k, frame)) for k, frame in enumerate(frames)]
        assert found == [1, 1, 0, 1]
        assert [len(one) for _, one in estimator.stream(frames, detect_every=3)] == found


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"hand_detector": True}, "hand_detector needs a hand network"),
        ({"hand": "lite", "hand_detector": True, "mode": "zoo"}, "leave hand_detector out"),
    ],
)
def test_a_search_for_hands_that_cannot_be_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoseEstimator(**asked)
