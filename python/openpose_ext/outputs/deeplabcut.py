"""CSV as DeepLabCut writes it for several animals.

Four header rows, `scorer`, `individuals`, `bodyparts` and `coords`, are followed by one row per
frame. The first column is the frame's number, or a picture's path. Each person (`person<id>`) has
the columns `x`, `y` (pixels of the picture) and `likelihood` for each point, such as `RWrist`,
`left_hand_ThumbTip`, `face_Jaw0`. If a point was not seen, x and y are empty and the likelihood is
0.
"""

from __future__ import annotations

import csv
from pathlib import Path

from openpose_ext.outputs.person_files import SpooledFile
from openpose_ext.outputs.tables import in_columns, kind_first
from openpose_ext.types.arrays import Floats
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["DeepLabCutWriter"]

_SCORER = "openpose_ext"
_AXES = ("x", "y", "likelihood")


class DeepLabCutWriter(SpooledFile):
    """Writes one CSV file in DeepLabCut's form for several animals, after the last frame.

    People need ids: `write` raises ValueError without.
    """

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """The paths of its pictures; a video is not named."""
        with path.open(encoding="utf-8", newline="") as text:
            return {row[0] for row in csv.reader(text) if row}

    def _write(self, frame: Frame, poses: Poses) -> None:
        if poses.ids is None and len(poses):
            raise ValueError("DeepLabCut's individuals need people with ids; see Tracker")
        super()._write(frame, poses)

    def _values(self, poses: Poses) -> tuple[tuple[str, ...], Floats]:
        return in_columns(poses, _AXES)

    def _finish(self) -> None:
        spool, frames = self._spool, self._spool.frames
        names = kind_first(spool.names)
        people = spool.people
        seen = {person: spool.seen(person, names) for person in people}
        coming = {person: next(found) for person, found in seen.items()}
        pictures = len({frame.number for frame in frames}) < len(frames)
        # pandas would take a first row that is all empty for the name of the index.
        nothing = ["0.0" if name.endswith(_AXES[2]) else "" for name in names]
        ends = [name.rpartition("_") for name in names]
        with self._file.part.open("w", encoding="utf-8", newline="") as text:
            table = csv.writer(text, lineterminator="\n")
            table.writerow(["scorer", *(_SCORER for _ in people for _ in names)])
            table.writerow(["individuals", *(f"person{id}" for id in people for _ in names)])
            table.writerow(["bodyparts", *(part for _ in people for part, _, _ in ends)])
            table.writerow(["coords", *(axis for _ in people for _, _, axis in ends)])
            for row, frame in enumerate(frames):
                cells: list[str] = []
                for person in people:
                    at, values = coming[person]
                    if at != row:
                        cells += nothing
                        continue
                    found = zip(values.astype(str).tolist(), nothing, strict=True)
                    cells += [empty if cell == "nan" else cell for cell, empty in found]
                    coming[person] = next(seen[person], (-1, values))
                table.writerow([frame.source if pictures else frame.number, *cells])
        spool.close()
