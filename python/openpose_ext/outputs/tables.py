"""The people of a frame as rows of a table; see `formats.tables` for the columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from openpose_ext.formats.tables import KINDS, columns, points_by_name
from openpose_ext.types.arrays import Floats
from openpose_ext.types.poses import Poses

__all__ = ["in_columns", "kind_first", "rows"]


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


def in_columns(poses: Poses, axes: tuple[str, str, str]) -> tuple[tuple[str, ...], Floats]:
    """The points of the people of one frame as one row per person.

    axes  the endings for x, y and score

    Returns N names such as `RWrist_x` or `left_hand_ThumbTip_x` (see `formats.tables`) and (P, N)
    float32 values, NaN for missing points.
    """
    points = points_by_name(
        poses.keypoints, poses.topology.parts, hands=poses.hands, faces=poses.faces
    )
    names = tuple(f"{name}_{axis}" for name in points for axis in axes)
    joined = np.stack([*points.values()], axis=1)
    values = np.where(joined[..., 2:] > 0, joined, np.float32(np.nan))
    return names, values.reshape(len(poses), len(names))


def kind_first(names: Sequence[str]) -> list[str]:
    """Column names sorted by the kind of their points, bodies first, otherwise in the same order.

    Sorting is needed if only some frames of a source have hands.
    """

    def kind(name: str) -> int:
        return next((k for k, kind in enumerate(KINDS[1:], 1) if name.startswith(f"{kind}_")), 0)

    return sorted(names, key=kind)
