"""Maps of people drawn by hand, as a network would give them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import openpose_ext as op

Floats = npt.NDArray[np.float32]
Maps = tuple[Floats, Floats]  # heat maps, fields
Points = list[tuple[float, float]]

HEIGHT, WIDTH = 46, 60  # cells

# x, y of the parts of somebody facing us; the neck at the origin, the ankles at y = 1
STANDING: Points = [
    (0, -0.16), (0, 0), (-0.17, 0.02), (-0.24, 0.25), (-0.28, 0.46), (0.17, 0.02), (0.24, 0.25),
    (0.28, 0.46), (-0.1, 0.45), (-0.11, 0.74), (-0.12, 1), (0.1, 0.45), (0.11, 0.74), (0.12, 1),
    (-0.05, -0.2), (0.05, -0.2), (-0.1, -0.17), (0.1, -0.17),
]  # fmt: skip


def empty_maps(
    height: int = HEIGHT, width: int = WIDTH, topology: op.Topology = op.COCO_18
) -> Maps:
    """Return maps of nobody."""
    heat = np.zeros((len(topology.parts) + 1, height, width), np.float32)
    return heat, np.zeros((topology.paf_count, height, width), np.float32)


def draw(maps: Maps, points: Points, topology: op.Topology = op.COCO_18) -> None:
    """Add somebody with parts at `points` (cells), fields one cell wide to either side."""
    heat, paf = maps
    rows, columns = np.mgrid[: heat.shape[1], : heat.shape[2]].astype(np.float32)
    for k, (x, y) in enumerate(points):
        blob = 0.9 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 0.875**2))
        np.maximum(heat[k], blob, out=heat[k], casting="same_kind")
    for (a, b), channels in zip(topology.limbs, topology.paf_channels, strict=True):
        start, along = np.array(points[a]), np.subtract(points[b], points[a])
        length = float(np.hypot(*along))
        x, y = columns - start[0], rows - start[1]
        ahead = (x * along[0] + y * along[1]) / length
        aside = np.abs(x * along[1] - y * along[0]) / length
        inside = (aside <= 1) & (ahead >= -1) & (ahead <= length + 1)
        for channel, component in zip(channels, along / length, strict=True):
            paf[channel][inside] = component


def standing(x: float, y: float, size: float) -> Points:
    """Return the parts, in cells, of somebody whose neck is at (x, y)."""
    return [(x + size * dx, y + size * dy) for dx, dy in STANDING]


def crowd() -> Maps:
    """Return three people of different sizes."""
    maps = empty_maps()
    for x, size in ((9.3, 20.0), (27.0, 34.0), (47.6, 26.0)):
        draw(maps, standing(x, 9.0, size))
    return maps
