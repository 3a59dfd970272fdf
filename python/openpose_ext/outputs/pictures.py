"""Rendered pictures as files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import OutputError
from openpose_ext.io.whole import write_whole

__all__ = ["can_write", "write_picture"]

_ALWAYS = ("png", "jpg")  # every OpenCV writes these


def can_write(suffix: str) -> bool:
    """Whether pictures can be written in the format of a suffix such as `png`."""
    if suffix in _ALWAYS:
        return True
    import cv2

    return bool(suffix) and cv2.haveImageWriter(f"picture.{suffix}")


def write_picture(path: str | os.PathLike[str], picture: npt.NDArray[np.uint8]) -> None:
    """Write an (H, W, 3) uint8 BGR or (H, W) grey picture in the format of the suffix.

    Raises OutputError if the picture is too large for the format (sides up to 65535 pixels in JPEG,
    16383 in WebP) or the file cannot be written.
    """
    import cv2

    path = Path(path)
    height, width = picture.shape[:2]
    try:
        done, data = cv2.imencode(path.suffix, picture)
    except cv2.error as error:
        raise OutputError(
            f"{path}: {width} x {height} pixels cannot be written as {path.suffix[1:]}: {error.err}"
        ) from error
    if not done:
        raise OutputError(f"{path}: {width} x {height} pixels are too many for {path.suffix[1:]}")
    write_whole(path, data.tobytes())
