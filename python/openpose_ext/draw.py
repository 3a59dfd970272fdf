"""Skeletons drawn over pictures, by the rules of OpenPose's CPU renderer.

Colours stand in the topology; a limb has the colour of its second part. Lines and discs are as
thick as the person is large. Unlike the original's, they are smoothed and lie on sub-pixels.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from openpose_ext.poses import FILLED_SCORE, Poses
from openpose_ext.topology import HAND_21, Topology

__all__ = ["HAND_THRESHOLD", "draw"]

Picture = npt.NDArray[np.uint8]

HAND_THRESHOLD = 0.2  # OpenPose's: a hand network always answers, so weak points are many

# Thickness of a person who fills the picture, as a share of sqrt(width * height).
_BODY_SHARE = 1 / 75
_HAND_SHARE = 1 / 50
_LINE_TO_DISC = 0.75
_THINNEST = 2
_FULL_DISCS = 0.05  # people smaller than this share of the picture get smaller discs

_SUBPIXEL_BITS = 4  # cv2 takes coordinates in sixteenths of a pixel
_FARTHEST = 2.0**24  # pixels; sixteenths of it still fit cv2's 32 bits


def draw(
    picture: Picture, poses: Poses, style: str = "openpose", *, threshold: float = FILLED_SCORE
) -> Picture:
    """A copy of the picture with the people drawn on it, in their order.

    picture    (H, W, 3) uint8 BGR; not changed
    poses      in the picture's frame
    style      "openpose"
    threshold  parts that score above it are drawn; the default leaves out filled ones. Points of
               hands need at least HAND_THRESHOLD.

    Raises ValueError if the picture has another form or the style is unknown.
    """
    if style != "openpose":
        raise ValueError(f"style must be 'openpose', not {style!r}")
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(
            f"picture must be (H, W, 3) uint8 BGR, not {picture.shape} {picture.dtype}"
        )
    canvas = np.array(picture, order="C")
    for person in range(len(poses)):
        _draw_skeleton(canvas, poses.keypoints[person], poses.topology, _BODY_SHARE, threshold)
        if poses.hands is not None:
            for hand in poses.hands[person]:
                limit = max(threshold, HAND_THRESHOLD)
                _draw_skeleton(canvas, hand, HAND_21, _HAND_SHARE, limit)
    return canvas


def _draw_skeleton(
    canvas: Picture,
    points: npt.NDArray[np.float32],
    topology: Topology,
    share: float,
    threshold: float,
) -> None:
    """Lines, then discs, of one body or hand; points (K, 3) x, y, score, drawn in place."""
    seen = points[:, 2] > threshold
    if not seen.any():
        return
    height, width = canvas.shape[:2]
    extent = min(1.0, float((np.ptp(points[seen, :2], axis=0) / (width, height)).max()))
    thickness = max(math.floor(math.sqrt(width * height) * share * extent + 0.5), _THINNEST)
    line = max(1, math.floor(_LINE_TO_DISC * thickness + 0.5))
    radius = (thickness // 2) + (thickness / 2 if extent > _FULL_DISCS else 0)

    at = [(_fixed_point(x), _fixed_point(y)) for x, y in points[:, :2].tolist()]
    colours = [colour[::-1] for colour in topology.colours]
    for limb, (a, b) in enumerate(topology.limbs):
        if limb not in topology.redundant and seen[a] and seen[b]:
            cv2.line(canvas, at[a], at[b], colours[b], line, cv2.LINE_AA, _SUBPIXEL_BITS)
    for part in np.flatnonzero(seen):
        disc = _fixed_point(radius)
        cv2.circle(canvas, at[part], disc, colours[part], cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def _fixed_point(pixels: float) -> int:
    """A coordinate for cv2; what lies absurdly far out is kept from overflowing."""
    return round(min(max(pixels, -_FARTHEST), _FARTHEST) * (1 << _SUBPIXEL_BITS))
