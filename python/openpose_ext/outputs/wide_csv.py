"""CSV with one file per person and one row per frame: `--csv_layout wide`. See `formats.tables`."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from openpose_ext.outputs.person_files import PersonFiles
from openpose_ext.outputs.tables import in_columns, kind_first
from openpose_ext.types.arrays import Floats
from openpose_ext.types.poses import Poses

__all__ = ["WideCsvWriter"]


class WideCsvWriter(PersonFiles):
    """Writes `<name>_person<id>.csv`, and a list of them, `<name>_wide.json`.

    path          path of the list
    empty_frames  write a row for every frame into each file; otherwise only from the person's first
                  frame to the last

    Columns are `source`, `frame` and `time` as in the long table, then x, y and score of each
    point, such as `RWrist_x` and `left_hand_ThumbTip_score`; see `formats.tables`. Numbers have as
    few digits as give the same float32 when read. Missing values are empty.
    """

    kind = "_wide"
    ending = ".csv"

    def __init__(self, path: str | os.PathLike[str], *, empty_frames: bool = False) -> None:
        super().__init__(path)
        self._empty_frames = empty_frames

    def _values(self, poses: Poses) -> tuple[tuple[str, ...], Floats]:
        return in_columns(poses, ("x", "y", "score"))

    def _write_person(self, file: Path, person: int) -> bool:
        names = kind_first(self._spool.names)
        frames = self._spool.frames
        seen = self._spool.seen(person, names)
        rows = self._spool.rows(person)
        next_row, values = next(seen)
        wanted = range(len(frames)) if self._empty_frames else range(rows[0], rows[-1] + 1)
        nothing = [""] * len(names)
        with file.open("w", encoding="utf-8", newline="") as text:
            table = csv.writer(text, lineterminator="\n")
            table.writerow(["source", "frame", "time", *names])
            for row in wanted:
                cells = nothing
                if row == next_row:
                    # As a Python float, a float32 would have the digits of the nearest double.
                    cells = ["" if cell == "nan" else cell for cell in values.astype(str).tolist()]
                    next_row, values = next(seen, (-1, values))
                table.writerow([*frames[row], *cells])
        return True
