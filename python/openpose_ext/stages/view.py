"""A square of the picture as the input of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from openpose_ext.stages.preprocess import PADDING
from openpose_ext.types.arrays import Picture
from openpose_ext.types.geometry import moved

__all__ = ["View"]

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class View:
    """Maps a square of the picture to a network's input.

    centre    (x, y) of the square, picture pixels
    side      of the square, picture pixels
    size      of the input, network pixels
    angle     rotation of the square in degrees, clockwise
    mirrored  whether the input is mirrored, left to right

    Pixel centres are at integers in both frames: the square spans the input from -0.5 to
    size - 0.5.
    """

    centre: tuple[float, float]
    side: float
    size: int
    angle: float = 0.0
    mirrored: bool = False

    @cached_property
    def matrix(self) -> npt.NDArray[np.float64]:
        """(2, 3): network pixels to picture pixels."""
        factor, turn = self.side / self.size, math.radians(self.angle)
        cos, sin = factor * math.cos(turn), factor * math.sin(turn)
        across = -1 if self.mirrored else 1
        linear = np.array([[across * cos, -sin], [across * sin, cos]])
        middle = (self.size - 1) / 2
        shift = np.asarray(self.centre) - linear @ (middle, middle)
        return np.column_stack([linear, shift])

    def to_picture(self, points: Floats) -> Floats:
        """Network frame -> picture frame. points: (..., 2 or more), first x and y; not changed."""
        return _turned(points, self.matrix)

    def to_network(self, points: Floats) -> Floats:
        """Picture frame -> network frame, the inverse of `to_picture`."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return _turned(points, np.column_stack([linear, -linear @ self.matrix[:, 2]]))

    def cut(self, picture: Picture) -> Picture:
        """Cut out the input (size, size, 3); grey outside the picture.

        A larger square is halved by area averaging until it is at most 1.41 times as large as the
        input, because the filter of the warp covers no more.
        """
        import cv2

        ends = np.array([[x, y] for x in (0, self.size) for y in (0, self.size)]) - 0.5
        corners = self.to_picture(ends)
        halvings = max(0, round(math.log2(self.side / self.size)))
        shrink = 2**halvings
        # Cut out the pixels that the filters need: OpenCV cannot warp pictures of 32768 pixels.
        # The crop starts a whole number of averaged areas before the square.
        low = np.floor(corners.min(axis=0) + 0.5).astype(int) - 2 * shrink
        high = np.ceil(corners.max(axis=0)).astype(int) + 2 * shrink
        low += np.maximum(-low, 0) // shrink * shrink
        high = np.minimum(high, picture.shape[1::-1])
        if np.any(low >= high):
            return np.full((self.size, self.size, 3), PADDING, np.uint8)
        matrix = self.matrix.copy()
        matrix[:, 2] -= low
        first = np.maximum(low, 0)
        region = np.ascontiguousarray(picture[first[1] : high[1], first[0] : high[0]])
        if halvings > 0:
            region = _shrunk(region, halvings, first - low)
            matrix[:, :2] /= shrink
            matrix[:, 2] = (matrix[:, 2] + 0.5) / shrink - 0.5
        warped = cv2.warpAffine(
            region,
            matrix,
            (self.size, self.size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(PADDING,) * 3,
        )
        return np.asarray(warped, np.uint8)


def _turned(points: Floats, matrix: npt.NDArray[np.float64]) -> Floats:
    return moved(points, lambda xy: xy @ matrix[:, :2].T + matrix[:, 2])


def _shrunk(region: Picture, halvings: int, before: npt.NDArray[np.intp]) -> Picture:
    """Means of squares of 2^halvings pixels a side; pixels outside the region count as grey. Of the
    first squares, `before` (x, y) pixels lie outside the region.

    OpenCV has a fast filter for means of 2 x 2 pixels only.
    """
    import cv2

    factor = 2**halvings
    left, top = before.tolist()
    right, bottom = -(region.shape[1] + left) % factor, -(region.shape[0] + top) % factor
    means = cv2.copyMakeBorder(
        region, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(PADDING,) * 3
    )
    for _ in range(halvings):
        half = means.shape[1] // 2, means.shape[0] // 2
        means = cv2.resize(means, half, interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.uint8)
