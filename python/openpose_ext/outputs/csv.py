"""Tables as CSV; `formats.tables` has the columns."""

from __future__ import annotations

import csv
import os
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from openpose_ext.formats.tables import COLUMNS, as_text
from openpose_ext.outputs.tables import rows
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["CsvFile", "CsvWriter"]


class CsvFile(FrameWriter):
    """A CSV file below a line of its columns' names, which begin with `source`, `frame` and `time`;
    UTF-8. It may grow.

    empty_frames  a frame in which nobody was found has a row of these three alone
    """

    columns: ClassVar[Sequence[str]]

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        grows: bool = False,
        empty_frames: bool = False,
    ) -> None:
        super().__init__(path, grows=grows)
        self._empty_frames = empty_frames
        with self._file.failing():
            self._text = self._file.part.open("w", encoding="utf-8", newline="")
            self._rows = csv.writer(self._text, lineterminator="\n")
            self._rows.writerow(self.columns)
            self._text.flush()

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """The sources of its rows: one in which nobody was found has none, but for empty ones."""
        with path.open(encoding="utf-8", newline="") as text:
            return {row["source"] for row in csv.DictReader(text)}

    @abstractmethod
    def _rows_of(self, frame: Frame, poses: Poses) -> Sequence[Sequence[object]]:
        """The rows of a frame; its columns are `columns`."""

    def _write(self, frame: Frame, poses: Poses) -> None:
        found = self._rows_of(frame, poses)
        self._rows.writerows(found)
        if self._empty_frames and not found:
            where = (as_text(frame.source), frame.index, frame.time)
            self._rows.writerow((*where, *[None] * (len(self.columns) - len(where))))
        if self._file.grows:
            self._text.flush()  # it is there at once

    def _finish(self) -> None:
        self._text.close()

    def _release(self) -> None:
        self._text.close()


class CsvWriter(CsvFile):
    """Writes a line a part.

    Numbers are as short as still gives the same float. What is missing is empty.
    """

    columns = COLUMNS

    def _rows_of(self, frame: Frame, poses: Poses) -> Sequence[Sequence[object]]:
        found = rows(poses, frame.source, frame.index, frame.time).values()
        # As a Python float, a float32 would have the digits of the nearest double.
        short = [c.astype(str) if c.dtype == np.float32 else c for c in found]
        return [*zip(*(column.tolist() for column in short), strict=True)]
