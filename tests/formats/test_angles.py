"""Angles of joints, of figures whose angles are known."""

from __future__ import annotations

import numpy as np
import pytest

from openpose_ext.formats.angles import ANGLES, angles
from openpose_ext.types.topology import BODY_25, COCO_18, Topology


def figure(places: dict[str, tuple[float, float]], topology: Topology = BODY_25) -> np.ndarray:
    person = np.zeros((1, len(topology.parts), 3), np.float32)
    for name, xy in places.items():
        person[0, topology.parts.index(name)] = (*xy, 0.9)
    return person


# Seen from its left side, facing right: upright, right leg straight, left thigh level.
STANDING = {
    "Neck": (100, 100), "RShoulder": (100, 100), "LShoulder": (100, 100), "RElbow": (100, 150),
    "RWrist": (150, 150), "RHip": (100, 200), "LHip": (100, 200), "RKnee": (100, 300),
    "RAnkle": (100, 400), "RBigToe": (130, 400), "LKnee": (200, 200), "LAnkle": (200, 300),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "degrees"),
    [
        ("right_knee", 180), ("left_knee", 90), ("right_hip", 180), ("left_hip", 90),
        ("right_ankle", 90), ("right_elbow", 90), ("right_shoulder", 0), ("trunk", 0),
    ],
)  # fmt: skip
def test_an_angle_is_that_of_the_figure(name: str, degrees: float) -> None:
    found = angles(figure(STANDING), BODY_25.parts)
    assert found[0, ANGLES.index(name)] == pytest.approx(degrees, abs=1e-4)


@pytest.mark.parametrize("turn", [0, 33, 90, 180, 271])
@pytest.mark.parametrize("size", [0.01, 1, 40])
def test_joints_do_not_depend_on_turn_or_size_and_the_trunk_turns_along(
    turn: float, size: float
) -> None:
    still = angles(figure(STANDING), BODY_25.parts)[0]
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    turned = {n: (size * (c * x - s * y), size * (s * x + c * y)) for n, (x, y) in STANDING.items()}
    found = angles(figure(turned), BODY_25.parts)[0]
    np.testing.assert_allclose(found[:-1], still[:-1], atol=0.05)
    assert (found[-1] - turn + 180) % 360 - 180 == pytest.approx(0, abs=0.01)


def test_what_is_missing_has_no_angle() -> None:
    places = {name: xy for name, xy in STANDING.items() if name != "RKnee"}
    found = dict(zip(ANGLES, angles(figure(places), BODY_25.parts)[0], strict=True))
    assert np.isnan([found["right_knee"], found["right_hip"], found["left_elbow"]]).all()
    assert found["left_knee"] == pytest.approx(90)


def test_a_skeleton_without_feet_has_no_ankles() -> None:
    places = {name: xy for name, xy in STANDING.items() if name in COCO_18.parts}
    found = dict(zip(ANGLES, angles(figure(places, COCO_18), COCO_18.parts)[0], strict=True))
    assert np.isnan(found["right_ankle"])
    assert found["right_knee"] == pytest.approx(180)


def test_parts_that_coincide_have_no_angle() -> None:
    found = angles(figure({**STANDING, "RAnkle": STANDING["RKnee"]}), BODY_25.parts)
    assert np.isnan(found[0, ANGLES.index("right_knee")])


def test_nobody_has_no_rows() -> None:
    assert angles(np.zeros((0, 25, 3), np.float32), BODY_25.parts).shape == (0, len(ANGLES))
