"""Measures how tall a person is in the picture, by the lengths of the body's segments.

The height is the sum of heel to ankle, shank, thigh and trunk, each the mean of both sides, and 1.5
times the distance from the middle of the shoulders to the nose. It is averaged over the frames,
without the smallest and largest quarter. Frames with a mean angle of knees and hips below 90
degrees are used only if there are no others. This is how Pose2Sim and Sports2D measure heights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from openpose_ext.formats.angles import ANGLES, angles

__all__ = ["ANKLE", "body_height"]

# The ankle's height above the ground as a share of the person's (Winter 2009), for skeletons
# without heels.
ANKLE = 0.039

# Height of the head above the middle of the shoulders, as a multiple of the nose's (Pose2Sim).
_HEAD = 1.5
_LEAST = 90.0  # degrees: the least mean angle of knees and hips

_SEGMENTS = (("Ankle", "Knee"), ("Knee", "Hip"), ("Hip", "Shoulder"))
_NEEDED = ("Nose", *(side + part for side in "RL" for part in ("Ankle", "Knee", "Hip", "Shoulder")))
_HEELS = ("RHeel", "LHeel")

Doubles = npt.NDArray[np.float64]


def body_height(points: Mapping[str, npt.NDArray[np.floating]]) -> float | None:
    """A person's height in the units of the points, None if no frame shows the whole body.

    points  by part, such as "RKnee": (n, 2) x and y over time, NaN where it was not seen
    """
    if not {*_NEEDED} <= points.keys():
        return None
    at = {part: np.asarray(xy, np.float64) for part, xy in points.items()}
    heights = sum(_mean(at, near, far) for near, far in _SEGMENTS)
    shoulders = (at["RShoulder"] + at["LShoulder"]) / 2
    heights += _HEAD * np.linalg.norm(at["Nose"] - shoulders, axis=1)
    if {*_HEELS} <= points.keys() and not all(np.isnan(at[heel]).all() for heel in _HEELS):
        heights += _mean(at, "Heel", "Ankle")
    else:
        heights /= 1 - ANKLE
    whole = np.isfinite(heights)
    if not whole.any():
        return None
    upright = whole & (_openness(at) > _LEAST)
    return _middle(heights[upright if upright.any() else whole])


def _mean(at: Mapping[str, Doubles], near: str, far: str) -> Doubles:
    """The length of a segment in each frame, the mean of both sides."""
    sides = [np.linalg.norm(at[side + near] - at[side + far], axis=1) for side in "RL"]
    return np.asarray(np.mean(sides, axis=0))


def _openness(at: Mapping[str, Doubles]) -> Doubles:
    """The mean angle of knees and hips in each frame; 180 if all are straight."""
    keypoints = np.stack([at[part] for part in _NEEDED], axis=1)
    seen = np.isfinite(keypoints).all(axis=2, keepdims=True)
    found = angles(np.concatenate([keypoints, seen], axis=2).astype(np.float32), _NEEDED)
    legs = [k for k, name in enumerate(ANGLES) if name.endswith(("_knee", "_hip"))]
    return np.asarray(found[:, legs].mean(axis=1))


def _middle(values: Doubles) -> float:
    """The mean without the smallest and the largest quarter."""
    ordered = np.sort(values)
    quarter = len(ordered) // 4
    return float(ordered[quarter : len(ordered) - quarter].mean())
