"""The square in which a hand, a face or a foot is expected."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openpose_ext.types.topology import Topology

__all__ = ["MIN_SIDE", "Box", "Parts", "boxes_around", "distance", "parts_at"]

Floats = npt.NDArray[np.floating]
Parts = dict[str, npt.NDArray[np.float64]]

MIN_SIDE = 20.0  # picture pixels; in smaller squares fingers are a pixel wide, too small to find


@dataclass(frozen=True)
class Box:
    """A square in which one hand, face or foot is expected.

    centre  (x, y) of the square, picture pixels
    side    side of the square, picture pixels
    angle   expected direction of the fingers, the forehead or the lower leg's upper end, in degrees
            clockwise from straight up; None if it is unknown
    anchor  (x, y) of the body part it belongs to: the wrist, the nose, the ankle; or None
    """

    centre: tuple[float, float]
    side: float
    angle: float | None = None
    anchor: tuple[float, float] | None = None


def parts_at(keypoints: Floats, topology: Topology, *, above: float = 0.0) -> Parts:
    """The places of the parts that score above a bound, by name. keypoints: (K, 3) x, y, score."""
    return {
        name: keypoints[part, :2].astype(np.float64)
        for part, name in enumerate(topology.parts)
        if keypoints[part, 2] > above
    }


def distance(at: Parts, a: str, b: str) -> float | None:
    """The distance between two parts; None if one is missing."""
    return math.dist(at[a], at[b]) if a in at and b in at else None


def boxes_around(boxes: npt.ArrayLike, angles: list[float | None]) -> list[Box]:
    """Squares around boxes x, y, width, height: the same centre and the longer side, with angles.

    Raises ValueError if the boxes are not (N, 4) or there are not as many angles.
    """
    table = as_boxes(boxes)
    return [
        Box((x + width / 2, y + height / 2), max(width, height), angle)
        for (x, y, width, height), angle in zip(table.tolist(), angles, strict=True)
    ]


def as_boxes(boxes: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The boxes as (N, 4) float64. Raises ValueError if they are not, or not finite."""
    table = np.asarray(boxes, np.float64)
    if table.size == 0:
        table = table.reshape(0, 4)
    if table.ndim != 2 or table.shape[1] != 4 or not np.isfinite(table).all():
        raise ValueError(
            f"boxes must be (N, 4) finite numbers x, y, width, height, not {table.shape}"
        )
    return table


def as_angles(angles: object, count: int) -> list[float | None]:
    """The angles as a list with one for each box. Raises ValueError if that is impossible."""
    chosen = [None] * count if angles is None else list(angles)  # type: ignore[call-overload]
    if len(chosen) != count:
        raise ValueError(f"{count} boxes need as many angles, not {len(chosen)}")
    if not all(angle is None or math.isfinite(angle) for angle in chosen):
        raise ValueError(f"angles must be numbers of degrees or None, not {chosen}")
    return chosen
