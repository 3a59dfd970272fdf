"""Finds hands anywhere in a picture, with or without a body.

A hand network that returns heat maps is convolutional, so it can run on the whole picture. It runs
at several sizes, and on the mirror image, in which left hands look like right ones. The score of a
place is the highest heat of each point in a square around it, averaged over the points: about the
score that the network would give to a crop there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openpose_ext.io.resize import resized
from openpose_ext.models.network import CropMaps, CropNetwork
from openpose_ext.stages.box import MIN_SIDE, Box
from openpose_ext.stages.preprocess import PADDING
from openpose_ext.types.arrays import Picture
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.poses import Poses

__all__ = ["HandDetector", "Sighting", "without_bodies"]

Floats = npt.NDArray[np.float32]

# The picture's longer side at each size, in sides of the network's crop. A hand fills about 0.57 of
# its crop, so these sizes suit hands from the whole picture down to a seventh of it.
_SIZES = (0.6, 0.85, 1.2, 1.7, 2.4, 3.4)
_HAND = 0.57
_LEAST = 0.25  # lowest score of a place
_MOST = 24  # most places in a picture
# Two sightings are one place if their centres are nearer than this share of the smaller side, and
# the larger side is less than this many times the smaller one.
_NEAR = 0.3
_ALIKE = 1.6


@dataclass(frozen=True)
class Sighting:
    """A place where a hand may be.

    box       the square around it, in pixels of the picture
    mirrored  whether it was found in the mirror image, which makes it a left hand
    score     highest heat of each point near the place, averaged over the points, 0 to 1
    """

    box: Box
    mirrored: bool
    score: float


class HandDetector:
    """Finds places in a picture where hands may be.

    network  a hand network that returns heat maps and takes inputs of any size

    Raises ValueError for any other network.
    """

    def __init__(self, network: CropNetwork) -> None:
        if network.regresses or network.fixed_size is not None:
            raise ValueError(
                "finding hands in whole pictures needs a hand network that returns heat maps and "
                "takes inputs of any size"
            )
        self._network = network

    def __call__(self, picture: Picture) -> list[Sighting]:
        """The places in a picture (H, W, 3) uint8 BGR, best first, each once; at most 24."""
        kept: list[Sighting] = []
        for one in sorted(self._sightings(picture), key=lambda sight: -sight.score):
            if len(kept) == _MOST:
                break
            if not any(_same_place(one, other) for other in kept):
                kept.append(one)
        return kept

    def _sightings(self, picture: Picture) -> Iterator[Sighting]:
        crop, stride = self._network.crop, self._network.stride
        height, width = picture.shape[:2]
        for size in _SIZES:
            factor = size * crop / max(height, width)
            if crop / factor < MIN_SIDE:
                continue
            shown = resized(
                picture, (max(1, round(width * factor)), max(1, round(height * factor)))
            )
            # Pad all sides with grey, so that hands at the edge lie in the middle of a crop, too.
            margin = crop // 4 // stride * stride
            sides = [stride * math.ceil((side + 2 * margin) / stride) for side in shown.shape[:2]]
            content = shown.shape[1], shown.shape[0]
            geometry = Geometry(
                (width, height), (sides[1], sides[0]), content, (factor, factor),
                (margin, margin), stride,
            )  # fmt: skip
            canvas = np.full((*sides, 3), PADDING, np.uint8)
            canvas[margin : margin + shown.shape[0], margin : margin + shown.shape[1]] = shown
            for mirrored in (False, True):
                batch = canvas[None, :, ::-1] if mirrored else canvas[None]
                answer = self._network.run(np.ascontiguousarray(batch))
                assert isinstance(answer, CropMaps)
                heat = answer.heat[0, :-1]
                if mirrored:
                    heat = heat[:, :, ::-1]
                for x, y, score in _places(heat, crop * _HAND / stride):
                    at_x, at_y = geometry.from_maps(np.array([x, y], np.float64)).tolist()
                    yield Sighting(Box((at_x, at_y), crop / factor), mirrored, score)


def _places(heat: Floats, hand: float) -> Iterator[tuple[float, float, float]]:
    """The places where all points have high heat nearby: x, y in map cells, and the score.

    hand  side of a hand in map cells
    """
    import cv2

    side = 2 * round(hand / 2) + 1
    window = np.ones((side, side), np.uint8)
    highest = np.zeros(heat.shape[1:], np.float32)
    for one in heat:
        highest += cv2.dilate(np.ascontiguousarray(np.nan_to_num(one)), window)
    highest /= len(heat)
    # All windows that hold the whole hand score the same: blurring puts the maximum in the middle.
    smooth = cv2.blur(highest, (side // 2, side // 2))
    peaks = (smooth == cv2.dilate(smooth, np.ones((side // 2 * 2 + 1,) * 2, np.uint8))) & (
        highest >= _LEAST
    )
    for y, x in np.argwhere(peaks).tolist():
        yield x, y, float(highest[y, x])


def _same_place(one: Sighting, other: Sighting) -> bool:
    sides = one.box.side, other.box.side
    apart = math.dist(one.box.centre, other.box.centre)
    return (
        one.mirrored == other.mirrored
        and apart < _NEAR * min(sides)
        and max(sides) < _ALIKE * min(sides)
    )


def without_bodies(hands: Floats, like: Poses) -> Poses:
    """People of whom there is only one hand each; a person's score is the mean of the hand's.

    hands  (N, 2, 21, 3): x, y in pixels of the picture and score; zeros for the other hand
    like   gives the topology and the picture's size
    """
    count, parts = len(hands), len(like.topology.parts)
    seen = hands[..., 2].sum(axis=(1, 2)) / np.maximum((hands[..., 2] > 0).sum(axis=(1, 2)), 1)
    return Poses(
        np.zeros((count, parts, 3), np.float32),
        seen.astype(np.float32),
        np.zeros((count, parts), np.bool_),
        like.topology,
        like.size,
    )
