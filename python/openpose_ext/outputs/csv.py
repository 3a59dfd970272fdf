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
    """A CSV file in UTF-8. The first line names the columns, of which the first are `source`,
    `frame` and `time`. It may grow.

    empty_frames  write a row with only these three for each frame in which nobody was found
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
        """The sources of its rows. One in which nobody was found has only empty rows, or none."""
        with path.open(encoding="utf-8", newline="") as text:
            return {row["source"] for row in csv.DictReader(text)}

    @abstractmethod
    def _rows_of(self, frame: Frame, poses: Poses) -> Sequence[Sequence[object]]:
        """The rows of a frame, with values for all `columns`."""

    def _write(self, frame: Frame, poses: Poses) -> None:
        found = self._rows_of(frame, poses)
        self._rows.writerows(found)
        if self._empty_frames and not found:
            where = (as_text(frame.source), frame.index, frame.time)
            self._rows.writerow((*where, *[None] * (len(self.columns) - len(where))))
        if self._file.grows:
            self._text.flush()  # so that readers see the row at once

    def _finish(self) -> None:
        self._text.close()

    def _release(self) -> None:
        self._text.close()


class CsvWriter(CsvFile):
    """Writes one line per body part.

    Numbers have as few digits as give the same float32 when read. Missing values are empty.
    """

    columns = COLUMNS

    def _rows_of(self, frame: Frame, poses: Poses) -> Sequence[Sequence[object]]:
        found = rows(poses, frame.source, frame.index, frame.time).values()
        # As a Python float, a float32 would have the digits of the nearest double.
        short = [c.astype(str) if c.dtype == np.float32 else c for c in found]
        return [*zip(*(column.tolist() for column in short), strict=True)]
