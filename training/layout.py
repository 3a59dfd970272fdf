"""Channels of the body maps: 18 parts, background, 38 fields; and what mirroring does to them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openpose_ext.types.topology import COCO_18

__all__ = ["BACKGROUND", "FACE_MIRROR", "MAPS", "PARTS", "STRIDE", "mirrored"]

PARTS = len(COCO_18.parts)
BACKGROUND = PARTS
MAPS = PARTS + 1 + COCO_18.paf_count
STRIDE = 8


def _mirror_table() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Where each channel of the mirrored maps comes from, and its sign."""
    source = np.arange(MAPS)
    sign = np.ones(MAPS, np.float32)
    source[:PARTS] = COCO_18.mirror
    limb_at = {limb: k for k, limb in enumerate(COCO_18.limbs)}
    for k, (a, b) in enumerate(COCO_18.limbs):
        other = limb_at[COCO_18.mirror[a], COCO_18.mirror[b]]
        for axis in (0, 1):
            to = PARTS + 1 + COCO_18.paf_channels[k][axis]
            source[to] = PARTS + 1 + COCO_18.paf_channels[other][axis]
        sign[PARTS + 1 + COCO_18.paf_channels[k][0]] = -1
    return source, sign


_SOURCE, _SIGN = _mirror_table()


def mirrored(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The maps (57, h, w) of the picture mirrored left to right."""
    return maps[_SOURCE, :, ::-1] * _SIGN[:, None, None]


# Points of iBUG and of the forehead on the other side of the face.
FACE_MIRROR = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
    68, 70, 69,
)  # fmt: skip
