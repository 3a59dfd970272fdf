"""Where feet are: squares at the ends of the legs, or around the whole person."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from openpose_ext.stages.box import MIN_SIDE, Box, Parts, distance, parts_at
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import Topology

__all__ = ["body_box", "leg_boxes", "leg_length"]

Floats = npt.NDArray[np.floating]

# A foot's centre lies 0.15 lower legs beyond the ankle, and the square's side is 1.6 lower legs, so
# that it holds a foot seen from the side as well as one that points down.
EXTENSION = 0.15
SIDE = 1.6

# The square around a whole person: its side is 2.2 radii; the radius is 1.15 times the distance of
# the farthest part from the hips, and at least 1.9 times the length of the trunk.
_BODY_SIDE = 2.2
_FARTHEST = 1.15
_TRUNKS = 1.9
_BOXED = 0.6  # of a person without hips or shoulders: the radius in diagonals of the parts' box


def leg_boxes(keypoints: Floats, topology: Topology) -> tuple[Box | None, Box | None]:
    """The squares around one person's left and right foot; None without knee and ankle.

    keypoints  (K, 3): x, y in the picture and score; parts that were filled, not seen, are ignored

    Each square is turned so that the lower leg points down in it.
    """
    at = parts_at(keypoints, topology, above=FILLED_SCORE)
    return _leg_box(at, "L"), _leg_box(at, "R")


def leg_length(keypoints: Floats, topology: Topology) -> float | None:
    """The length of one person's lower legs in picture pixels; None if no leg is seen.

    The longest of lower legs and thighs, which are about as long: lengths can only look too short.
    """
    return _length(parts_at(keypoints, topology, above=FILLED_SCORE))


def body_box(keypoints: Floats, topology: Topology) -> Box | None:
    """The square around a whole person, turned so that the shoulders are above the hips."""
    at = parts_at(keypoints, topology, above=FILLED_SCORE)
    if not at:
        return None
    points = np.stack([*at.values()])
    hips, shoulders = _middle(at, "RHip", "LHip"), _middle(at, "RShoulder", "LShoulder")
    if hips is None or shoulders is None:
        low, high = points.min(axis=0), points.max(axis=0)
        centre, angle = (low + high) / 2, 0.0
        radius = _BOXED * math.dist(low, high)
    else:
        up = shoulders - hips
        centre, angle = hips, math.degrees(math.atan2(up[0], -up[1]))
        radius = max(
            _FARTHEST * float(np.hypot(*(points - hips).T).max()),
            _TRUNKS * float(np.hypot(*up)),
        )
    if _BODY_SIDE * radius < MIN_SIDE:
        return None
    return Box((float(centre[0]), float(centre[1])), _BODY_SIDE * radius, angle)


def _leg_box(at: Parts, side: str) -> Box | None:
    shown, length = distance(at, f"{side}Knee", f"{side}Ankle"), _length(at)
    if shown is None or length is None or shown < 1 or SIDE * length < MIN_SIDE:
        return None
    ankle = at[f"{side}Ankle"]
    leg = ankle - at[f"{side}Knee"]
    centre = ankle + EXTENSION * length / shown * leg
    return Box(
        (float(centre[0]), float(centre[1])),
        SIDE * length,
        math.degrees(math.atan2(-leg[0], leg[1])),
        (float(ankle[0]), float(ankle[1])),
    )


def _length(at: Parts) -> float | None:
    bones = [
        distance(at, f"{side}{a}", f"{side}{b}")
        for side in "LR"
        for a, b in (("Knee", "Ankle"), ("Hip", "Knee"))
    ]
    return max((length for length in bones if length is not None), default=None)


def _middle(at: Parts, a: str, b: str) -> npt.NDArray[np.float64] | None:
    return (at[a] + at[b]) / 2 if a in at and b in at else None
