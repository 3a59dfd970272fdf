"""Makes the network input of a picture, and the geometry for the way back.

The picture is resized into the top-left corner of the network's input; the rest is grey. Shrinking
averages areas, so that small people are not lost between samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import numpy as np

from openpose_ext.io.resize import at_size, resized_cubic
from openpose_ext.types.arrays import Picture, Size
from openpose_ext.types.frame import Frame
from openpose_ext.types.geometry import Geometry

__all__ = ["HEIGHT", "LONGEST", "PADDING", "Fit", "Picture", "Preprocessing", "Resize", "padded"]

Fit = Literal["pad", "stretch"]
Resize = Literal["area", "seed", "cubic"]

HEIGHT = 368  # network pixels; the height the original networks were trained at
LONGEST = 1312 / 368  # width over height of the network input; bounds time and memory for panoramas
PADDING = 128  # becomes 0 after the original normalisation, x / 256 - 0.5


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Resizes and pads pictures for a network; call it with a picture.

    height      rows of the picture's image in the input; the network's height is this rounded up
                to the stride, its width follows the picture's aspect ratio
    fit         "pad" keeps the aspect ratio, the image lies top-left and the rest is 128;
                "stretch" fills the same input to its edges, each axis with its own factor
    max_pixels  limit of the input's width x height; longer pictures are made smaller
    stride      network pixels per map cell
    fixed_size  (width, height) if the network takes only this size: the largest image that fits is
                used, and `height` and `max_pixels` have no effect
    resize      "area" averages when it shrinks and is cubic when it enlarges;
                "seed" is always cubic with the sampling step 1 / factor and sizes rounded half to
                            even, which gives the same bytes as pytorch-openpose;
                "cubic" is always cubic, without averaging

    Raises ValueError for values that are out of range or contradict each other.
    """

    height: int = HEIGHT
    fit: Fit = "pad"
    max_pixels: int | None = None
    stride: int = 8
    fixed_size: Size | None = None
    resize: Resize = "area"

    def __post_init__(self) -> None:
        if self.fit not in ("pad", "stretch"):
            raise ValueError(f'fit must be "pad" or "stretch", not {self.fit!r}')
        if self.resize not in ("area", "seed", "cubic"):
            raise ValueError(f'resize must be "area", "seed" or "cubic", not {self.resize!r}')
        if self.resize == "seed" and (self.fit != "pad" or self.fixed_size is not None):
            raise ValueError(
                'resize="seed" has one factor for both axes: it needs fit="pad" and no fixed size'
            )
        for name in ("height", "stride", "max_pixels"):
            value = getattr(self, name)
            if name == "max_pixels" and value is None:
                continue
            if not isinstance(value, Integral):
                raise TypeError(f"{name} must be a whole number of pixels, not {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1 pixel, not {value}")
        if self.max_pixels is not None and self.max_pixels < self.stride**2:
            raise ValueError(
                f"max_pixels must hold one map cell of {self.stride} x {self.stride} pixels, "
                f"not {self.max_pixels}"
            )

    def __call__(self, picture: Picture | Frame) -> tuple[Picture, Geometry]:
        """Make the network's input of one picture, and the geometry for the way back.

        picture  (H, W, 3) uint8, BGR, not changed; or a frame, which may have a faster way to
                 resize its picture (`Frame.at_size`)
        Returns  (h, w, 3) uint8 BGR, its own memory; h and w are multiples of the stride unless
                 the size is fixed
        """
        frame = picture if isinstance(picture, Frame) else Frame(picture)
        size = frame.size
        content = self.content_size(size)
        if self.resize == "seed":
            image, factor = _resized_as_seed(frame.image, content)
            content = image.shape[1], image.shape[0]
        else:
            cubic = self.resize == "cubic"
            image = resized_cubic(frame.image, content) if cubic else at_size(frame, content)
            factor = content[0] / size[0], content[1] / size[1]
        network = self.fixed_size or self._rounded_up(content)
        geometry = Geometry(
            picture=size,
            network=network,
            content=content,
            factor=factor,
            stride=self.stride,
        )
        return padded(image, network), geometry

    def input_size(self, picture: Size) -> Size:
        """(width, height) of the network's input for a picture of this size."""
        return self.fixed_size or self._rounded_up(self.content_size(picture))

    def content_size(self, picture: Size) -> Size:
        """(width, height) of the resized picture inside the input."""
        size = self._size_of_one_factor(picture)
        return size if self.fit == "pad" else self.fixed_size or self._rounded_up(size)

    def _size_of_one_factor(self, picture: Size) -> Size:
        width, height = picture
        if self.fixed_size is not None:
            factor = min(self.fixed_size[0] / width, self.fixed_size[1] / height)
            return _scaled(width, factor), _scaled(height, factor)
        if self.max_pixels is None:
            return _scaled(width, self.height / height), self.height

        for rows in range(min(self.height, self.max_pixels // self.stride), 0, -1):
            size = _scaled(width, rows / height), rows
            if math.prod(self._rounded_up(size)) <= self.max_pixels:
                return size
        # Even one row is too long: use a strip of one cell's height with the largest allowed
        # length.
        return self.max_pixels // self.stride**2 * self.stride, 1

    def _rounded_up(self, size: Size) -> Size:
        stride = self.stride
        return -(-size[0] // stride) * stride, -(-size[1] // stride) * stride


def _scaled(length: int, factor: float) -> int:
    return max(1, round(length * factor))


def _resized_as_seed(picture: Picture, content: Size) -> tuple[Picture, tuple[float, float]]:
    """Resize cubically by a factor instead of to a size, so that cv2 steps by exactly 1 /
    factor."""
    import cv2

    factor = content[1] / picture.shape[0]
    source = np.ascontiguousarray(picture)
    if round(source.shape[1] * factor) < 1:  # pytorch-openpose fails here
        image = cv2.resize(source, content, interpolation=cv2.INTER_CUBIC)
        return np.asarray(image, np.uint8), (content[0] / source.shape[1], factor)
    image = cv2.resize(source, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return np.asarray(image, np.uint8), (factor, factor)


def padded(image: Picture, network: Size) -> Picture:
    """Put the image into the top-left corner of an input of (width, height); the rest is grey."""
    width, height = network
    padded = np.empty((height, width, 3), np.uint8)
    rows, columns = image.shape[:2]
    padded[:rows, :columns] = image
    padded[rows:] = PADDING
    padded[:rows, columns:] = PADDING
    return padded
