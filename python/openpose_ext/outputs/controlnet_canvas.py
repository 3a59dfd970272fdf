"""The skeletons on black that ControlNet's OpenPose models take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from openpose_ext.outputs.draw import draw
from openpose_ext.types.arrays import Picture
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses

__all__ = ["CANVAS_SIDE", "controlnet_canvas"]

CANVAS_SIDE = 512  # the short side at which ControlNet's models were trained


def controlnet_canvas(
    poses: Poses,
    *,
    side: int,
    threshold: float,
    hand_threshold: float,
    face_threshold: float,
) -> Picture:
    """Draw the people on black: (h, w, 3) uint8 BGR.

    side        short side of the canvas in pixels, 0 for the picture's own size. Limbs are always
                four pixels thick, which is too thin on a canvas as large as a camera's picture
    thresholds  those of `draw`

    Raises ValueError if the size of the picture is unknown.
    """
    width, height = poses.size
    if min(poses.size) < 1:
        raise ValueError("the picture size is unknown, but the canvas needs it")
    if side:
        factor = side / min(poses.size)
        content = max(1, round(width * factor)), max(1, round(height * factor))
        factors = content[0] / width, content[1] / height
        frame = Geometry(poses.size, content, content, factors, stride=1)
        keypoints, hands, faces = (
            None if points is None else frame.to_network(points).astype(np.float32)
            for points in (poses.keypoints, poses.hands, poses.faces)
        )
        assert keypoints is not None
        poses = replace(poses, keypoints=keypoints, hands=hands, faces=faces, size=content)
    return draw(
        np.zeros((*poses.size[::-1], 3), np.uint8),
        poses,
        "controlnet",
        threshold=threshold,
        hand_threshold=hand_threshold,
        face_threshold=face_threshold,
    )
