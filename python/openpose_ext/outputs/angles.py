"""Angles of joints as CSV; `formats.angles` has their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from openpose_ext.formats.angles import ANGLES, angles
from openpose_ext.formats.tables import as_text
from openpose_ext.outputs.csv import CsvFile
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["AnglesWriter"]


class AnglesWriter(CsvFile):
    """Writes one line per person and frame.

    Columns are `source`, `frame`, `time`, `person` and `id` as in `formats.tables`, then the angles
    in degrees, with two decimals. Missing values are empty.
    """

    columns = ("source", "frame", "time", "person", "id", *ANGLES)

    def _rows_of(self, frame: Frame, poses: Poses) -> Sequence[Sequence[object]]:
        source = as_text(frame.source)
        found = angles(poses.keypoints, poses.topology.parts).tolist()
        ids = [-1] * len(poses) if poses.ids is None else poses.ids.tolist()
        lines = []
        for person, (one, degrees) in enumerate(zip(ids, found, strict=True)):
            rounded = ["" if math.isnan(value) else round(value, 2) for value in degrees]
            known = one if one >= 0 else None
            lines.append([source, frame.index, frame.time, person, known, *rounded])
        return lines
