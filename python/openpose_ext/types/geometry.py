"""The three coordinate frames of a point, and conversions between them.

picture   pixels of the source picture
network   pixels of the network's input
maps      cells of the network's output, one every `stride` network pixels

Points are (x, y), x to the right and y down. Pixel centres are at integers in the picture and
network frames; map cell (column j, row i) is centred on network pixel
((j + 0.5) * stride - 0.5, (i + 0.5) * stride - 0.5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from openpose_ext.types.arrays import Box

__all__ = ["Geometry", "moved"]

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Geometry:
    """How a picture maps to a network's input, and the input to its output maps.

    picture   (width, height) of the picture, pixels
    network   (width, height) of the network input, pixels
    content   (width, height) of the picture's image inside the input, pixels; the rest is padding
    factor    (x, y) of the resize, network pixels per picture pixel; a resize by f takes x to
              (x + 0.5) * f - 0.5, as cv2.resize does
    offset    (x, y) of the content's first pixel in the input
    stride    network pixels per map cell
    region    (x, y, width, height) in pixels of the part of the picture that the content shows;
              None for the whole picture
    lift      picture pixels by which the network finds people too high; see `Manifest`

    Raises ValueError if a size or factor is not positive, or if the content reaches outside the
    input or the region outside the picture.
    """

    picture: tuple[int, int]
    network: tuple[int, int]
    content: tuple[int, int]
    factor: tuple[float, float]
    offset: tuple[int, int] = (0, 0)
    stride: int = 8
    region: Box | None = None
    lift: float = 0.0

    def __post_init__(self) -> None:
        sizes = (*self.picture, *self.network, *self.content, *self.factor, self.stride)
        if not all(np.isfinite(size) and size > 0 for size in sizes):
            raise ValueError(f"sizes, factors and stride must be positive: {self}")
        for axis in range(2):
            if self.offset[axis] < 0 or self.offset[axis] + self.content[axis] > self.network[axis]:
                raise ValueError(f"the content does not lie inside the network input: {self}")
            first, length = self.shown[axis], self.shown[axis + 2]
            if first < 0 or length < 1 or first + length > self.picture[axis]:
                raise ValueError(f"the region does not lie inside the picture: {self}")

    @property
    def shown(self) -> Box:
        """(x, y, width, height) of the part of the picture that the content shows."""
        return self.region or (0, 0, *self.picture)

    @classmethod
    def of_maps(cls, width: int, height: int, stride: int = 8) -> Geometry:
        """The geometry of maps that belong to no picture: the picture frame equals the network
        frame.

        width, height: cells of the maps.
        """
        size = (width * stride, height * stride)
        return cls(picture=size, network=size, content=size, factor=(1.0, 1.0), stride=stride)

    @cached_property
    def maps_to_picture(self) -> tuple[float, float, float, float]:
        """(scale_x, shift_x, scale_y, shift_y): x_picture = scale_x * x_map + shift_x, y alike."""
        affine: list[float] = []
        for factor, offset, first in zip(self.factor, self.offset, self.shown[:2], strict=True):
            affine += [self.stride / factor, (0.5 * self.stride - offset) / factor - 0.5 + first]
        return affine[0], affine[1], affine[2], affine[3] + self.lift

    def to_network(self, points: Floats) -> Floats:
        """Picture frame -> network frame. points: (..., 2 or more), x and y first; a copy."""
        factor, offset, first = map(np.asarray, (self.factor, self.offset, self.shown[:2]))
        return _scaled(points, factor, 0.5 * factor - 0.5 + offset - factor * first)

    def to_picture(self, points: Floats) -> Floats:
        """Network frame -> picture frame, the inverse of `to_network`."""
        factor, offset, first = map(np.asarray, (self.factor, self.offset, self.shown[:2]))
        return _scaled(points, 1.0 / factor, (0.5 - offset) / factor - 0.5 + first)

    def from_maps(self, points: Floats) -> Floats:
        """Map cells -> picture frame. points: (..., 2 or more), x and y first; a copy."""
        scale_x, shift_x, scale_y, shift_y = self.maps_to_picture
        return _scaled(points, np.array([scale_x, scale_y]), np.array([shift_x, shift_y]))


def moved(points: Floats, move: Callable[[Floats], Floats]) -> Floats:
    """Apply `move` to x and y of points (..., 2 or more); copy all further columns.

    Integers become float64; floating-point types stay as they are.
    """
    source = np.asarray(points)
    if source.ndim == 0 or source.shape[-1] < 2:
        raise ValueError(f"points must be (..., 2 or more) with x, y first, not {source.shape}")
    dtype = source.dtype if np.issubdtype(source.dtype, np.floating) else np.float64
    copy = source.astype(dtype, copy=True)
    copy[..., :2] = move(source[..., :2])
    return copy


def _scaled(points: Floats, scale: Floats, shift: Floats) -> Floats:
    """Scale and shift x and y in double precision."""
    return moved(points, lambda xy: xy * scale + shift)
