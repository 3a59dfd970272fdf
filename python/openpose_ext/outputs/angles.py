"""Angles of joints as CSV; `formats.angles` has their definitions."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

from openpose_ext.formats.angles import ANGLES, angles
from openpose_ext.outputs.csv import sources_of_rows
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["AnglesWriter"]

_COLUMNS = ("source", "frame", "time", "person", "id", *ANGLES)


class AnglesWriter(FrameWriter):
    """Writes a line a person and frame, below a line of the columns' names; UTF-8.

    Columns are `source`, `frame`, `time`, `person` and `id` as in `formats.tables`, then the angles
    in degrees, to a hundredth. What is missing is empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        with self._file.failing():
            self._text = self._file.part.open("w", encoding="utf-8", newline="")
            self._rows = csv.writer(self._text, lineterminator="\n")
            self._rows.writerow(_COLUMNS)

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """The sources of its rows: one in which nobody was found has none."""
        return sources_of_rows(path)

    def _write(self, frame: Frame, poses: Poses) -> None:
        source = frame.source.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        found = angles(poses.keypoints, poses.topology.parts).tolist()
        ids = [None] * len(poses) if poses.ids is None else poses.ids.tolist()
        for person, (known, degrees) in enumerate(zip(ids, found, strict=True)):
            rounded = ["" if math.isnan(value) else round(value, 2) for value in degrees]
            self._rows.writerow([source, frame.index, frame.time, person, known, *rounded])

    def _finish(self) -> None:
        self._text.close()

    def _release(self) -> None:
        self._text.close()
