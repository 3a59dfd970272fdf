"""Conversion of keypoints from one skeleton to another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openpose_ext.types.arrays import Floats
from openpose_ext.types.topology import Topology

__all__ = ["parts_of"]


def parts_of(
    keypoints: Floats, filled: npt.NDArray[np.bool_], source: Topology, target: Topology
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Convert the parts of `source` to those of `target`, matched by name.

    keypoints  (P, K, 3): x, y, score; missing parts are 0, 0, 0
    filled     (P, K): whether a part was filled rather than seen

    Returns both for the parts of `target`. If the source has no MidHip, BODY_25's is the mean of
    both hips (if both were found), with the lower of their scores; it counts as filled if either
    hip does. Any other part that the source lacks is missing; parts that the target lacks are
    dropped.

    Raises ValueError if the skeletons share no part.
    """
    index = {name: k for k, name in enumerate(source.parts)}
    shared = [(k, index[name]) for k, name in enumerate(target.parts) if name in index]
    if not shared:
        raise ValueError(f"{source.name} and {target.name} have no part in common")
    moved = np.zeros((len(keypoints), len(target.parts), 3), np.float32)
    moved_filled = np.zeros(moved.shape[:2], np.bool_)
    to, of = map(list, zip(*shared, strict=True))
    moved[:, to] = keypoints[:, of]
    moved_filled[:, to] = filled[:, of]

    if "MidHip" in target.parts and "MidHip" not in index and {"RHip", "LHip"} <= index.keys():
        middle, sides = target.parts.index("MidHip"), [index["RHip"], index["LHip"]]
        hips = keypoints[:, sides]
        weaker = hips[..., 2].min(axis=1)
        both = weaker > 0
        moved[both, middle, :2] = hips[both, :, :2].mean(axis=1)
        moved[both, middle, 2] = weaker[both]
        moved_filled[both, middle] = filled[both][:, sides].any(axis=1)
    return moved, moved_filled
