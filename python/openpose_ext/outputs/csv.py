"""Tables as CSV; `formats.tables` has the columns."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from openpose_ext.formats.tables import COLUMNS
from openpose_ext.outputs.tables import rows
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["CsvFile", "CsvWriter"]


class CsvFile(FrameWriter):
    """A CSV file below a line of its columns' names, `source` among them; UTF-8. It may grow."""

    columns: ClassVar[Sequence[str]]

    def __init__(self, path: str | os.PathLike[str], *, grows: bool = False) -> None:
        super().__init__(path, grows=grows)
        with self._file.failing():
            self._text = self._file.part.open("w", encoding="utf-8", newline="")
            self._rows = csv.writer(self._text, lineterminator="\n")
            self._rows.writerow(self.columns)
            self._text.flush()

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """The sources of its rows: one in which nobody was found has none."""
        with path.open(encoding="utf-8", newline="") as text:
            return {row["source"] for row in csv.DictReader(text)}

    def write(self, frame: Frame, poses: Poses) -> None:
        """Add the people of a frame; in a file that grows they are there at once."""
        super().write(frame, poses)
        if self._file.grows:
            with self._file.failing():
                self._text.flush()

    def _finish(self) -> None:
        self._text.close()

    def _release(self) -> None:
        self._text.close()


class CsvWriter(CsvFile):
    """Writes a line a part.

    Numbers are as short as still gives the same float. What is missing is empty.
    """

    columns = COLUMNS

    def _write(self, frame: Frame, poses: Poses) -> None:
        found = rows(poses, frame.source, frame.index, frame.time).values()
        # As a Python float, a float32 would have the digits of the nearest double.
        short = [c.astype(str) if c.dtype == np.float32 else c for c in found]
        self._rows.writerows(zip(*(column.tolist() for column in short), strict=True))
