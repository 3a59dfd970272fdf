"""OpenPose's `--keypoint_scale`: keypoints in other units than picture pixels.

Source: OpenPose's flags; 0 to 4 have the same effect here on points that are found.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses

__all__ = ["KEYPOINT_SCALES", "scaled", "scaled_points"]

KEYPOINT_SCALES = {
    0: "pixels of the picture",
    1: "pixels of the network's input",
    2: "pixels of the output, which is as large as the picture",
    3: "[0, 1]: 0 is the first pixel's centre, 1 the last one's",
    4: "[-1, 1], likewise",
}


def scaled(poses: Poses, scale: int, geometry: Geometry | None = None) -> Poses:
    """Convert all points of the people to a unit of `KEYPOINT_SCALES`.

    geometry  maps the picture to the network's input; only scale 1 needs it

    The result is for writers of files; its `size` is still the picture's. Raises ValueError for an
    unknown scale, or if the picture size or the geometry is needed but unknown.
    """
    if scale in (0, 2):
        return poses
    keypoints, hands, faces = (
        None if points is None else scaled_points(points, poses.size, scale, geometry)
        for points in (poses.keypoints, poses.hands, poses.faces)
    )
    assert keypoints is not None
    return replace(poses, keypoints=keypoints, hands=hands, faces=faces)


def scaled_points(
    points: npt.NDArray[np.float32],
    size: tuple[int, int],
    scale: int,
    geometry: Geometry | None = None,
) -> npt.NDArray[np.float32]:
    """Convert (..., 3) points x, y, score in a picture of (width, height); returns a copy.

    Missing points (score 0) stay 0, 0, 0. In scale 4 this is the picture's centre, so readers must
    check the score. In a picture that is one pixel wide, all points are at the first pixel.
    """
    if scale not in KEYPOINT_SCALES:
        raise ValueError(f"keypoint_scale must be 0 to 4, not {scale}")
    found = points[..., 2] > 0
    moved = points.copy()
    if scale == 1:
        if geometry is None:
            raise ValueError("keypoint_scale 1 needs the geometry of the network's input")
        moved[found] = geometry.to_network(points[found])
    elif scale in (3, 4):
        if min(size) < 1:
            raise ValueError(f"keypoint_scale {scale} needs the size of the picture")
        last = np.maximum(np.array(size, np.float32) - 1, 1)
        unit = points[found, :2] / last
        moved[found, :2] = unit if scale == 3 else 2 * unit - 1
    return moved
