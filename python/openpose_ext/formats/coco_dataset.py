"""COCO data sets of keypoints, as annotation tools and training programs read them.

One object with `images`, `annotations` and `categories`, as in COCO's own annotation files. There
is one category, person, with COCO's 17 parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.formats.coco import COCO_PARTS
from openpose_ext.types.arrays import Floats

__all__ = ["CATEGORIES", "encode"]

_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

# Pairs of `_NAMES`, counted from 1, as COCO's own file has them.
_SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9),
    (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip

CATEGORIES: list[dict[str, Any]] = [
    {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(_NAMES),
        "skeleton": [list(pair) for pair in _SKELETON],
    }
]

_SEEN, _GUESSED = 2, 1  # COCO's flags: labelled and visible, labelled but not visible


def encode(
    keypoints: Floats,
    filled: npt.NDArray[np.bool_],
    scores: Floats,
    parts: Sequence[str],
    image_id: int,
    first_id: int,
) -> list[dict[str, Any]]:
    """The annotations of one picture, one per person, with ids starting at `first_id`.

    keypoints  (P, K, 3): x, y in pixels of the picture and score; missing parts score 0
    filled     (P, K) bool: parts that were filled, not seen
    scores     (P,): written as `score`
    parts      K names

    Parts that were seen have v = 2, filled ones 1, missing ones are 0, 0, 0. Box and area are those
    of the parts. A person with none of the 17 parts is left out. Raises ValueError if the skeleton
    lacks one of them.
    """
    names = list(parts)
    lacking = [name for name in COCO_PARTS if name not in names]
    if lacking:
        raise ValueError(f"the skeleton has no {lacking[0]}, which COCO needs")
    chosen = [names.index(name) for name in COCO_PARTS]
    points = keypoints[:, chosen].astype(np.float64)
    found = points[..., 2] > 0
    flags = np.where(filled[:, chosen], _GUESSED, _SEEN)
    annotations: list[dict[str, Any]] = []
    for person, seen in enumerate(found):
        if not seen.any():
            continue
        xy = points[person, seen, :2]
        (x, y), (width, height) = xy.min(axis=0), np.ptp(xy, axis=0)
        triples = np.zeros((len(COCO_PARTS), 3))
        triples[seen] = np.column_stack([xy.round(2), flags[person, seen]])
        annotations.append(
            {
                "id": first_id + len(annotations),
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "num_keypoints": int(seen.sum()),
                "keypoints": triples.ravel().tolist(),
                "bbox": [round(float(value), 2) for value in (x, y, width, height)],
                "area": round(float(width * height), 2),
                "score": round(float(scores[person]), 4),
            }
        )
    return annotations
