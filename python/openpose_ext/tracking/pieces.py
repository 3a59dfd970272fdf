"""Pieces of people: an arm, say, that the network took for somebody else's.

A piece has few parts, and nearly all of them lie on the body of the person whose it is. Somebody
behind that person shows beside the body, and of somebody in front more parts are seen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openpose_ext.tracking.ids import body_sizes
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import Topology

__all__ = ["pieces"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Chosen on COCO's people as two networks find them: of 565 who were right none counts as a piece.
_LARGEST = 0.5  # of the skeleton's parts: who has as many is somebody
_THICK = 0.1  # sizes from the lines between a body's parts, at most
_SHARE = 0.75  # of a piece's seen parts, at least


def pieces(poses: Poses, whole: Mask) -> Mask:
    """(P,): who is nothing but a piece of one of the `whole` people (P,), and is none of them."""
    points = poses.keypoints.astype(np.float64)
    seen = points[..., 2] > FILLED_SCORE
    found: Mask = ~whole & seen.any(axis=1) & (seen.mean(axis=1) < _LARGEST)
    thick = _THICK * body_sizes(poses)[whole]
    for one in np.flatnonzero(found):
        away = _distances(points[one, seen[one], :2], points[whole], poses.topology)
        found[one] = ((away <= thick).mean(axis=0) >= _SHARE).any()
    return found


def _distances(xy: Floats, bodies: Floats, topology: Topology) -> Floats:
    """(n, P) pixels from points (n, 2) to bodies (P, K, 3), their parts and the lines between."""
    alone = [(k, k) for k in range(len(topology.parts))]
    first, second = np.array([*topology.limbs, *alone]).T
    there = (bodies[:, first, 2] > 0) & (bodies[:, second, 2] > 0)
    start = bodies[:, first, :2]
    along = bodies[:, second, :2] - start
    to = xy[:, None, None] - start
    share = (to * along).sum(axis=3) / np.maximum((along**2).sum(axis=2), 1e-9)
    away = to - np.clip(share, 0, 1)[..., None] * along
    distances = np.where(there, np.hypot(away[..., 0], away[..., 1]), np.inf)
    nearest: Floats = distances.min(axis=2, initial=np.inf)
    return nearest
