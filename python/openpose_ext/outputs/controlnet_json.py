"""The JSON of ControlNet's and ComfyUI's pose editors; see `formats.controlnet`."""

from __future__ import annotations

import json
import os
from typing import Any

from openpose_ext.formats.controlnet import encode
from openpose_ext.io.whole import write_whole
from openpose_ext.types.poses import Poses
from openpose_ext.types.scores import FACE_THRESHOLD, FILLED_SCORE, HAND_THRESHOLD
from openpose_ext.types.topology import COCO_18

__all__ = ["to_controlnet", "write_controlnet"]


def to_controlnet(
    poses: Poses,
    *,
    threshold: float = FILLED_SCORE,
    hand_threshold: float = HAND_THRESHOLD,
    face_threshold: float = FACE_THRESHOLD,
) -> list[dict[str, Any]]:
    """The people as a `POSE_KEYPOINT` value of one frame.

    threshold       parts that score above it are found; the default leaves out filled ones, as
                    `draw` does
    hand_threshold  the same of the points of hands
    face_threshold  the same of the points of faces

    Raises ValueError if the size of the picture is not known.
    """
    return encode(
        poses.as_topology(COCO_18).keypoints,
        poses.size,
        threshold=threshold,
        hand_threshold=hand_threshold,
        face_threshold=face_threshold,
        hands=poses.hands,
        faces=poses.faces,
    )


def write_controlnet(
    path: str | os.PathLike[str],
    poses: Poses,
    *,
    threshold: float = FILLED_SCORE,
    hand_threshold: float = HAND_THRESHOLD,
    face_threshold: float = FACE_THRESHOLD,
) -> None:
    """Write `to_controlnet` as a file. Raises OutputError if it cannot be written."""
    frames = to_controlnet(
        poses,
        threshold=threshold,
        hand_threshold=hand_threshold,
        face_threshold=face_threshold,
    )
    write_whole(path, json.dumps(frames).encode())
