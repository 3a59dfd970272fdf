"""The base class of all sources of frames, and the choice of frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np

from openpose_ext.errors import SourceError
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame

__all__ = ["AS_IT_IS", "Report", "Rotation", "Source", "View"]

Rotation = Literal[0, 90, 180, 270]
Report = Callable[[SourceError], object]


@dataclass(frozen=True, kw_only=True)
class View:
    """Which frames of a source are taken, and how they are turned, as OpenPose's `--frame_...` do.

    first   number of the first frame, counted from 0
    last    number of the last frame (inclusive); None or -1 for all. A source may end earlier
    step    5 takes the frames first, first + 5, first + 10, ...
    rotate  0, 90, 180 or 270 degrees counter-clockwise
    flip    mirror left and right, before rotating

    All pictures of a list count as one sequence of frames. Raises ValueError for values out of
    range, TypeError for numbers that are not whole.
    """

    first: int = 0
    last: int | None = None
    step: int = 1
    rotate: Rotation = 0
    flip: bool = False

    def __post_init__(self) -> None:
        for name in ("first", "last", "step", "rotate"):
            value = getattr(self, name)
            if not isinstance(value, Integral) and (name != "last" or value is not None):
                raise TypeError(f"{name} must be a whole number, not {value!r}")
        if self.last == -1:
            object.__setattr__(self, "last", None)
        if self.first < 0:
            raise ValueError(f"the first frame must be 0 or later, not {self.first}")
        if self.last is not None and self.last < self.first:
            raise ValueError(f"the last frame, {self.last}, comes before the first, {self.first}")
        if self.step < 1:
            raise ValueError(f"the step from frame to frame must be at least 1, not {self.step}")
        if self.rotate not in (0, 90, 180, 270):
            raise ValueError(f"frames are rotated by 0, 90, 180 or 270 degrees, not {self.rotate}")

    def takes(self, number: int) -> bool:
        """Whether frame `number` is one of those taken."""
        return (
            number >= self.first
            and (number - self.first) % self.step == 0
            and not self.is_past(number)
        )

    def is_past(self, number: int) -> bool:
        """Whether no frame from `number` on is taken."""
        return self.last is not None and number > self.last

    def count(self, total: int | None) -> int | None:
        """How many of `total` frames are taken; None if `total` is not known."""
        if total is None:
            return None
        end = total if self.last is None else min(total, self.last + 1)
        return max(0, -(-(end - self.first) // self.step))

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) that a picture of this size has after it is turned."""
        return size if self.rotate in (0, 180) else (size[1], size[0])

    def turned(self, picture: Picture) -> Picture:
        """The picture mirrored and rotated; the picture itself if there is nothing to do."""
        if not self.flip and self.rotate == 0:
            return picture
        import cv2

        if self.flip:
            picture = np.asarray(cv2.flip(picture, 1), np.uint8)
        if self.rotate == 0:
            return picture
        rotations = {
            90: cv2.ROTATE_90_COUNTERCLOCKWISE,
            180: cv2.ROTATE_180,
            270: cv2.ROTATE_90_CLOCKWISE,
        }
        return np.asarray(cv2.rotate(picture, rotations[self.rotate]), np.uint8)


AS_IT_IS = View()


class Source(ABC):
    """Frames in order, from one input or several. Iterate over it once, and close it.

    name    name for messages
    size    (width, height) of the frames, or None if it is not known or files differ
    rate    frames per second as they are yielded, or None, such as for pictures
    played_rate  frames per second at which a drawn video should play, if it differs: slow motion
    count   number of frames that will be yielded, if that is known beforehand, or None
    live    whether frames come in real time and are dropped if nobody takes them
    ahead   how many frames are worth reading before they are needed
    errors  the errors that did not end the source, in order: frames that cannot be read, a lost
            connection, a file that ends too early

    `report`, if given, is called with each of these errors when it happens, in any thread. They are
    never raised.
    """

    live = False
    ahead = 0

    def __init__(self, name: str, report: Report | None = None) -> None:
        self.name = name
        self.size: tuple[int, int] | None = None
        self.rate: float | None = None
        self.count: int | None = None
        self.errors: list[SourceError] = []
        self._report = report
        self._iterator: Iterator[Frame] | None = None

    @property
    def played_rate(self) -> float | None:
        return self.rate

    @property
    def reports(self) -> bool:
        """Whether there is a `report` function."""
        return self._report is not None

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if self._iterator is None:
            self._iterator = self._frames()
        return next(self._iterator)

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """Yield the frames; called once."""

    @abstractmethod
    def close(self) -> None:
        """Close files, devices and threads and yield no more frames; may be called again."""

    def stop(self) -> None:  # noqa: B027  # most sources never wait
        """End a wait for the next frame, from any thread. The source must still be closed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()
        # The generator refers to this object and this object to the generator: the cycle would keep
        # both, and the newest frame, until Python's garbage collector runs.
        self._iterator = iter(())

    def _failed(self, reason: str) -> None:
        self._note(SourceError(f"{self.name}: {reason}"))

    def _note(self, error: SourceError) -> None:
        self.errors.append(error)
        if self._report is not None:
            self._report(error)
