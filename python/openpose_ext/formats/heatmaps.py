"""Heat maps and fields in the layout of OpenPose's `--write_heatmaps`.

The requested maps come in this order: parts, background, fields (PAFs, by channel). They have the
size of the network's input. OpenPose's `--heatmaps_scale` sets the range of their values:

| scale       | parts, background          | fields                             |
| ----------- | -------------------------- | ---------------------------------- |
| 0           | -1 to 1                    | -1 to 1                            |
| 1           | 0 to 1                     | 0 to 1; nothing is 0.5             |
| 2 (default) | whole numbers 0 to 255     | whole numbers 0 to 257; nothing is 129 |
| 3           | as the network gives them  | as the network gives them          |
"""

from __future__ import annotations

import numpy as np

from openpose_ext.types.arrays import Floats
from openpose_ext.types.topology import Topology

__all__ = ["HEATMAP_SCALES", "heatmaps"]

HEATMAP_SCALES = (0, 1, 2, 3)


def heatmaps(
    heat: Floats,
    paf: Floats,
    topology: Topology,
    *,
    parts: bool = False,
    background: bool = False,
    pafs: bool = False,
    scale: int = 2,
    stride: int = 8,
) -> Floats:
    """The requested maps in OpenPose's order, size and units: (C, h * stride, w * stride) float32.

    heat    (K or K + 1, h, w) float32, the network's output; the last of K + 1 is the background
    paf     (2 L, h, w) float32, in the order of the network's channels
    stride  network pixels per map cell; as in OpenPose, the maps are enlarged by this factor, with
            cubic interpolation, before their values are scaled. 1 keeps the size.

    Raises ValueError if no map is requested, the scale is unknown, the channels do not fit the
    skeleton, or the background is requested but `heat` has none.
    """
    if scale not in HEATMAP_SCALES:
        raise ValueError(f"heatmaps_scale must be 0 to 3, not {scale}")
    count = len(topology.parts)
    if len(heat) not in (count, count + 1) or len(paf) != topology.paf_count:
        raise ValueError(
            f"{len(heat)} heat maps and {len(paf)} fields do not fit {topology.name}, which has "
            f"{count} (+ background) and {topology.paf_count}"
        )
    if background and len(heat) == count:
        raise ValueError("the network has no background map")
    chosen = [
        *([_in_units(_enlarged(heat[:count], stride), scale, 0.0)] if parts else []),
        *([_in_units(_enlarged(heat[count:], stride), scale, 0.0)] if background else []),
        *([_in_units(_enlarged(paf, stride), scale, -1.0)] if pafs else []),
    ]
    if not chosen:
        raise ValueError("no maps are requested; choose parts, background or fields")
    return np.concatenate(chosen)


def _enlarged(maps: Floats, stride: int) -> Floats:
    """(C, h, w) maps with `stride` numbers for each, cubic."""
    if stride == 1:
        return maps
    import cv2

    size = maps.shape[2] * stride, maps.shape[1] * stride
    return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_CUBIC) for one in maps])


def _in_units(maps: Floats, scale: int, least: float) -> Floats:
    """Convert maps from the range `least` to 1 to the units of the scale; clip values outside."""
    if scale == 3:
        return maps
    cut = np.clip(maps, least, 1.0)
    if scale == 0:
        return cut if least < 0 else 2 * cut - 1
    if scale == 1:
        return 0.5 * cut + 0.5 if least < 0 else cut
    # The factor of the fields is OpenPose's, although the result exceeds 255.
    wide = 128.5 * cut + 128.5 if least < 0 else 255 * cut
    return np.asarray(np.floor(wide + 0.5), np.float32)  # half up
