"""Heat maps and fields as OpenPose's `--write_heatmaps` lays them out.

The maps asked for stand in this order: parts, background, fields (PAFs, by channel). They are as
large as the network's input. What their numbers mean is OpenPose's `--heatmaps_scale`:

| scale       | parts, background          | fields                             |
| ----------- | -------------------------- | ---------------------------------- |
| 0           | -1 to 1                    | -1 to 1                            |
| 1           | 0 to 1                     | 0 to 1; nothing is 0.5             |
| 2 (default) | whole numbers 0 to 255     | whole numbers 0 to 257; nothing is 129 |
| 3           | as the network gives them  | as the network gives them          |
"""

from __future__ import annotations

import cv2
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
    """The maps asked for, in OpenPose's order, size and units: (C, h * stride, w * stride) float32.

    heat    (K or K + 1, h, w) float32, as networks give them; the last of K + 1 is the background
    paf     (2 L, h, w) float32, in the order of the network's channels
    stride  network pixels a map cell; the maps are enlarged by it, cubically, before they are
            scaled, as OpenPose does. 1 keeps them as they are.

    Raises ValueError if no map is asked for, the scale is unknown, the channels do not fit the
    skeleton, or the background is asked for and `heat` has none.
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
        raise ValueError("the network gives no background map")
    chosen = [
        *([_in_units(_enlarged(heat[:count], stride), scale, 0.0)] if parts else []),
        *([_in_units(_enlarged(heat[count:], stride), scale, 0.0)] if background else []),
        *([_in_units(_enlarged(paf, stride), scale, -1.0)] if pafs else []),
    ]
    if not chosen:
        raise ValueError("no maps are asked for: parts, background or fields")
    return np.concatenate(chosen)


def _enlarged(maps: Floats, stride: int) -> Floats:
    """(C, h, w) maps with `stride` numbers for each, cubic."""
    if stride == 1:
        return maps
    size = maps.shape[2] * stride, maps.shape[1] * stride
    return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_CUBIC) for one in maps])


def _in_units(maps: Floats, scale: int, least: float) -> Floats:
    """Maps of numbers from `least` to 1 in the units of the scale; beyond is cut off."""
    if scale == 3:
        return maps
    cut = np.clip(maps, least, 1.0)
    if scale == 0:
        return cut if least < 0 else 2 * cut - 1
    if scale == 1:
        return 0.5 * cut + 0.5 if least < 0 else cut
    # The fields' factor is OpenPose's, though it passes 255.
    wide = 128.5 * cut + 128.5 if least < 0 else 255 * cut
    return np.asarray(np.floor(wide + 0.5), np.float32)  # half up
