"""The JSON of ControlNet's and ComfyUI's pose editors (`POSE_KEYPOINT`).

A frame is an object: `people`, `canvas_height` and `canvas_width`; several are a list. People are
COCO_18: x, y, 1.0 per point in pixels of the canvas, and 0, 0, 0 for a missing point. Its readers
treat every confidence below 1 as a missing point, so scores cannot be stored. The lists of hands
and face are null if there are none. The schema is `schemas/controlnet.json`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from openpose_ext.types.arrays import Floats, Size

__all__ = ["encode"]


def encode(
    keypoints: Floats,
    size: Size,
    *,
    threshold: float,
    hand_threshold: float,
    face_threshold: float,
    hands: Floats | None = None,
    faces: Floats | None = None,
) -> dict[str, Any]:
    """People as the object of one frame.

    keypoints       (P, 18, 3), COCO_18: x, y in pixels of the canvas, and score
    size            (width, height) of the canvas
    threshold       parts that score above this are written
    hand_threshold  the same for hand points
    face_threshold  the same for face points
    hands           (P, 2, 21, 3), the left hand first, or None
    faces           (P, 70, 3), or None

    People without any point are left out. Raises ValueError if the size is not positive.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ValueError("the picture size is unknown, but this format needs it for the canvas")
    people = []
    for person in range(len(keypoints)):
        pair = (None, None) if hands is None else hands[person]
        left, right = (None if hand is None else _flat(hand, hand_threshold) for hand in pair)
        pose = _flat(keypoints[person], threshold)
        face = None if faces is None else _flat(faces[person], face_threshold)
        if pose is None and left is None and right is None and face is None:
            continue
        people.append(
            {
                "pose_keypoints_2d": pose,
                "face_keypoints_2d": face,
                "hand_left_keypoints_2d": left,
                "hand_right_keypoints_2d": right,
            }
        )
    return {"people": people, "canvas_height": height, "canvas_width": width}


def _flat(points: Floats, threshold: float) -> list[float] | None:
    """x, y, 1.0, x, ... of (n, 3) points; None if none is found."""
    found = points[:, 2] > threshold
    if not found.any():
        return None
    flat = np.zeros((len(points), 3))
    flat[found, :2] = points[found, :2]
    flat[found, 2] = 1.0
    return [float(value) for value in flat.round(3).ravel()]
