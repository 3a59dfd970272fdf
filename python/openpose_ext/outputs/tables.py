"""The people of a frame as rows of a table; see `formats.tables` for the columns."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from openpose_ext.formats.tables import columns
from openpose_ext.types.poses import Poses

__all__ = ["rows"]


def rows(poses: Poses, source: str, frame: int, time: float | None) -> dict[str, npt.NDArray[Any]]:
    """The rows of the people of one frame: arrays of equal length, by column."""
    return columns(
        poses.keypoints,
        poses.topology.parts,
        hands=poses.hands,
        faces=poses.faces,
        ids=poses.ids,
        source=source,
        frame=frame,
        time=time,
    )
