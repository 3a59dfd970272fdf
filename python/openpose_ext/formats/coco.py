"""COCO keypoint results as plain records, as COCO's evaluation reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.types.arrays import Floats
from openpose_ext.types.topology import HAND_21

__all__ = ["COCO_PARTS", "FOOT_PARTS", "encode"]

# COCO's 17 parts, in its order, by our names. Neck, MidHip and feet are not among them.
COCO_PARTS = (
    "Nose", "LEye", "REye", "LEar", "REar", "LShoulder", "RShoulder", "LElbow", "RElbow",
    "LWrist", "RWrist", "LHip", "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle",
)  # fmt: skip

# COCO-WholeBody's feet, in its order, by our names.
FOOT_PARTS = ("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")
_FACE_POINTS = 68  # of COCO-WholeBody, which has no pupils

_PERSON = 1


def encode(
    keypoints: Floats,
    scores: Floats,
    parts: Sequence[str],
    image_id: int,
    *,
    hands: Floats | None = None,
    faces: Floats | None = None,
) -> list[dict[str, Any]]:
    """One result per person: `image_id`, `category_id` 1, `keypoints` 17 * (x, y, v), `score`.

    keypoints  (P, K, 3): x, y in pixels of the picture and score; missing parts score 0
    scores     (P,)
    parts      K names
    hands      (P, 2, 21, 3), the left hand first, or None if hands were not looked for
    faces      (P, 70, 3), likewise

    Parts that were found or filled have v = 1; missing parts are 0, 0, 0. Coordinates are in
    pixels, with pixel centres at integers, rounded to 0.01. A person with none of the 17 parts is
    left out. Keys of COCO-WholeBody are added: `foot_kpts` 6 * (x, y, score) for a skeleton with
    feet or if hands or faces were looked for; and in the latter case `face_kpts` 68 * (x, y, score)
    and `lefthand_kpts` and `righthand_kpts` 21 * (x, y, score), with zeros for missing points.

    Raises ValueError if the skeleton lacks one of the 17 parts.
    """
    names = list(parts)
    lacking = [name for name in COCO_PARTS if name not in names]
    if lacking:
        raise ValueError(f"the skeleton has no {lacking[0]}, which COCO needs")
    points = keypoints[:, [names.index(name) for name in COCO_PARTS]].astype(np.float64)
    found = points[..., 2] > 0
    points[..., 2] = found
    points[~found] = 0
    return [
        {
            "image_id": image_id,
            "category_id": _PERSON,
            "keypoints": person.round(2).ravel().tolist(),
            "score": float(score),
            **_whole_body(
                keypoints[index],
                names,
                None if hands is None else hands[index],
                None if faces is None else faces[index],
            ),
        }
        for index, (person, score, seen) in enumerate(zip(points, scores, found, strict=True))
        if seen.any()
    ]


def _whole_body(
    body: Floats, names: list[str], hands: Floats | None, face: Floats | None
) -> dict[str, list[float]]:
    """The keys that COCO-WholeBody adds to the body: those of feet, and all others if hands or
    faces were looked for."""
    closer = hands is not None or face is not None
    if not closer and not {*FOOT_PARTS} & {*names}:
        return {}
    feet = np.zeros((len(FOOT_PARTS), 3))
    for row, name in enumerate(FOOT_PARTS):
        if name in names:
            feet[row] = body[names.index(name)]
    if not closer:
        return {"foot_kpts": _flat(feet)}
    left, right = np.zeros((2, len(HAND_21.parts), 3)) if hands is None else hands
    return {
        "foot_kpts": _flat(feet),
        "face_kpts": _flat(np.zeros((_FACE_POINTS, 3)) if face is None else face[:_FACE_POINTS]),
        "lefthand_kpts": _flat(left),
        "righthand_kpts": _flat(right),
    }


def _flat(points: npt.NDArray[np.floating]) -> list[float]:
    """A flat list of x and y, rounded to 0.01 pixel, and the score, rounded to 0.001."""
    rounded = points.astype(np.float64)
    rounded[:, :2] = rounded[:, :2].round(2)
    rounded[:, 2] = rounded[:, 2].round(3)
    return [float(value) for value in rounded.ravel()]
