"""Where hands are: squares at the ends of the arms.

The square's size and position are those of OpenPose's hand detector (Simon et al., "Hand Keypoint
Detection in Single Images using Multiview Bootstrapping").
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from openpose_ext.stages.box import MIN_SIDE, Box, Parts, distance, parts_at
from openpose_ext.types.topology import Topology

__all__ = ["arm_boxes", "seed_squares"]

Floats = npt.NDArray[np.floating]
Square = tuple[int, int, int]  # x, y of the first pixel, and the side, in picture pixels
_ARM = ("Shoulder", "Elbow", "Wrist")

# The hand's centre lies a third of the forearm beyond the wrist, and the square's side is 1.5
# times the longer of forearm and 0.9 upper arms (a forearm that points at the camera looks short).
EXTENSION = 0.33
SIDE = 1.5
UPPER_ARM = 0.9
# Forearms (as defined above) relative to other body lengths, for arms that are partly hidden. From
# Drillis & Contini's segments: 0.9 upper arms are 0.167 of the stature, the distance of the
# shoulder joints is 0.22, neck to hips 0.29, a straight arm 0.33.
_OF_SHOULDERS = 0.75
_OF_TRUNK = 0.58
_OF_ARM = 0.5


def arm_boxes(keypoints: Floats, topology: Topology) -> tuple[Box | None, Box | None]:
    """The squares around a person's left and right hand, from the arms; None without a wrist.

    keypoints  (K, 3): x, y in the picture and score; parts of score 0 are missing

    With an elbow: 0.33 forearms beyond the wrist, 1.5 times the longer of forearm and 0.9 upper
    arms. If the shoulder is missing, the rest of the body gives a lower bound for the forearm.
    Without an elbow the hand may lie on any side of the wrist, so the square is centred there and
    larger. None if its size cannot be estimated or is below `box.MIN_SIDE`.
    """
    at = parts_at(keypoints, topology)
    return _arm_box(at, "L", "R"), _arm_box(at, "R", "L")


def seed_squares(
    keypoints: Floats, topology: Topology, picture: tuple[int, int]
) -> tuple[Square | None, Square | None]:
    """The squares in which pytorch-openpose looks for a person's left and right hand.

    keypoints  (K, 3): x, y in the picture and score; parts of score 0 are missing
    picture    (width, height)

    Returns (x, y, side) in whole pixels; None without shoulder, elbow and wrist, or if the side is
    below `box.MIN_SIDE`. A square that reaches outside the picture is shifted right and down, or
    made smaller.
    """
    boxes = arm_boxes(keypoints, topology)
    left, right = (_seed_square(box, picture) for box in boxes)
    has_left, has_right = (
        all(keypoints[topology.parts.index(f"{side}{part}"), 2] > 0 for part in _ARM)
        for side in "LR"
    )
    return left if has_left else None, right if has_right else None


def _seed_square(box: Box | None, picture: tuple[int, int]) -> Square | None:
    if box is None:
        return None
    x, y = (max(0.0, centre - box.side / 2) for centre in box.centre)
    side = min(box.side, picture[0] - x, picture[1] - y)
    return (int(x), int(y), int(side)) if side >= MIN_SIDE else None


def _arm_box(at: Parts, side: str, other: str) -> Box | None:
    if f"{side}Wrist" not in at:
        return None
    wrist = at[f"{side}Wrist"]
    forearm, upper = distance(at, f"{side}Wrist", f"{side}Elbow"), _upper_arm(at, side)
    centre, angle = wrist, None
    if forearm is not None:
        length = max(forearm, _by_body(at, other) if upper is None else upper)
        direction = wrist - at[f"{side}Elbow"]
        centre = wrist + EXTENSION * direction
        angle = math.degrees(math.atan2(direction[0], -direction[1])) if forearm > 0 else None
        square = SIDE * length
    else:
        arm = distance(at, f"{side}Wrist", f"{side}Shoulder") or 0.0
        length = max(_OF_ARM * arm, _by_body(at, other))
        square = (SIDE + 2 * EXTENSION) * length
    if square < MIN_SIDE:
        return None
    return Box(
        (float(centre[0]), float(centre[1])), square, angle, (float(wrist[0]), float(wrist[1]))
    )


def _by_body(at: Parts, other: str) -> float:
    """The length of a forearm, from the other arm, the shoulders and the trunk; 0 without them."""
    trunks = [distance(at, "Neck", hip) for hip in ("RHip", "LHip")]
    shares = [
        (1.0, distance(at, f"{other}Wrist", f"{other}Elbow")),
        (1.0, _upper_arm(at, other)),
        (_OF_SHOULDERS, distance(at, "RShoulder", "LShoulder")),
        *((_OF_TRUNK, trunk) for trunk in trunks),
    ]
    # Each may look shorter than it is, so the longest is closest to the truth.
    return max((share * length for share, length in shares if length is not None), default=0.0)


def _upper_arm(at: Parts, side: str) -> float | None:
    """0.9 upper arms, which is the length of a forearm."""
    length = distance(at, f"{side}Elbow", f"{side}Shoulder")
    return None if length is None else UPPER_ARM * length
