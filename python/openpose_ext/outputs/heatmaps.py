"""Heat maps and fields as files; see `formats.heatmaps` for their content.

The suffix chooses the format. Pictures (`.png`, `.jpg`) are 8-bit grey with the maps side by side;
they need scale 2. `.float` is OpenPose's own, little-endian float32: the number of dimensions 3,
the dimensions C, h, w, and the numbers. `.npy` is NumPy's, (C, h, w) float32.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np

from openpose_ext.io.whole import write_whole
from openpose_ext.outputs.pictures import can_write, write_picture
from openpose_ext.types.arrays import Floats

__all__ = ["write_heatmaps"]


def write_heatmaps(path: str | os.PathLike[str], maps: Floats) -> None:
    """Write (C, h, w) maps in the format of the suffix.

    Raises ValueError for an unknown suffix, OutputError if the file cannot be written or the format
    cannot hold that many maps side by side.
    """
    suffix = Path(path).suffix[1:].lower()
    if suffix == "npy":
        file = io.BytesIO()
        np.save(file, maps)
        write_whole(path, file.getvalue())
    elif suffix == "float":
        head = np.array([maps.ndim, *maps.shape], "<f4")
        write_whole(path, head.tobytes() + maps.astype("<f4").tobytes())
    elif can_write(suffix):
        side_by_side = np.concatenate(list(maps), axis=1)
        write_picture(path, np.clip(side_by_side, 0, 255).astype(np.uint8))
    else:
        raise ValueError(f"{path}: heat maps are written as png, npy, float or another picture")
