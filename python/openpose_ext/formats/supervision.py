"""Conversion to the `KeyPoints` of roboflow's supervision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import OutputError
from openpose_ext.types.arrays import Floats
from openpose_ext.types.scores import FILLED_SCORE
from openpose_ext.types.topology import Topology

if TYPE_CHECKING:
    import supervision as sv

__all__ = ["edges", "encode"]


def edges(topology: Topology) -> list[tuple[int, int]]:
    """A skeleton's limbs as the `edges` of supervision's `EdgeAnnotator`, which counts from 1.

    Limbs that only close a loop (shoulder to ear) are left out.
    """
    return [
        (a + 1, b + 1)
        for limb, (a, b) in enumerate(topology.limbs)
        if limb not in topology.redundant
    ]


def encode(
    keypoints: Floats, scores: Floats, ids: npt.NDArray[np.int64] | None = None
) -> sv.KeyPoints:
    """The bodies as `KeyPoints`, in the order of the skeleton's parts.

    keypoints  (P, K, 3): x, y in pixels of the picture, and score
    scores     (P,)
    ids        (P,), or None

    `keypoint_confidence` and `detection_confidence` are the scores, `visible` is true for parts
    that were seen, `class_id` 0. `data` has "class_name" and, if people have ids, "tracker_id". For
    its annotators, use `edges(topology)`.

    Raises OutputError if supervision is not installed.
    """
    try:
        import supervision as sv
    except ImportError as error:
        message = 'to_supervision needs supervision: pip install "openpose_ext[interop]"'
        raise OutputError(message) from error
    data: dict[str, npt.NDArray[Any] | list[Any]] = {
        "class_name": np.full(len(keypoints), "person")
    }
    if ids is not None:
        data["tracker_id"] = ids.copy()
    return sv.KeyPoints(
        xy=keypoints[..., :2].copy(),
        class_id=np.zeros(len(keypoints), np.int64),
        keypoint_confidence=keypoints[..., 2].copy(),
        detection_confidence=scores.copy(),
        visible=keypoints[..., 2] > FILLED_SCORE,
        data=data,
    )
