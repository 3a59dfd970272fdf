"""COCO key point results, as COCO's evaluation reads them."""

from __future__ import annotations

from typing import Any

import numpy as np

from openpose_ext.poses import Poses

__all__ = ["COCO_PARTS", "to_coco"]

# COCO's 17 parts, in its order, by our names. Neck, MidHip and feet are not among them.
COCO_PARTS = (
    "Nose", "LEye", "REye", "LEar", "REar", "LShoulder", "RShoulder", "LElbow", "RElbow",
    "LWrist", "RWrist", "LHip", "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle",
)  # fmt: skip

_PERSON = 1


def to_coco(poses: Poses, image_id: int) -> list[dict[str, Any]]:
    """One result a person: `image_id`, `category_id` 1, `keypoints` 17 * (x, y, v), `score`.

    Found parts, filled ones among them, have v = 1, missing ones are 0, 0, 0. Coordinates are
    pixels with pixel centres at integers, to a hundredth. A person with none of the 17 parts is
    left out.

    Raises ValueError if the skeleton lacks one of the 17 parts.
    """
    names = poses.topology.parts
    lacking = [name for name in COCO_PARTS if name not in names]
    if lacking:
        raise ValueError(f"topology {poses.topology.name} has no {lacking[0]}, which COCO needs")
    points = poses.keypoints[:, [names.index(name) for name in COCO_PARTS]].astype(np.float64)
    found = points[..., 2] > 0
    points[..., 2] = found
    points[~found] = 0
    return [
        {
            "image_id": image_id,
            "category_id": _PERSON,
            "keypoints": person.round(2).ravel().tolist(),
            "score": float(score),
        }
        for person, score, seen in zip(points, poses.scores, found, strict=True)
        if seen.any()
    ]
