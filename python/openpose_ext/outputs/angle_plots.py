"""Plots of joint angles over time, one picture per person; `formats.angles` defines the angles."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from openpose_ext.errors import OutputError
from openpose_ext.formats.angles import ANGLES, angles
from openpose_ext.outputs.person_files import PersonFiles
from openpose_ext.types.arrays import Floats
from openpose_ext.types.poses import Poses

__all__ = ["AnglePlotsWriter"]

_SIDES = {"right": "tab:orange", "left": "tab:blue"}
_JOINTS = tuple(dict.fromkeys(name.rpartition("_")[2] for name in ANGLES))
_COLUMNS = 2


class AnglePlotsWriter(PersonFiles):
    """Writes `<name>_angles_person<id>.png`, and a list of them, `<name>_angle_plots.json`.

    path  path of the list

    A picture has one plot per joint, with right and left in two colours, from the first to the last
    frame in which the person was seen. Lines are interrupted where an angle is missing. A person
    without any angle has no picture; in the list, `file` is null. Raises OutputError, naming the
    extra to install, if matplotlib is missing.
    """

    kind = "_angle_plots"
    ending = ".png"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            import matplotlib.figure  # noqa: F401  # fail before anything is written
        except ImportError as error:
            message = 'plots need matplotlib: pip install "openpose_ext[plots]"'
            raise OutputError(message) from error
        super().__init__(path)

    @property
    def _infix(self) -> str:
        return "_angles"

    def _values(self, poses: Poses) -> tuple[tuple[str, ...], Floats]:
        return ANGLES, angles(poses.keypoints, poses.topology.parts).astype(np.float32)

    def _write_person(self, file: Path, person: int) -> bool:
        from matplotlib.figure import Figure

        table = self._spool.table(person, ANGLES)
        if np.isnan(table).all():
            return False
        first, last = self._spool.rows(person)[[0, -1]]
        frames = self._spool.frames[first : last + 1]
        times = [frame.time for frame in frames]
        timed = None not in times
        along = times if timed else self._spool.clock(1.0)[0][first : last + 1]
        figure = Figure(figsize=(10, 9))
        figure.suptitle(f"Person {person}")
        figure.subplots_adjust(left=0.08, right=0.97, bottom=0.07, top=0.91, wspace=0.2)
        rows = -(-len(_JOINTS) // _COLUMNS)
        plots = figure.subplots(rows, _COLUMNS, sharex=True, squeeze=False).ravel()
        for plot, joint in zip(plots, _JOINTS, strict=True):
            for side, colour in _SIDES.items() if joint != "trunk" else [("", "black")]:
                degrees = table[:, ANGLES.index(f"{side}_{joint}".strip("_"))]
                # A dot also shows a single angle between missing ones, which a line cannot.
                plot.plot(along, degrees, ".-", ms=2, lw=1, color=colour, label=side)
            plot.set_title(joint.capitalize())
            plot.set_ylabel("degrees")
            plot.grid(alpha=0.3)
        for plot in plots[-_COLUMNS:]:
            plot.set_xlabel("seconds" if timed else "frame")
        plots[0].legend()
        figure.savefig(file, format="png", dpi=100)
        return True
