"""Brings all frames of a source to the size of its first one."""

from __future__ import annotations

import warnings

import numpy as np

from openpose_ext.errors import SourceWarning
from openpose_ext.io.resize import fitted
from openpose_ext.types.arrays import Picture, Size
from openpose_ext.types.frame import Pixels

__all__ = ["Fitting"]


class Fitting:
    """Fits each frame of a source into the size of its first one; see `resize.fitted`.

    Video calls change their frame size with the connection, telephones when they are turned. The
    first such frame gives a `SourceWarning`.

    name  name of the source, for the warning
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._size: Size | None = None
        self._said = False

    def __call__(self, number: int, pixels: Picture | Pixels) -> Picture | Pixels:
        """The pixels of frame `number` if they have the first size, else a fitted picture."""
        if isinstance(pixels, np.ndarray):
            size: Size = (pixels.shape[1], pixels.shape[0])
        else:
            size = pixels.size
        self._size = self._size or size
        if size == self._size:
            return pixels
        if not self._said:
            self._said = True
            (width, height), (first_width, first_height) = size, self._size
            warnings.warn(
                f"{self._name}: frame {number} is {width} x {height} pixels; it and others of "
                f"another size are fitted into the first one's {first_width} x {first_height}",
                SourceWarning,
                stacklevel=2,
            )
        picture = pixels if isinstance(pixels, np.ndarray) else pixels.picture()
        return fitted(picture, self._size)
