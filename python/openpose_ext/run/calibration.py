"""Hands cut out of pictures, for those who take the ranges of a network's numbers from them."""

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
    """What a hand network is shown of the people in the pictures, (size, size, 3) each.

    Hands are where the arms of the embedded body network's people end, left ones mirrored. Parts
    that it did not see but filled in do not count, nor do more people than `MOST_PEOPLE`, so that
    a crowd is not all there is.
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
