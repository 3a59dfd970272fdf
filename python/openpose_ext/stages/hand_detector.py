"""Hands anywhere in a picture, with or without a body.

A network of hands' maps is convolutional, so it is run over the whole picture at several sizes, and
on its mirror image, which shows left hands as right ones. Wherever a square of its crop's size
would hold all points of a hand, their highest heats are high: the mean over the points, of the
highest heat near each place, is what the network would score a crop there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from openpose_ext.io.resize import resized
from openpose_ext.models.network import CropMaps, CropNetwork
from openpose_ext.stages.box import MIN_SIDE, Box
from openpose_ext.stages.preprocess import PADDING
from openpose_ext.types.arrays import Picture
from openpose_ext.types.geometry import Geometry

__all__ = ["HandDetector", "Sighting"]

Floats = npt.NDArray[np.float32]

# Longer sides of the picture, in sides of the crop: a hand fills about 0.57 of its crop, so these
# are hands of all of the picture down to a seventh of it.
_SIZES = (0.6, 0.85, 1.2, 1.7, 2.4, 3.4)
_HAND = 0.57
_LEAST = 0.25  # mean of the points' highest heats
_MOST = 24  # places of a picture, the best
_NEAR = 0.3  # sides of the square, between the centres of two sights of one place
_ALIKE = 1.6  # of their sides


@dataclass(frozen=True)
class Sighting:
    """Where a hand may be.

    box       around it
    mirrored  whether it looks like a right hand in the mirror image: it is a left one
    score     the mean of its points' highest heats
    """

    box: Box
    mirrored: bool
    score: float


class HandDetector:
    """Finds places where hands may be.

    network  of maps, that takes pictures of any size

    Raises ValueError for another network.
    """

    def __init__(self, network: CropNetwork) -> None:
        if network.regresses or network.fixed_size is not None:
            raise ValueError(
                "hands are looked for in whole pictures by a network of maps that takes any size"
            )
        self._network = network

    def __call__(self, picture: Picture) -> list[Sighting]:
        """The places, the surest first, each once."""
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
            # Grey all around, so that hands at the edge lie in the middle of a crop, too.
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
    """x, y in cells, and score, of places around which all points' heats are high."""
    side = 2 * round(hand / 2) + 1
    window = np.ones((side, side), np.uint8)
    highest = np.zeros(heat.shape[1:], np.float32)
    for one in heat:
        highest += cv2.dilate(np.ascontiguousarray(np.nan_to_num(one)), window)
    highest /= len(heat)
    # A window that holds the hand whole is as good as its neighbours: the middle of them counts.
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
