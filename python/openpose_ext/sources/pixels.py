"""A decoded video frame, converted to a picture only when it is asked for.

The picture may differ from the stored pixels: these need not be square, they may have to be turned
or mirrored, and their brightness may be stored on a curve for high dynamic range.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, cast

import av.error
import numpy as np
import numpy.typing as npt
from av.buffer import Buffer
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation

from openpose_ext.errors import SourceError
from openpose_ext.io.container import reason
from openpose_ext.io.resize import resized, sampled
from openpose_ext.sources.hdr import HDR_CURVES, tone_mapped
from openpose_ext.sources.source import View
from openpose_ext.types.arrays import Box, Picture, Size

__all__ = ["VideoPixels"]

# Codes of cv2.flip that mirror left and right, and top and bottom.
_FLIPS = {(False, False): None, (True, False): 1, (False, True): 0, (True, True): -1}

# Formats with a plane of brightness and two planes of colour at half the size, out of which parts
# can be cut.
_PLANAR = ("yuv420p", "yuvj420p", "yuv420p10le")

# A header that says that pixels are more than so many times as wide as high, or the other way
# round, is damaged: H.264's table ends at 32:11.
_LONGEST_PIXEL = 4


class VideoPixels:
    """A decoded frame in the video's own format, and how to show it; see `Pixels`.

    frame   the frame from the decoder
    view    how it is turned in addition to the file's own orientation
    aspect  width of a pixel divided by its height. The picture is made wider or higher, never
            smaller

    The methods raise SourceError if the frame cannot be converted.
    """

    def __init__(self, frame: VideoFrame, view: View, aspect: Fraction = Fraction(1)) -> None:
        self._frame = frame
        self._view = view
        self._curve = frame.color_trc if frame.color_trc in HDR_CURVES else None
        width, height = _square_pixels(frame, aspect)
        self._square = width if self._curve is None else width + width % 2, height
        self._transposed, self._flip = _display_turn(frame)
        # PyAV changes fields of the frame while it converts it.
        self._lock = threading.Lock()

    @property
    def size(self) -> Size:
        """(width, height) of the picture."""
        return self._swapped(*self._square)

    def picture(self) -> Picture:
        """The picture: (H, W, 3) uint8 BGR."""
        with self._lock:
            return self._turned(self._bgr(self._squared()))

    def at_size(self, width: int, height: int) -> Picture:
        """The picture at another size, averaged if smaller: (height, width, 3) uint8 BGR."""
        width, height = self._swapped(width, height)
        shrinks = width * height < self._frame.width * self._frame.height
        how = Interpolation.AREA if shrinks else Interpolation.BICUBIC
        with self._lock:
            # Resizing first and then converting takes a third of the time of both at once, and
            # comes as close to the mean of the full-size picture's pixels.
            even = width if self._curve is None else width + width % 2
            small = _reformatted(self._frame, width=even, height=height, interpolation=how)
            return self._turned(resized(self._bgr(small), (width, height)))

    def part_at_size(self, box: Box, width: int, height: int) -> Picture:
        """A part of the picture at another size, without converting the rest: (height, width, 3)
        uint8 BGR.

        box  (x, y, width, height) of the part, inside the picture

        Like `at_size`, a smaller part is resized first and then converted.
        """
        x, y, columns, rows = box
        turned = self._transposed or self._flip is not None or self._view.rotate or self._view.flip
        if turned or self._frame.format.name not in _PLANAR:
            return resized(self.picture()[y : y + rows, x : x + columns], (width, height))
        with self._lock:
            shrinks = width * height < columns * rows
            if self._curve is None and (shrinks or not (x % 2 or y % 2)):
                cut = self._cut(*box)
                how = Interpolation.AREA if shrinks else Interpolation.BICUBIC
                return self._bgr(_reformatted(cut, width=width, height=height, interpolation=how))
            # Enlarged, a colour that is a pixel off would show.
            left, top = x - x % 2, y - y % 2
            right, bottom = x + columns, y + rows
            cut = self._cut(left, top, right + right % 2 - left, bottom + bottom % 2 - top)
            part = self._bgr(cut)[y - top :, x - left :][:rows, :columns]
        return resized(part, (width, height))

    def glance(self) -> npt.NDArray[np.uint8]:
        """Some samples of the first plane, not turned."""
        plane = _samples(self._frame.planes[0], self._frame)
        if plane.dtype == np.uint8:
            return sampled(plane)
        bits = self._frame.format.components[0].bits
        return sampled(np.asarray(plane >> (bits - 8), np.uint8))

    def _swapped(self, width: int, height: int) -> Size:
        """(width, height) before the turns -> after them, or back."""
        return self._view.size((width, height) if not self._transposed else (height, width))

    def _squared(self) -> VideoFrame:
        """The frame with square pixels; it replaces the stored one."""
        width, height = self._square
        if (self._frame.width, self._frame.height) != self._square:
            how = Interpolation.BICUBIC
            wide = _reformatted(self._frame, width=width, height=height, interpolation=how)
            self._frame = wide
        return self._frame

    def _cut(self, x: int, y: int, width: int, height: int) -> VideoFrame:
        """A part of a frame with planes, a copy in the frame's own format.

        Each colour sample belongs to two by two pixels: where x or y is odd, colours are a pixel
        off. A part may end a pixel outside the picture; that pixel is undefined.
        """
        frame = self._squared()
        cut = VideoFrame(width, height, frame.format.name)
        for index, (source, target) in enumerate(zip(frame.planes, cut.planes, strict=True)):
            half = 1 if index == 0 else 2
            whole, kept = _samples(source, frame), _samples(target, frame)
            piece = whole[y // half :, x // half :][: len(kept), : kept.shape[1]]
            kept[: piece.shape[0], : piece.shape[1]] = piece
        cut.color_range, cut.colorspace = frame.color_range, frame.colorspace
        return cut

    def _bgr(self, frame: VideoFrame) -> Picture:
        """The frame's pixels, not turned; those of high dynamic range are tone-mapped.

        libswscale spoils the colours of 16-bit frames of an odd width.
        """
        if self._curve is None:
            return np.asarray(_packed(_reformatted(frame, format="bgr24"), np.uint8), np.uint8)
        return tone_mapped(_packed(_reformatted(frame, format="rgb48le"), np.uint16), self._curve)

    def _turned(self, picture: Picture) -> Picture:
        if not self._transposed and self._flip is None:
            return self._view.turned(picture)
        import cv2

        if self._transposed:
            picture = np.asarray(cv2.transpose(picture), np.uint8)
        if self._flip is not None:
            picture = np.asarray(cv2.flip(picture, self._flip), np.uint8)
        return self._view.turned(picture)


def _square_pixels(frame: VideoFrame, aspect: Fraction) -> Size:
    """(width, height) of a frame with square pixels, at least as many as it has."""
    if not 1 / _LONGEST_PIXEL <= aspect <= _LONGEST_PIXEL:
        aspect = Fraction(1)
    if aspect >= 1:
        return round(frame.width * aspect), frame.height
    return frame.width, round(frame.height / aspect)


def _reformatted(frame: VideoFrame, **how: Any) -> VideoFrame:
    try:
        return frame.reformat(threads=1, **how)
    except (av.error.FFmpegError, ValueError) as error:
        why = reason(error) if isinstance(error, av.error.FFmpegError) else error
        raise SourceError(
            f"a frame of {frame.width} x {frame.height} pixels in {frame.format.name} cannot be "
            f"converted: {why}"
        ) from error


def _packed(frame: VideoFrame, of: type[np.uint8 | np.uint16]) -> npt.NDArray[Any]:
    """The pixels of a frame with three packed colours: (height, width, 3), a copy."""
    (plane,) = frame.planes
    rows = np.frombuffer(memoryview(plane), of).reshape(frame.height, -1)
    return np.ascontiguousarray(rows[:, : 3 * frame.width]).reshape(frame.height, frame.width, 3)


def _samples(plane: VideoPlane, frame: VideoFrame) -> npt.NDArray[Any]:
    """The samples of one plane of a frame: (height, width) uint8 or uint16, a view."""
    wide = frame.format.components[0].bits > 8
    rows = np.frombuffer(memoryview(plane), np.uint16 if wide else np.uint8)
    return rows.reshape(-1, plane.line_size // (2 if wide else 1))[: plane.height, : plane.width]


def _display_turn(frame: VideoFrame) -> tuple[bool, int | None]:
    """How to make a frame upright: whether to transpose it, and how to flip it then.

    The display matrix puts pixel x, y at x' = a x + c y, y' = b x + d y. Other angles than quarter
    turns are ignored.
    """
    # Not `frame.side_data`: it makes a reference cycle, which keeps megabytes per frame alive until
    # Python's garbage collector runs.
    container = SideDataContainer(frame)  # type: ignore[call-arg]  # its stub has no __init__
    data = cast(Mapping[str, Buffer], container).get("DISPLAYMATRIX")
    if data is None:
        return False, None
    a, b, _, c, d = struct.unpack_from("=5i", bytes(data))
    if bool(a) == bool(b) or bool(a) != bool(d) or bool(b) != bool(c):
        return False, None
    return a == 0, _FLIPS[a + c < 0, b + d < 0]
