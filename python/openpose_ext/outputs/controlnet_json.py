"""The JSON of ControlNet's and ComfyUI's pose editors (`POSE_KEYPOINT`).

A file holds a list with one frame: `people`, `canvas_height` and `canvas_width`. People are
COCO_18, x, y, 1.0 a point in pixels of the canvas, and 0, 0, 0 where one is missing: its readers
take every confidence below 1 for a missing point, so a score has no place. The hand's and face's
lists are null where there is none. The schema is `schemas/controlnet.json`.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.draw import HAND_THRESHOLD
from openpose_ext.outputs.files import write_whole
from openpose_ext.poses import FILLED_SCORE, Poses
from openpose_ext.topology import COCO_18

__all__ = ["to_controlnet", "write_controlnet"]


def to_controlnet(
    poses: Poses, *, threshold: float = FILLED_SCORE, hand_threshold: float = HAND_THRESHOLD
) -> list[dict[str, Any]]:
    """The people as a `POSE_KEYPOINT` value of one frame.

    threshold       parts that score above it are found; the default leaves out filled ones, as
                    `draw` does
    hand_threshold  the same of the points of hands

    People without a point found are left out. Raises ValueError if the size of the picture is
    not known.
    """
    width, height = poses.size
    if width < 1 or height < 1:
        raise ValueError("the size of the picture is not known, which is the canvas of this format")
    people = []
    body = poses.as_topology(COCO_18).keypoints
    for person in range(len(poses)):
        hands = (None, None) if poses.hands is None else poses.hands[person]
        left, right = (None if hand is None else _flat(hand, hand_threshold) for hand in hands)
        pose = _flat(body[person], threshold)
        if pose is None and left is None and right is None:
            continue
        people.append(
            {
                "pose_keypoints_2d": pose,
                "face_keypoints_2d": None,
                "hand_left_keypoints_2d": left,
                "hand_right_keypoints_2d": right,
            }
        )
    return [{"people": people, "canvas_height": height, "canvas_width": width}]


def write_controlnet(
    path: str | os.PathLike[str],
    poses: Poses,
    *,
    threshold: float = FILLED_SCORE,
    hand_threshold: float = HAND_THRESHOLD,
) -> None:
    """Write `to_controlnet` as a file. Raises OutputError if it cannot be written."""
    frames = to_controlnet(poses, threshold=threshold, hand_threshold=hand_threshold)
    write_whole(path, json.dumps(frames).encode())


def _flat(points: npt.NDArray[np.float32], threshold: float) -> list[float] | None:
    """x, y, 1.0, x, ... of (n, 3) points; None if none is found."""
    found = points[:, 2] > threshold
    if not found.any():
        return None
    flat = np.zeros((len(points), 3))
    flat[found, :2] = points[found, :2]
    flat[found, 2] = 1.0
    return [float(value) for value in flat.round(3).ravel()]
