"""Maps drawn from points: gaussians at parts, unit vectors along limbs, NaN where nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from known import THERE, UNKNOWN, Person
from layout import BACKGROUND, MAPS, PARTS, STRIDE

from openpose_ext.types.topology import COCO_18

__all__ = ["draw"]

Floats = npt.NDArray[np.float32]

SIGMA = 7.0  # of gaussians, in pixels; the teacher's
LIMB = 8.0  # half the width of a limb's field, in pixels: it falls from 1 to 0 around there
DRAWN = 0.05  # what is drawn above this is known, whatever is unknown around it
MARGIN = 0.2, 12.0  # around a person in which its unknown parts may be: of its size, and pixels


def draw(people: Sequence[Person], unknown: Sequence[Floats], grid: int) -> Floats:
    """Target maps (57, grid, grid) at stride 8.

    people   points and boxes in pixels
    unknown  polygons (n, 2) in pixels
    """
    maps = np.zeros((MAPS, grid, grid), np.float32)
    cells = (np.arange(grid, dtype=np.float32) * STRIDE) + (STRIDE - 1) / 2
    if people:
        points = np.stack([one.points for one in people])
        _draw_parts(points, cells, maps[:PARTS])
        _draw_limbs(points, cells, maps[PARTS + 1 :])
    maps[BACKGROUND] = 1 - maps[:PARTS].max(axis=0)
    blank = _unknown(people, unknown, grid)
    there = np.abs(maps)
    there[BACKGROUND] = 1 - maps[BACKGROUND]
    fields = there[PARTS + 1 :].reshape(-1, 2, grid, grid)
    fields[:] = fields.max(axis=1, keepdims=True)
    maps[blank & (there <= DRAWN)] = np.nan
    return maps


def _draw_parts(points: Floats, cells: Floats, heat: Floats) -> None:
    for k in range(PARTS):
        at = points[points[:, k, 2] == THERE, k]
        if len(at):
            x, y = (np.exp(-((cells - at[:, axis, None]) ** 2) / (2 * SIGMA**2)) for axis in (0, 1))
            heat[k] = (y[:, :, None] * x[:, None, :]).max(axis=0)


def _draw_limbs(points: Floats, cells: Floats, fields: Floats) -> None:
    for (a, b), channels in zip(COCO_18.limbs, COCO_18.paf_channels, strict=True):
        both = (points[:, a, 2] == THERE) & (points[:, b, 2] == THERE)
        begin, end = points[both, a, :2], points[both, b, :2]
        length = np.hypot(*(end - begin).T)
        begin, end, length = (value[length > 1] for value in (begin, end, length))
        if not len(length):
            continue
        along = (end - begin) / length[:, None]
        x = cells[None, None, :] - begin[:, 0, None, None]
        y = cells[None, :, None] - begin[:, 1, None, None]
        ux, uy = along[:, 0, None, None], along[:, 1, None, None]
        reach = np.clip(x * ux + y * uy, 0, length[:, None, None])
        apart = np.hypot(x - reach * ux, y - reach * uy)
        weight = np.clip(1.5 - apart / LIMB, 0, 1)
        total = np.maximum(weight.sum(axis=0), 1)
        for channel, unit in zip(channels, (ux, uy), strict=True):
            fields[channel] = (weight * unit).sum(axis=0) / total


def _unknown(
    people: Sequence[Person], unknown: Sequence[Floats], grid: int
) -> npt.NDArray[np.bool_]:
    """Cells of each map about which nothing is known."""
    blank = np.zeros((MAPS, grid, grid), np.bool_)
    everywhere = np.zeros((grid, grid), np.uint8)
    for polygon in unknown:
        corners = np.rint((polygon - (STRIDE - 1) / 2) / STRIDE).astype(np.int32)
        cv2.fillConvexPoly(everywhere, corners, 1)
    blank[:] = everywhere > 0
    for one in people:
        parts = np.flatnonzero(one.points[:, 2] == UNKNOWN)
        if not len(parts):
            continue
        margin = MARGIN[0] * max(one.box[2:]) + MARGIN[1]
        low = np.floor((one.box[:2] - margin) / STRIDE).clip(0, grid).astype(int)
        high = np.ceil((one.box[:2] + one.box[2:] + margin) / STRIDE).clip(0, grid).astype(int)
        channels = [*parts, BACKGROUND]
        for limb, xy in zip(COCO_18.limbs, COCO_18.paf_channels, strict=True):
            if limb[0] in parts or limb[1] in parts:
                channels += [PARTS + 1 + channel for channel in xy]
        blank[channels, low[1] : high[1], low[0] : high[0]] = True
    return blank
