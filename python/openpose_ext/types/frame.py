"""What sources yield: a picture, or one of many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from openpose_ext.types.arrays import Box, Picture
from openpose_ext.types.poses import Poses

__all__ = ["Frame", "Pixels"]


Grey = npt.NDArray[np.uint8]


class Pixels(Protocol):
    """The source of a frame's pixels, which are only made when they are asked for. Thread-safe."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture."""

    def picture(self) -> Picture:
        """The picture: (H, W, 3) uint8 BGR, a new array."""

    def at_size(self, width: int, height: int) -> Picture:
        """The picture made larger or smaller: (height, width, 3) uint8 BGR."""

    def part_at_size(self, box: Box, width: int, height: int) -> Picture:
        """A part of the picture made larger or smaller: (height, width, 3) uint8 BGR.

        box  (x, y, width, height) of the part, inside the picture
        """

    def glance(self) -> Grey:
        """The brightness of some pixels, at most 64 x 64, spread evenly: (h, w) uint8."""


@dataclass(frozen=True)
class _Released:
    """Pixels that are gone; asking for them is a mistake of this package."""

    size: tuple[int, int]

    def picture(self) -> NoReturn:
        raise AssertionError("the frame's pixels were released")

    def at_size(self, width: int, height: int) -> NoReturn:
        self.picture()

    def part_at_size(self, box: Box, width: int, height: int) -> NoReturn:
        self.picture()

    def glance(self) -> NoReturn:
        self.picture()


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture, or a frame of a video or camera, as sources yield it.

    pixels  (H, W, 3) uint8 BGR, or a `Pixels` that makes such a picture when it is asked for
    source  the path or address it comes from
    index   its number in the source, counted from 0; frames that are left out are counted
    time    seconds since the start of the source, None for a picture
    poses   its people if they are known already, as in OpenPose's own files
    played  seconds at which its video shows it, if that differs from `time`: slow motion
    """

    pixels: Picture | Pixels
    source: str = ""
    index: int = 0
    time: float | None = None
    poses: Poses | None = None
    played: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture."""
        if isinstance(self.pixels, np.ndarray):
            return self.pixels.shape[1], self.pixels.shape[0]
        return self.pixels.size

    @property
    def image(self) -> Picture:
        """The picture (H, W, 3) uint8 BGR, made at first use and kept; it must not be changed."""
        if isinstance(self.pixels, np.ndarray):
            return self.pixels
        if "_made" not in self.__dict__:
            # Two threads may make it at the same time; both make the same picture.
            self.__dict__["_made"] = self.pixels.picture()
        made: Picture = self.__dict__["_made"]
        return made

    def without_pixels(self) -> Frame:
        """The same frame when its pixels are no longer needed: they are several megabytes."""
        return replace(self, pixels=_Released(self.size))

    def __repr__(self) -> str:
        width, height = self.size
        when = "" if self.time is None else f", {self.time:.3f} s"
        return f"Frame({self.source!r}, {self.index}{when}, {width}x{height})"
