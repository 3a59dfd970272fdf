"""Where faces are: around eyes and nose."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from openpose_ext.stages.box import MIN_SIDE, Box, Parts, distance, parts_at
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import Topology

__all__ = ["head_box"]

Floats = npt.NDArray[np.floating]

# Sides of the square in other lengths of a head. A face seen from the front is 1.9 to 2.4 times as
# wide as its eyes are apart; the square is about 1.75 times as large. OpenPose's factors for eyes
# and ears are 3 and 2, of a tighter square.
_OF_EYES = 4.2
_OF_EARS = 2.4
_OF_PROFILE = 3.5  # of one eye and its ear
_OF_NECK = 1.5  # of nose and neck
_NOSE = 0.6  # how far the centre lies from the eyes towards the nose


def head_box(keypoints: Floats, topology: Topology) -> Box | None:
    """Where one person's face is; None without a nose or both eyes, or if nothing tells its size.

    keypoints  (K, 3): x, y in the picture and score; filled parts do not count

    By both eyes: around 0.4 of their middle and 0.6 of the nose, 4.2 times as large as they are
    apart, turned as they are. One eye and its ear, both ears, or nose and neck stand in for them;
    of what is foreshortened the larger counts.
    """
    at = parts_at(keypoints, topology, above=FILLED_SCORE)
    nose, eyes = at.get("Nose"), _middle(at, "REye", "LEye")
    if nose is None and eyes is None:
        return None
    sides = [
        share * length
        for share, length in (
            (_OF_EYES, distance(at, "REye", "LEye")),
            (_OF_EARS, distance(at, "REar", "LEar")),
            (_OF_PROFILE, distance(at, "REye", "REar")),
            (_OF_PROFILE, distance(at, "LEye", "LEar")),
            (_OF_NECK, distance(at, "Nose", "Neck")),
        )
        if length is not None
    ]
    if not sides:
        return None
    # Eyes and ears do not tell more than the neck allows; nor does the neck alone tell much.
    side = sides[0] if eyes is not None else max(sides)
    across = _across(at)
    if eyes is None:
        centre = nose
    elif nose is None:
        centre = eyes
    else:
        centre = (1 - _NOSE) * eyes + _NOSE * nose
    assert centre is not None
    if side < MIN_SIDE:
        return None
    angle = None if across is None else math.degrees(math.atan2(across[1], across[0]))
    anchor = centre if nose is None else nose
    return Box(
        (float(centre[0]), float(centre[1])), side, angle, (float(anchor[0]), float(anchor[1]))
    )


def _across(at: Parts) -> npt.NDArray[np.float64] | None:
    """From the person's right to the left: level in an upright face."""
    for right, left in (("REye", "LEye"), ("REar", "LEar"), ("REar", "REye"), ("LEye", "LEar")):
        if right in at and left in at:
            return at[left] - at[right]
    return None


def _middle(at: Parts, a: str, b: str) -> npt.NDArray[np.float64] | None:
    return (at[a] + at[b]) / 2 if a in at and b in at else None
