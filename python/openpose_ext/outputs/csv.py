"""Tables as CSV; `formats.tables` has the columns."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np

from openpose_ext.formats.tables import COLUMNS
from openpose_ext.outputs.tables import rows
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["CsvWriter", "sources_of_rows"]


class CsvWriter(FrameWriter):
    """Writes a line a part, below a line of the columns' names; UTF-8.

    Numbers are as short as still gives the same float. What is missing is empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        with self._file.failing():
            self._text = self._file.part.open("w", encoding="utf-8", newline="")
            self._rows = csv.writer(self._text, lineterminator="\n")
            self._rows.writerow(COLUMNS)

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """The sources of its rows: one in which nobody was found has none."""
        return sources_of_rows(path)

    def _write(self, frame: Frame, poses: Poses) -> None:
        found = rows(poses, frame.source, frame.index, frame.time).values()
        # As a Python float, a float32 would have the digits of the nearest double.
        short = [c.astype(str) if c.dtype == np.float32 else c for c in found]
        self._rows.writerows(zip(*(column.tolist() for column in short), strict=True))

    def _finish(self) -> None:
        self._text.close()

    def _release(self) -> None:
        self._text.close()


def sources_of_rows(path: Path) -> set[str]:
    """What stands in the column `source` of a CSV file."""
    with path.open(encoding="utf-8", newline="") as text:
        return {row["source"] for row in csv.DictReader(text)}
