"""Where hands are: at the ends of arms.

The square's size and place are those of OpenPose's hand detector (Simon et al., "Hand Keypoint
Detection in Single Images using Multiview Bootstrapping").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openpose_ext.types.topology import Topology

__all__ = ["MIN_SIDE", "HandBox", "arm_boxes", "seed_squares"]

Floats = npt.NDArray[np.floating]
_Parts = dict[str, npt.NDArray[np.float64]]
Square = tuple[int, int, int]  # x, y of the first pixel, and the side, in picture pixels
_ARM = ("Shoulder", "Elbow", "Wrist")

# The hand's centre lies a third of the forearm beyond the wrist, and the square's side is 1.5
# times the longer of forearm and 0.9 upper arms (a forearm that points at us is foreshortened).
EXTENSION = 0.33
SIDE = 1.5
UPPER_ARM = 0.9
# Forearms (in the sense above) in other lengths of a body, for arms that are not seen whole. From
# Drillis & Contini's segments: 0.9 upper arms are 0.167 of the stature, the joints of the shoulders
# 0.22 apart, neck to hips 0.29, a straight arm 0.33.
_OF_SHOULDERS = 0.75
_OF_TRUNK = 0.58
_OF_ARM = 0.5

MIN_SIDE = 20.0  # picture pixels; in a smaller square fingers are a pixel wide: the hand is absent


@dataclass(frozen=True)
class HandBox:
    """Where a hand is looked for.

    centre  (x, y) of the square, picture pixels
    side    of the square, picture pixels
    angle   degrees, clockwise from upright, in which the fingers are expected to point; None where
            nothing says it
    wrist   (x, y) where the arm ends, or None
    """

    centre: tuple[float, float]
    side: float
    angle: float | None = None
    wrist: tuple[float, float] | None = None


def arm_boxes(keypoints: Floats, topology: Topology) -> tuple[HandBox | None, HandBox | None]:
    """Where one person's left and right hand are, by their arms; None without a wrist.

    keypoints  (K, 3): x, y in the picture and score; parts of score 0 are missing

    With an elbow: 0.33 forearms beyond the wrist, 1.5 times the longer of forearm and 0.9 upper
    arms. Where the shoulder is missing, the rest of the body tells how long the forearm is at
    least. Without an elbow the hand may lie on any side of the wrist: the square is centred there
    and as much larger. None if nothing tells its size, or it is below `MIN_SIDE`.
    """
    at = {
        name: keypoints[part, :2].astype(np.float64)
        for part, name in enumerate(topology.parts)
        if keypoints[part, 2] > 0
    }
    return _arm_box(at, "L", "R"), _arm_box(at, "R", "L")


def seed_squares(
    keypoints: Floats, topology: Topology, picture: tuple[int, int]
) -> tuple[Square | None, Square | None]:
    """Where pytorch-openpose looks for one person's left and right hand.

    keypoints  (K, 3): x, y in the picture and score; parts of score 0 are missing
    picture    (width, height)

    (x, y, side) in whole pixels; None without shoulder, elbow and wrist, or below `MIN_SIDE`. A
    square that leaves the picture is shifted right and down, or made smaller, until it does not.
    """
    boxes = arm_boxes(keypoints, topology)
    left, right = (_seed_square(box, picture) for box in boxes)
    has_left, has_right = (
        all(keypoints[topology.parts.index(f"{side}{part}"), 2] > 0 for part in _ARM)
        for side in "LR"
    )
    return left if has_left else None, right if has_right else None


def _seed_square(box: HandBox | None, picture: tuple[int, int]) -> Square | None:
    if box is None:
        return None
    x, y = (max(0.0, centre - box.side / 2) for centre in box.centre)
    side = min(box.side, picture[0] - x, picture[1] - y)
    return (int(x), int(y), int(side)) if side >= MIN_SIDE else None


def _arm_box(at: _Parts, side: str, other: str) -> HandBox | None:
    if f"{side}Wrist" not in at:
        return None
    wrist = at[f"{side}Wrist"]
    forearm, upper = _distance(at, f"{side}Wrist", f"{side}Elbow"), _upper_arm(at, side)
    centre, angle = wrist, None
    if forearm is not None:
        length = max(forearm, _by_body(at, other) if upper is None else upper)
        direction = wrist - at[f"{side}Elbow"]
        centre = wrist + EXTENSION * direction
        angle = math.degrees(math.atan2(direction[0], -direction[1])) if forearm > 0 else None
        square = SIDE * length
    else:
        arm = _distance(at, f"{side}Wrist", f"{side}Shoulder") or 0.0
        length = max(_OF_ARM * arm, _by_body(at, other))
        square = (SIDE + 2 * EXTENSION) * length
    if square < MIN_SIDE:
        return None
    return HandBox(
        (float(centre[0]), float(centre[1])), square, angle, (float(wrist[0]), float(wrist[1]))
    )


def _by_body(at: _Parts, other: str) -> float:
    """The length of a forearm, by the other arm, the shoulders and the trunk; 0 without them."""
    trunks = [_distance(at, "Neck", hip) for hip in ("RHip", "LHip")]
    shares = [
        (1.0, _distance(at, f"{other}Wrist", f"{other}Elbow")),
        (1.0, _upper_arm(at, other)),
        (_OF_SHOULDERS, _distance(at, "RShoulder", "LShoulder")),
        *((_OF_TRUNK, trunk) for trunk in trunks),
    ]
    # All are foreshortened at times, so the longest is nearest to the truth.
    return max((share * length for share, length in shares if length is not None), default=0.0)


def _upper_arm(at: _Parts, side: str) -> float | None:
    """0.9 upper arms: as long as a forearm."""
    length = _distance(at, f"{side}Elbow", f"{side}Shoulder")
    return None if length is None else UPPER_ARM * length


def _distance(at: _Parts, a: str, b: str) -> float | None:
    return math.dist(at[a], at[b]) if a in at and b in at else None
