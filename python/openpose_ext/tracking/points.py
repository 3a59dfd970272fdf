"""All points of people (body, hands and face) as one array."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import FACE_70, HAND_21

__all__ = ["FACE_POINTS", "HAND_POINTS", "check_positive", "ids_of", "points_of", "with_points"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

HAND_POINTS = len(HAND_21.parts)
FACE_POINTS = len(FACE_70.parts)

NOBODY = np.zeros(0, np.int64)


def ids_of(poses: Poses) -> npt.NDArray[np.int64]:
    """The ids of the people, after checking that they are there and unique."""
    if poses.ids is None:
        if len(poses) == 0:
            return NOBODY
        raise ValueError("smoothing needs people with ids; use a Tracker first")
    if len(np.unique(poses.ids)) < len(poses.ids):
        raise ValueError(f"two people of a frame have the same id: {sorted(poses.ids.tolist())}")
    return poses.ids


def points_of(poses: Poses) -> Floats:
    """(P, N, 3): the body, the left hand, the right hand, the face."""
    parts = len(poses.topology.parts)
    face = parts + 2 * HAND_POINTS
    points = np.zeros((len(poses), face + FACE_POINTS, 3))
    points[:, :parts] = poses.keypoints
    if poses.hands is not None:
        points[:, parts:face] = poses.hands.reshape(len(poses), 2 * HAND_POINTS, 3)
    if poses.faces is not None:
        points[:, face:] = poses.faces
    return points


def with_points(
    poses: Poses, points: Floats, bridged: npt.NDArray[np.bool_] | None = None
) -> Poses:
    """The same people with new points (P, N, 3), clipped to the picture.

    The last of the points of `points_of` may be left out where nobody has them.

    bridged  (P, N): which of them were put into a gap, where that is known
    """
    moved: npt.NDArray[np.float32] = points.astype(np.float32)
    there = moved[..., 2] > 0
    inside = np.clip(moved[..., :2], 0, np.subtract(poses.size, 1, dtype=np.float32))
    moved[..., :2] = np.where(there[..., None], inside, 0)
    parts = len(poses.topology.parts)
    face = parts + 2 * HAND_POINTS
    body, hands = moved[:, :parts], moved[:, parts:face]
    filled = there[:, :parts] & (body[..., 2] <= np.float32(FILLED_SCORE))
    return replace(
        poses,
        keypoints=body,
        filled=filled,
        bridged=None if bridged is None else filled & bridged[:, :parts],
        hands=None if poses.hands is None else hands.reshape(len(poses), 2, HAND_POINTS, 3),
        faces=None if poses.faces is None else moved[:, face:],
    )


def check_positive(**options: float) -> None:
    for name, value in options.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive, not {value!r}")
