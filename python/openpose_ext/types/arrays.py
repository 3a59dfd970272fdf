"""The arrays that travel between the stages, and sizes and boxes, by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "Floats", "Picture", "Size"]

Picture = npt.NDArray[np.uint8]  # (H, W, 3), BGR as OpenCV has it
Floats = npt.NDArray[np.float32]
Size = tuple[int, int]  # (width, height)
Box = tuple[int, int, int, int]  # (x, y, width, height)
