"""Pieces of people are told from people, whatever stands in front, behind or beside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from motion import Walker, path
from openpose_ext.tracking.pieces import pieces
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import BODY_25, COCO_18, Topology

ARM = ("RShoulder", "RElbow", "RWrist", "REye")
OTHER_ARM = ("LShoulder", "LElbow", "LWrist")
LEG = ("RHip", "RKnee", "RAnkle")


def points(
    x: float, y: float = 600, height: float = 300, topology: Topology = COCO_18
) -> npt.NDArray[np.float32]:
    """(K, 3): somebody whose feet are there, all parts seen."""
    xy = Walker(path((0, x, y), (1, x, y)), height).points(0.1, topology)
    return np.column_stack([xy, np.full(len(xy), 0.8)]).astype(np.float32)


def only(
    person: npt.NDArray[np.float32], *names: str, topology: Topology = COCO_18
) -> npt.NDArray[np.float32]:
    """The same with these parts only."""
    return np.where(np.isin(topology.parts, names)[:, None], person, np.float32(0))


def poses(*people: npt.NDArray[np.float32], topology: Topology = COCO_18) -> Poses:
    keypoints = np.stack(people)
    nobody = Poses.empty((1280, 720), topology)
    return replace(
        nobody,
        keypoints=keypoints,
        scores=np.ones(len(people), np.float32),
        filled=np.zeros(keypoints.shape[:2], np.bool_),
    )


def is_piece(
    other: npt.NDArray[np.float32], *bodies: npt.NDArray[np.float32], topology: Topology = COCO_18
) -> bool:
    found = pieces(poses(other, *bodies, topology=topology), np.arange(len(bodies) + 1) > 0)
    assert not found[1:].any(), "who is whole is no piece"
    return bool(found[0])


@pytest.mark.parametrize("topology", [COCO_18, BODY_25])
@pytest.mark.parametrize("parts", [ARM, OTHER_ARM, LEG, ARM + LEG])
def test_what_lies_on_a_body_is_a_piece_of_it(parts: tuple[str, ...], topology: Topology) -> None:
    body = points(600, topology=topology)
    moved = only(body, *parts, topology=topology) + np.array([5, -4, 0], np.float32)
    moved *= moved[:, 2:] > 0
    assert is_piece(moved, body, topology=topology)
    assert is_piece(moved, points(100, topology=topology), body, topology=topology)


def test_an_arm_lies_on_a_body_whose_own_arm_has_the_other_side() -> None:
    """The networks' usual mistake: one arm as the left and the right one."""
    body = points(600)
    arm = only(body, *ARM)
    mistaken = arm.copy()
    mistaken[[COCO_18.parts.index(name) for name in OTHER_ARM]] = arm[
        [COCO_18.parts.index(name) for name in ARM[:3]]
    ]
    assert is_piece(only(mistaken, *OTHER_ARM), body)


def test_half_of_a_line_between_parts_is_on_the_body() -> None:
    body = points(600)
    knee, hip = (COCO_18.parts.index(name) for name in ("RKnee", "RHip"))
    thigh = np.zeros_like(body)
    thigh[hip], thigh[knee] = body[hip], (body[hip] + body[knee]) / 2
    assert is_piece(thigh, body)


@pytest.mark.parametrize(
    ("x", "y", "height", "why"),
    [
        (100, 600, 300, "elsewhere"),
        (660, 600, 300, "beside, a fifth of a height away"),
        (640, 580, 280, "half behind"),
        (600, 600, 150, "a child in front"),
        (600, 500, 120, "a small child in front, all of whom is inside the body"),
    ],
)
def test_people_near_others_are_no_pieces(x: float, y: float, height: float, why: str) -> None:
    assert not is_piece(points(x, y, height), points(600)), why


def test_a_hidden_person_shows_beside_the_body_in_front() -> None:
    behind = only(points(660), "LShoulder", "LElbow", "LWrist", "LEar")
    assert not is_piece(behind, points(600))


def test_nobody_is_a_piece_of_nobody() -> None:
    body = points(600)
    assert pieces(Poses.empty((640, 480)), np.zeros(0, np.bool_)).tolist() == []
    assert pieces(poses(body, body), np.zeros(2, np.bool_)).tolist() == [False, False]
    assert not is_piece(only(body), body), "no part is seen"
    assert not is_piece(body, only(body)), "a body without parts"
