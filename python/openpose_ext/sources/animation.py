"""Animated pictures (GIF, PNG, WebP) as videos, through OpenCV.

Each frame is the whole picture as a viewer shows it, even if the file stores only the part that
changed; transparent pixels become white, as in pictures. Sources: the GIF89a specification, the
W3C's PNG specification (third edition), the WebP container specification.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import SourceError
from openpose_ext.sources.picture_files import format_of, whole_chunks
from openpose_ext.sources.pictures import on_white
from openpose_ext.sources.source import AS_IT_IS, Report, Source, View
from openpose_ext.types.arrays import Size
from openpose_ext.types.frame import Frame

__all__ = ["ANIMATIONS", "Animation", "frames_at_once", "is_animated"]

ANIMATIONS = frozenset((".gif", ".png", ".apng", ".webp"))  # files that may be animated

# Pixels that are decoded at a time, 256 MB of them. OpenCV starts at the first frame each time.
_PIXELS = 1 << 26
_FEWEST, _MOST = 2, 512

# Durations in milliseconds: browsers show a frame that asks for less than the first for the second.
_SHORTEST, _USUAL = 20, 100


class Animation(Source):
    """The frames of an animated picture.

    path    path of the file, or its name for messages if `data` has the bytes
    view    which frames are taken, and how they are turned
    report  called with each error that does not end the source, see `Source`

    A frame's time is the sum of the durations before it; as in browsers, one below 20 ms counts as
    100 ms. Raises SourceError if the file cannot be read or has no frame to yield.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        data: bytes | None = None,
        view: View = AS_IT_IS,
        report: Report | None = None,
    ) -> None:
        super().__init__(os.fspath(path), report)
        try:
            content = Path(path).read_bytes() if data is None else data
        except OSError as error:
            raise SourceError(f"{self.name}: {error.strerror}") from error
        if format_of(content[:16]) == "PNG":
            content = whole_chunks(content)
        self._data = np.frombuffer(content, np.uint8)
        self._view = view
        first, durations, _ = self._decoded(0, 2)
        if not first:
            raise SourceError(f"{self.name}: truncated or damaged {format_of(content[:16]) or ''}")
        height, width = first[0].shape[:2]
        self._step = frames_at_once((width, height))
        self.size = view.size((width, height))
        self.rate = 1 / _seconds(durations[0]) / view.step

    def close(self) -> None:
        """Yield no more frames."""
        self._data = self._data[:0]

    def _frames(self) -> Iterator[Frame]:
        number, time = 0, 0.0
        while len(self._data):
            decoded, durations, whole = self._decoded(number, self._step)
            for picture, duration in zip(decoded, durations, strict=True):
                if self._view.is_past(number):
                    return
                if self._view.takes(number):
                    upright = self._view.turned(on_white(picture))
                    yield Frame(upright, self.name, number, time)
                number += 1
                time += _seconds(duration)
            if not whole:
                self._failed(f"it ends early, after {number} frames")
            if len(decoded) < self._step:
                break
        if number <= self._view.first:
            self._failed(
                f"the first frame asked for is {self._view.first}, and the last of the file is "
                f"{number - 1}"
            )

    def _decoded(self, start: int, count: int) -> tuple[list[npt.NDArray[Any]], list[int], bool]:
        """Some frames, their durations in milliseconds, and whether all could be decoded."""
        import cv2

        try:
            whole, animation = cv2.imdecodeanimation(self._data, start=start, count=count)
        except cv2.error as error:
            raise SourceError(f"{self.name}: it cannot be decoded: {error.err}") from error
        return [*animation.frames], [int(one) for one in animation.durations], whole


def frames_at_once(size: Size) -> int:
    """How many frames of (width, height) are decoded at a time, and thus are in memory."""
    return min(max(_PIXELS // (size[0] * size[1]), _FEWEST), _MOST)


def _seconds(milliseconds: int) -> float:
    return (milliseconds if milliseconds >= _SHORTEST else _USUAL) / 1000


def is_animated(file: IO[bytes]) -> bool:
    """Whether a seekable file, open at its beginning, is a picture of several frames.

    False for damaged files, and for files other than GIF, PNG and WebP.
    """
    kind = format_of(file.read(16))
    file.seek(0)
    try:
        match kind:
            case "PNG":
                return _is_animated_png(file)
            case "WebP":
                return _is_animated_webp(file)
            case "GIF":
                return _is_animated_gif(file)
    except (struct.error, IndexError):
        pass
    return False


def _is_animated_png(file: IO[bytes]) -> bool:
    """Tell it by the number of frames in the `acTL` chunk, which comes before the pixels."""
    file.seek(8)
    while True:
        size, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"acTL":
            return bool(struct.unpack(">I", file.read(4))[0] > 1)
        if kind in (b"IDAT", b"IEND"):
            return False
        file.seek(size + 4, os.SEEK_CUR)


def _is_animated_webp(file: IO[bytes]) -> bool:
    """Tell it by a second `ANMF` chunk."""
    file.seek(12)
    frames = 0
    while frames < 2:
        kind, size = struct.unpack("<4sI", file.read(8))
        if not frames and kind in (b"VP8 ", b"VP8L"):
            return False
        if kind == b"VP8X" and not file.read(1)[0] & 2:
            return False
        file.seek(size + size % 2 - (kind == b"VP8X"), os.SEEK_CUR)
        frames += kind == b"ANMF"
    return True


def _is_animated_gif(file: IO[bytes]) -> bool:
    """Tell it by a second image block."""
    file.seek(10)
    _skip_colours(file)
    frames = 0
    while frames < 2:
        block = file.read(1)
        if block == b"!":  # an extension: a label, then data blocks
            file.seek(1, os.SEEK_CUR)
        elif block == b",":
            frames += 1
            file.seek(8, os.SEEK_CUR)
            _skip_colours(file, 0)
            file.seek(1, os.SEEK_CUR)  # the size of the LZW codes
        else:
            return False
        while frames < 2 and (size := file.read(1)[0]):
            file.seek(size, os.SEEK_CUR)
    return True


def _skip_colours(file: IO[bytes], after: int = 2) -> None:
    """Skip a colour table: the byte that tells its size, `after` more bytes, and the table."""
    flags = file.read(1)[0]
    file.seek(after + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0), os.SEEK_CUR)
