"""What was seen of people, in a hidden file until the last frame: some formats begin with how many
frames or people there are, or have a file a person."""

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

    path    where the result will be: the hidden file lies in the same folder
    frames  those added so far

    Memory holds some 100 bytes a frame and 24 a person and frame. Whatever comes with other names
    than what came before is kept under both: what somebody lacks is NaN. Raises OSError if the file
    cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = PartFile(path)
        with self._file.failing():
            self._values = self._file.part.open("w+b")
        self._end = 0
        self._layouts: list[tuple[str, ...]] = []
        self._places: dict[int, array[int]] = {}  # row, layout and offset, again and again
        self.frames: list[When] = []

    def add(
        self, frame: Frame, people: Sequence[int], names: tuple[str, ...], values: Floats
    ) -> None:
        """Add a frame.

        people  P numbers, which stay the same from frame to frame
        names   N
        values  (P, N), NaN where something is missing
        """
        source = as_text(frame.source)
        if self.frames and self.frames[-1].source == source:
            source = self.frames[-1].source  # one text for all frames
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
        """Everybody who was seen, by number."""
        return sorted(self._places)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all values, in the order in which they came."""
        return tuple(dict.fromkeys(name for layout in self._layouts for name in layout))

    def clock(self, rate: float) -> tuple[list[int], list[float]]:
        """The number and the time in seconds of each frame.

        rate  frames a second, for frames that have no time

        Frames whose numbers do not rise, as those of pictures, are counted from 0.
        """
        numbers = [frame.number for frame in self.frames]
        if any(b <= a for a, b in pairwise(numbers)):
            numbers = [*range(len(numbers))]
        return numbers, [
            number / rate if frame.time is None else frame.time
            for number, frame in zip(numbers, self.frames, strict=True)
        ]

    def rows(self, person: int) -> npt.NDArray[np.int64]:
        """The rows of `frames` in which somebody was seen."""
        return np.array(self._places[person][::3], np.int64)

    def seen(
        self, person: int, names: Sequence[str]
    ) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """What was seen of somebody: rows of `frames`, and the values of these names."""
        self._values.flush()
        to = [[names.index(name) if name in names else -1 for name in own] for own in self._layouts]
        places = self._places[person]
        for row, layout, offset in zip(places[::3], places[1::3], places[2::3], strict=True):
            size = 4 * len(self._layouts[layout])
            stored = np.frombuffer(os.pread(self._values.fileno(), size, offset), np.float32)
            values = np.full(len(names) + 1, np.nan, np.float32)
            values[to[layout]] = stored  # what is not asked for goes behind the end
            yield row, values[:-1]

    def table(self, person: int, names: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, N) values of somebody from the first to the last row; NaN where nothing was seen."""
        rows = self.rows(person)
        values = np.full((rows[-1] - rows[0] + 1, len(names)), np.nan, np.float32)
        for row, one in self.seen(person, names):
            values[row - rows[0]] = one
        return values

    def close(self) -> None:
        """Remove the hidden file. May be called again."""
        try:
            self._values.close()  # on a full disk that may fail
        finally:
            self._file.discard()
