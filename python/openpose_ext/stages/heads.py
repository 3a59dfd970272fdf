"""Where faces are: squares around eyes and nose."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from openpose_ext.stages.box import MIN_SIDE, Box, Parts, distance, parts_at
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import Topology

__all__ = ["head_box"]

Floats = npt.NDArray[np.floating]

# The square's side as a multiple of distances in the head. From the front, a face is 1.9 to 2.4
# times as wide as the distance of its eyes, and the square is about 1.75 times as large as the
# face. OpenPose's square is tighter: 3 times the distance of the eyes, 2 times that of the ears.
_OF_EYES = 4.2
_OF_EARS = 2.4
_OF_PROFILE = 3.5  # of one eye and its ear
_OF_NECK = 1.5  # of nose and neck
_NOSE = 0.6  # how far the centre lies from the eyes towards the nose


def head_box(keypoints: Floats, topology: Topology) -> Box | None:
    """The square around one person's face; None without nose and eyes, or if its size is unknown.

    keypoints  (K, 3): x, y in the picture and score; parts that were filled, not seen, are ignored

    With both eyes: its centre lies 0.6 of the way from the middle of the eyes to the nose, its side
    is 4.2 times the distance of the eyes, and it is turned as they are. Otherwise one eye and its
    ear, both ears, or nose and neck give the size; the largest of these counts, since lengths can
    only look too short.
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
    # The neck bounds what eyes and ears tell, and gives only a rough size by itself.
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
    """The vector from the person's right eye or ear to the left one: level in an upright face."""
    for right, left in (("REye", "LEye"), ("REar", "LEar"), ("REar", "REye"), ("LEye", "LEar")):
        if right in at and left in at:
            return at[left] - at[right]
    return None


def _middle(at: Parts, a: str, b: str) -> npt.NDArray[np.float64] | None:
    return (at[a] + at[b]) / 2 if a in at and b in at else None
