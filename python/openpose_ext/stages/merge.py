"""Merges the maps of several passes over one picture into one set of maps.

A pass is one run of the network at one scale, perhaps on the mirrored picture. All passes have
equal weights (unlike in pytorch-openpose, where the first scale counts 2^(M-1) times as much as the
last).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openpose_ext import _core
from openpose_ext.types.geometry import Geometry
from openpose_ext.types.topology import COCO_18, Topology

__all__ = ["Pass", "merge"]

Floats = npt.NDArray[np.floating]
# For every merged channel, the channel of the pass and its sign.
Channels = tuple[list[int], list[float]]


@dataclass(frozen=True, eq=False)
class Pass:
    """One run of the network.

    heat      (K or K + 1, h, w) float32 or float16
    paf       (2 L, h, w), of the same type
    geometry  of these maps in the picture; for a mirrored pass in the mirrored picture
    mirrored  whether the picture was mirrored left to right
    weight    weight in the mean
    """

    heat: Floats
    paf: Floats
    geometry: Geometry
    mirrored: bool = False
    weight: float = 1.0


def merge(
    passes: Sequence[Pass], topology: Topology = COCO_18, *, grid: Geometry | None = None
) -> tuple[Floats, Floats, Geometry]:
    """The weighted mean of all passes, on one grid of cells.

    grid  geometry of the merged maps; None takes that of the finest pass that is not mirrored

    In mirrored passes, left and right parts and limbs are exchanged and the sign of the fields' x
    is changed. Passes are resampled with the cubic kernel of `cv2.resize`. A single pass is
    returned unchanged unless a grid is given.

    Returns (heat, paf, geometry). Raises ValueError if all passes are mirrored, if the passes
    belong to different pictures, or if the topology of a mirrored pass has no mirror image.
    """
    straight = [one for one in passes if not one.mirrored]
    if not straight:
        raise ValueError("at least one pass must not be mirrored")
    if any(one.geometry.picture != passes[0].geometry.picture for one in passes):
        raise ValueError("the passes are of pictures of different sizes")
    finest = max(straight, key=lambda one: one.geometry.factor[1])
    if len(passes) == 1 and grid is None:
        return finest.heat, finest.paf, finest.geometry
    grid = grid or finest.geometry
    heat = _mean(passes, "heat", grid, topology)
    paf = _mean(passes, "paf", grid, topology)
    return heat, paf, grid


def _mean(
    passes: Sequence[Pass], name: str, geometry: Geometry, topology: Topology
) -> npt.NDArray[np.float32]:
    count = min(len(getattr(one, name)) for one in passes)
    width, height = (side // geometry.stride for side in geometry.network)
    arguments = []
    for one in passes:
        channels, signs = list(range(count)), [1.0] * count
        if one.mirrored:
            channels, signs = (
                _mirrored_parts(topology, count) if name == "heat" else _mirrored_fields(topology)
            )
        affine = _cells_to_cells(geometry, one.geometry, one.mirrored)
        arguments.append((getattr(one, name), affine, channels, signs))
    return _core.merge(arguments, (width, height), [one.weight for one in passes])


def _cells_to_cells(
    merged: Geometry, source: Geometry, mirrored: bool
) -> tuple[float, float, float, float]:
    """The mapping from merged cells to the source's cells: scale and shift of x, then of y."""
    to_x, shift_x, to_y, shift_y = merged.maps_to_picture
    from_x, back_x, from_y, back_y = source.maps_to_picture
    if mirrored:
        first, _, count, _ = source.shown
        to_x, shift_x = -to_x, 2 * first + count - 1 - shift_x
    return to_x / from_x, (shift_x - back_x) / from_x, to_y / from_y, (shift_y - back_y) / from_y


def _mirrored_parts(topology: Topology, count: int) -> Channels:
    parts = len(topology.parts)
    background = list(range(parts, count))
    return [*topology.mirror, *background][:count], [1.0] * count


def _mirrored_fields(topology: Topology) -> Channels:
    limbs = {limb: index for index, limb in enumerate(topology.limbs)}
    channels = [0] * topology.paf_count
    signs = [1.0] * topology.paf_count
    for (a, b), (x, y) in zip(topology.limbs, topology.paf_channels, strict=True):
        twin = limbs.get((topology.mirror[a], topology.mirror[b]))
        if twin is None:
            raise ValueError(f"limb ({a}, {b}) of {topology.name} has no mirror image")
        channels[x], channels[y] = topology.paf_channels[twin]
        signs[x] = -1.0
    return channels, signs
