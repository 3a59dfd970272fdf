"""TRC files, one per person; see `formats.trc`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from openpose_ext.formats.trc import encode, in_metres
from openpose_ext.outputs.person_files import PersonFiles
from openpose_ext.types.arrays import Floats
from openpose_ext.types.poses import Poses

__all__ = ["TrcWriter"]


class TrcWriter(PersonFiles):
    """Writes `<name>_px_person<id>.trc`, in metres `<name>_m_person<id>.trc`, and a list of them,
    `<name>_trc.json`.

    path    path of the list
    rate    frames per second; None, as for pictures, writes one per second
    height  height of the people in metres, for files in metres; None for pixels

    The body parts are the markers. There is one row per frame, from the first to the last in which
    the person was seen. A person whose whole body is in no frame has no file in metres; in the
    list, `file` is null.
    """

    kind = "_trc"
    ending = ".trc"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rate: float | None = None,
        height: float | None = None,
    ) -> None:
        super().__init__(path)
        self._rate = rate or 1.0
        self._height = height

    @property
    def _infix(self) -> str:
        return "_px" if self._height is None else "_m"

    def _values(self, poses: Poses) -> tuple[tuple[str, ...], Floats]:
        points = poses.keypoints
        xy = np.where(points[..., 2:] > 0, points[..., :2], np.float32(np.nan))
        names = tuple(f"{part}_{axis}" for part in poses.topology.parts for axis in "xy")
        return names, xy.reshape(len(poses), len(names))

    def _write_person(self, file: Path, person: int) -> bool:
        names = self._spool.names
        xy = self._spool.table(person, names).reshape(-1, len(names) // 2, 2)
        parts = [name.removesuffix("_x") for name in names[::2]]
        points: Mapping[str, npt.NDArray[np.floating]] | None
        points = {part: xy[:, k] for k, part in enumerate(parts)}
        if self._height is not None:
            points = in_metres(points, self._height)
        if points is None:
            return False
        first, last = self._spool.rows(person)[[0, -1]]
        numbers, times = self._spool.clock(self._rate)
        here = slice(first, last + 1)
        unit = "px" if self._height is None else "m"
        with file.open("w", encoding="utf-8", newline="") as text:
            text.writelines(
                encode(file.name, numbers[here], times[here], points, rate=self._rate, unit=unit)
            )
        return True
