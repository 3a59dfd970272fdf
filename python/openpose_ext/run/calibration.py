"""Crops of hands from pictures, for the calibration of hand networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from openpose_ext.stages.arms import arm_boxes
from openpose_ext.stages.estimator import PoseEstimator
from openpose_ext.stages.view import View
from openpose_ext.types.arrays import Picture

__all__ = ["hand_crops"]

MOST_PEOPLE = 4  # the best of a picture


def hand_crops(pictures: Iterable[Picture], size: int) -> Iterator[Picture]:
    """The crops that a hand network gets for the people in the pictures, (size, size, 3) each.

    Hands are taken at the ends of arms found by the embedded body network; left hands are mirrored.
    Filled parts are ignored, and only `MOST_PEOPLE` people of a picture are used, so that crowds do
    not dominate.
    """
    with PoseEstimator("lite") as estimator:
        for picture in pictures:
            poses = estimator(picture)[:MOST_PEOPLE]
            for keypoints in np.where(poses.filled[..., None], 0, poses.keypoints):
                for box, left in zip(
                    arm_boxes(keypoints, poses.topology), (True, False), strict=True
                ):
                    if box is not None:
                        yield View(box.centre, box.side, size, mirrored=left).cut(picture)
