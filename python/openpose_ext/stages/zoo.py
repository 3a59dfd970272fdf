"""The rules of VastModelZoo's OpenPose script for Vastai's cards, so that we can replace it.

    body   The picture is stretched to the network's input with a cubic filter, without averaging;
           networks that take any size get the script's 184 x 184. Maps are enlarged to the picture
           and decoded by pytorch-openpose's rules (`decode_body(mode="reference")`).
    hands  pytorch-openpose's squares, inside the picture (`arms.seed_squares`), stretched in the
           same way and never mirrored. In each square a hand is decoded by pytorch-openpose's
           rules, at one scale, even if it is weak; two people may get the same hand.

Source: a description of the script's constants and steps; none of its code. Mistakes that change
points are kept: a point in the first column (row) of its square keeps x = 0 (y = 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from openpose_ext.io.resize import resized_cubic
from openpose_ext.models.network import CropMaps, CropNetwork
from openpose_ext.stages.arms import Square, seed_squares
from openpose_ext.stages.cascade import BATCH_PIXELS
from openpose_ext.stages.decode import decode_hand
from openpose_ext.stages.hands import HandFinder
from openpose_ext.stages.preprocess import Preprocessing
from openpose_ext.types.arrays import Picture, Size
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses
from openpose_ext.types.topology import HAND_21

__all__ = ["BODY_SIZE", "ZooHands", "zoo_preprocessing"]

BODY_SIZE = 184, 184  # the network's input in the script


def zoo_preprocessing(fixed_size: Size | None, stride: int) -> Preprocessing:
    """The script's preprocessing for the body network; see `Preprocessing`."""
    return Preprocessing(
        fit="stretch", resize="cubic", fixed_size=fixed_size or BODY_SIZE, stride=stride
    )


class ZooHands(HandFinder):
    """Finds people's hands like the script. In given boxes (`in_boxes`) it works like `HandFinder`.

    Raises ValueError for more than one scale, or for a network of points instead of maps.
    """

    def __init__(
        self,
        network: CropNetwork,
        *,
        scales: Sequence[float] = (1.0,),
        max_batch: int | None = None,
    ) -> None:
        super().__init__(network, scales=scales, max_batch=max_batch)
        if network.regresses:
            raise ValueError(
                'mode "zoo" needs a hand network of heat maps, such as the original one; '
                f'{network.info.model.name} gives points: take mode "fast"'
            )
        if self._scales != (1.0,):
            raise ValueError('mode "zoo" looks at hands at one scale: leave hand_scales out')

    def of_people(self, picture: Picture, people: Poses) -> npt.NDArray[np.float32]:
        """Both hands of each person: (P, 2, 21, 3) float32, the left one first.

        x, y in whole pixels of the picture, score in (0.05, 1]; missing points are 0, 0, 0.
        """
        hands = np.zeros((len(people), 2, len(HAND_21.parts), 3), np.float32)
        size = picture.shape[1], picture.shape[0]
        asked = [
            (person, side, square)
            for person, keypoints in enumerate(people.keypoints)
            for side, square in enumerate(seed_squares(keypoints, people.topology, size))
            if square is not None
        ]
        crop = self._network.crop
        most = self._max_batch or max(1, BATCH_PIXELS // crop**2)
        for first in range(0, len(asked), most):
            batch = asked[first : first + most]
            inputs = [_cut(picture, square, crop) for _, _, square in batch]
            answer = self._network.run(np.stack(inputs))
            assert isinstance(answer, CropMaps)
            for (person, side, square), heat in zip(batch, answer.heat, strict=True):
                hands[person, side] = _points(heat, square, crop, self._network.stride)
        return hands


def _cut(picture: Picture, square: Square, crop: int) -> Picture:
    x, y, side = square
    return resized_cubic(picture[y : y + side, x : x + side], (crop, crop))


def _points(
    heat: npt.NDArray[np.float32], square: Square, crop: int, stride: int
) -> npt.NDArray[np.float32]:
    """Decode the maps of a square to points (21, 3) in the picture."""
    x, y, side = square
    geometry = Geometry((side, side), (crop, crop), (crop, crop), (crop / side,) * 2, stride=stride)
    points = decode_hand(heat, geometry=geometry, mode="reference")
    # Each coordinate by itself, which is the script's mistake.
    points[points[:, 0] != 0, 0] += x
    points[points[:, 1] != 0, 1] += y
    points[~points[:, :2].any(axis=1)] = 0
    return points
