"""Keeps the people of all frames in a hidden file until the last frame, for formats that begin with
the number of frames or people, or that have one file per person."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openpose_ext.formats.tables import as_text
from openpose_ext.io.whole import PartFile
from openpose_ext.types.arrays import Floats
from openpose_ext.types.frame import Frame

__all__ = ["Spool", "When"]


class When(NamedTuple):
    """A frame: its source, its number there, and its time in seconds, None for a picture."""

    source: str
    number: int
    time: float | None


class Spool:
    """Named float32 values of people, by person and frame.

    path    path of the later result; the hidden file lies in the same folder
    frames  the frames added so far

    It needs some 100 bytes of memory per frame and 24 per person and frame. If the names change
    from frame to frame, all names are kept, and values that a person lacks are NaN. Raises OSError
    if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = PartFile(path)
        with self._file.failing():
            self._values = self._file.part.open("w+b")
        self._end = 0
        self._layouts: list[tuple[str, ...]] = []
        self._places: dict[int, array[int]] = {}  # by person: row, layout, offset, row, layout, ...
        self.frames: list[When] = []

    def add(
        self, frame: Frame, people: Sequence[int], names: tuple[str, ...], values: Floats
    ) -> None:
        """Add a frame.

        people  P numbers, the same for a person in all frames
        names   N names of values
        values  (P, N) float32, NaN for missing ones
        """
        source = as_text(frame.source)
        if self.frames and self.frames[-1].source == source:
            source = self.frames[-1].source  # share one text between all frames
        row = len(self.frames)
        self.frames.append(When(source, frame.index, frame.time))
        if names not in self._layouts:
            self._layouts.append(names)
        layout = self._layouts.index(names)
        for person, one in zip(people, np.asarray(values, np.float32), strict=True):
            self._values.write(one.tobytes())
            self._places.setdefault(person, array("q")).extend((row, layout, self._end))
            self._end += one.nbytes

    @property
    def people(self) -> list[int]:
        """The numbers of all people who were seen, sorted."""
        return sorted(self._places)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all values, in the order in which they first came."""
        return tuple(dict.fromkeys(name for layout in self._layouts for name in layout))

    def clock(self, rate: float) -> tuple[list[int], list[float]]:
        """The number and the time in seconds of each frame.

        rate  frames per second, for frames without times

        If the numbers do not rise, as those of pictures, frames are counted from 0.
        """
        numbers = [frame.number for frame in self.frames]
        if any(b <= a for a, b in pairwise(numbers)):
            numbers = [*range(len(numbers))]
        return numbers, [
            number / rate if frame.time is None else frame.time
            for number, frame in zip(numbers, self.frames, strict=True)
        ]

    def rows(self, person: int) -> npt.NDArray[np.int64]:
        """The indices of the `frames` in which the person was seen."""
        return np.array(self._places[person][::3], np.int64)

    def seen(
        self, person: int, names: Sequence[str]
    ) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """The indices of a person's `frames`, and the person's values of these names in them."""
        self._values.flush()
        to = [[names.index(name) if name in names else -1 for name in own] for own in self._layouts]
        places = self._places[person]
        for row, layout, offset in zip(places[::3], places[1::3], places[2::3], strict=True):
            size = 4 * len(self._layouts[layout])
            stored = np.frombuffer(os.pread(self._values.fileno(), size, offset), np.float32)
            values = np.full(len(names) + 1, np.nan, np.float32)
            values[to[layout]] = stored  # other names go to the extra column at the end
            yield row, values[:-1]

    def table(self, person: int, names: Sequence[str]) -> npt.NDArray[np.float32]:
        """A person's values (n, N) from the first to the last frame; NaN where not seen."""
        rows = self.rows(person)
        values = np.full((rows[-1] - rows[0] + 1, len(names)), np.nan, np.float32)
        for row, one in self.seen(person, names):
            values[row - rows[0]] = one
        return values

    def close(self) -> None:
        """Remove the hidden file. May be called again."""
        try:
            self._values.close()  # may fail on a full disk
        finally:
            self._file.discard()
