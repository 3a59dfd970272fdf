"""Angles of joints in the picture's plane, in degrees.

| angle    | between                                        |                                      |
| -------- | ---------------------------------------------- | ------------------------------------ |
| knee     | thigh (knee to hip), shank (knee to ankle)     | 180 is a straight leg                |
| hip      | trunk (hip to shoulder), thigh (hip to knee)   | 180 is upright standing              |
| ankle    | shank (ankle to knee), foot (ankle to big toe) | about 90 in standing; needs feet     |
| elbow    | upper arm (elbow to shoulder), forearm         | 180 is a straight arm                |
| shoulder | upper arm (shoulder to elbow), trunk (to hip)  | 0 is a hanging arm                   |
| trunk    | straight up, and from the hips' middle to neck | above 0 leans to the picture's right |

All but the trunk's lie between 0 and 180 and exist on the right and on the left. A camera sees a
projection: film knees, hips and ankles from the side. Angles in space need several cameras.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from openpose_ext.types.arrays import Floats

__all__ = ["ANGLES", "angles"]

Doubles = npt.NDArray[np.float64]

# The part at the corner, then those at the two ends, without the side.
_JOINTS = {
    "knee": ("Knee", "Hip", "Ankle"),
    "hip": ("Hip", "Shoulder", "Knee"),
    "ankle": ("Ankle", "Knee", "BigToe"),
    "elbow": ("Elbow", "Shoulder", "Wrist"),
    "shoulder": ("Shoulder", "Elbow", "Hip"),
}
_SIDES = {"right": "R", "left": "L"}

ANGLES = (*(f"{side}_{joint}" for joint in _JOINTS for side in _SIDES), "trunk")


def angles(keypoints: Floats, parts: Sequence[str]) -> Doubles:
    """(P, len(ANGLES)) degrees, NaN where a part is missing.

    keypoints  (P, K, 3): x, y in pixels of the picture and score; missing parts score 0
    parts      K names
    """
    at = {name: keypoints[:, part].astype(np.float64) for part, name in enumerate(parts)}
    missing = np.zeros((len(keypoints), 3))
    columns = []
    for joint in _JOINTS.values():
        for prefix in _SIDES.values():
            corner, a, b = (at.get(prefix + name, missing) for name in joint)
            columns.append(_between(corner, a, b))
    columns.append(_lean(at.get("Neck", missing), *(at.get(p + "Hip", missing) for p in "RL")))
    return np.stack(columns, axis=1)


def _between(corner: Doubles, a: Doubles, b: Doubles) -> Doubles:
    """Doubles at the corner, from one end to the other."""
    (x1, y1), (x2, y2) = ((end[:, :2] - corner[:, :2]).T for end in (a, b))
    turned = np.degrees(np.arctan2(np.abs(x1 * y2 - x2 * y1), x1 * x2 + y1 * y2))
    seen = (corner[:, 2] > 0) & (a[:, 2] > 0) & (b[:, 2] > 0)
    return np.where(seen & ((x1 != 0) | (y1 != 0)) & ((x2 != 0) | (y2 != 0)), turned, np.nan)


def _lean(neck: Doubles, right_hip: Doubles, left_hip: Doubles) -> Doubles:
    x, y = (neck[:, :2] - (right_hip[:, :2] + left_hip[:, :2]) / 2).T
    seen = (neck[:, 2] > 0) & (right_hip[:, 2] > 0) & (left_hip[:, 2] > 0)
    return np.where(seen, np.degrees(np.arctan2(x, -y)), np.nan)
