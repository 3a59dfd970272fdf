"""People from one skeleton to another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from openpose_ext.poses import Poses
from openpose_ext.topology import Topology

__all__ = ["as_topology"]


def as_topology(poses: Poses, topology: Topology) -> Poses:
    """The same people with the parts of `topology`, matched by name.

    BODY_25's MidHip, where the source has none, is the mean of both hips where both were found,
    with the weaker one's score; it counts as filled if a hip was. Other parts that the source
    lacks are missing (0, 0, 0), and parts that `topology` lacks are dropped. Person scores, hands
    and ids stay.

    Raises ValueError if the skeletons share no part.
    """
    if poses.topology == topology:
        return poses
    source = {name: k for k, name in enumerate(poses.topology.parts)}
    shared = [(k, source[name]) for k, name in enumerate(topology.parts) if name in source]
    if not shared:
        raise ValueError(f"{poses.topology.name} and {topology.name} have no part in common")
    keypoints = np.zeros((len(poses), len(topology.parts), 3), np.float32)
    filled = np.zeros(keypoints.shape[:2], np.bool_)
    to, of = map(list, zip(*shared, strict=True))
    keypoints[:, to] = poses.keypoints[:, of]
    filled[:, to] = poses.filled[:, of]

    if "MidHip" in topology.parts and "MidHip" not in source and {"RHip", "LHip"} <= source.keys():
        middle, sides = topology.parts.index("MidHip"), [source["RHip"], source["LHip"]]
        hips = poses.keypoints[:, sides]
        weaker = hips[..., 2].min(axis=1)
        both = weaker > 0
        keypoints[both, middle, :2] = hips[both, :, :2].mean(axis=1)
        keypoints[both, middle, 2] = weaker[both]
        filled[both, middle] = poses.filled[both][:, sides].any(axis=1)
    return replace(poses, keypoints=keypoints, filled=filled, topology=topology)
