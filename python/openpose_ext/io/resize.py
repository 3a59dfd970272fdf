"""Pictures at another size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from openpose_ext.types.arrays import Box, Picture, Size
from openpose_ext.types.frame import Frame

__all__ = [
    "at_size",
    "fitted",
    "glance",
    "part_at_size",
    "resized",
    "resized_cubic",
    "sampled",
    "where_colours_begin",
]


def at_size(frame: Frame, size: Size) -> Picture:
    """The frame's picture at another (width, height), as (height, width, 3) uint8 BGR.

    A frame of a video is resized on its way out of the video's own format, without the full-size
    picture: cheaper, and not bit-equal to resizing `Frame.image`.
    """
    if isinstance(frame.pixels, np.ndarray):
        return resized(frame.pixels, size)
    return frame.pixels.at_size(*size)


def where_colours_begin(frame: Frame, box: Box) -> Box:
    """The box (x, y, width, height) in pixels of the picture; of a video's frame perhaps a pixel
    larger on each side: it begins and ends at even pixels, because four of them share a colour.
    Such parts are resized ten times as fast."""
    if isinstance(frame.pixels, np.ndarray):
        return box
    x, y, width, height = box
    left, top = x - x % 2, y - y % 2
    right, bottom = (
        min(end + end % 2, most)
        for end, most in zip((x + width, y + height), frame.size, strict=True)
    )
    return left, top, right - left, bottom - top


def part_at_size(frame: Frame, box: Box, size: Size) -> Picture:
    """A part of the frame's picture at another (width, height): (height, width, 3) uint8 BGR.

    box  (x, y, width, height) of the part, whole pixels inside the picture

    Of a frame of a video the part alone is resized and converted from the video's own format, as
    by `at_size`.
    """
    if isinstance(frame.pixels, np.ndarray):
        x, y, width, height = box
        return resized(frame.pixels[y : y + height, x : x + width], size)
    return frame.pixels.part_at_size(box, *size)


def glance(frame: Frame) -> npt.NDArray[np.uint8]:
    """The brightness of some pixels, at most 64 x 64, spread evenly: (h, w) uint8.

    It serves to tell whether two frames show the same scene.
    """
    if isinstance(frame.pixels, np.ndarray):
        return sampled(frame.pixels[..., 1])
    return frame.pixels.glance()


def sampled(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """At most 64 x 64 samples of a plane, spread evenly; a copy."""
    rows, columns = (max(1, -(-side // 64)) for side in plane.shape)
    return plane[rows // 2 :: rows, columns // 2 :: columns].copy()


def resized(picture: Picture, size: Size) -> Picture:
    """The picture at another (width, height): averaged to shrink it, cubic to enlarge it."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    import cv2

    # Enlarging: pictures of 184 rows gave AP (coco_val, height 368) .188 cubic, .172 linear with
    # lite, .395 and .416 with mobilenet, .326 and .315 with mobilenet_thin, in 0.17 and 0.15 ms.
    shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), size, interpolation=how), np.uint8)


def fitted(picture: Picture, size: Size) -> Picture:
    """The whole picture in the middle of a black one of (width, height), as large as fits."""
    height, width = picture.shape[:2]
    factor = min(size[0] / width, size[1] / height)
    inner = max(1, round(factor * width)), max(1, round(factor * height))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[top : top + inner[1], left : left + inner[0]] = resized(picture, inner)
    return canvas


def resized_cubic(picture: Picture, size: Size) -> Picture:
    """The picture at another (width, height), cubic even where that leaves pixels out."""
    import cv2

    source = np.ascontiguousarray(picture)
    return np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_CUBIC), np.uint8)
