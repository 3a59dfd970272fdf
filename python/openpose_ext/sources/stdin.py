"""The standard input as a source: a picture, an animated picture, or an encoded video."""

from __future__ import annotations

import io
import os
import select
import struct
import sys
import tempfile
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Literal, cast

from openpose_ext.errors import SourceError
from openpose_ext.sources.animation import Animation, is_animated
from openpose_ext.sources.picture_files import format_of
from openpose_ext.sources.source import AS_IT_IS, Report, Source, View
from openpose_ext.sources.still import Still
from openpose_ext.sources.video import Video

__all__ = ["STDIN", "is_stdin", "open_stdin", "stdin_kind"]

STDIN = Path("/dev/stdin")

_PIECE = 1 << 16

# The bytes between two pictures of a stream of pictures, which is a video. A JPEG file that says
# that it holds further ones (MPF) is a single picture.
_NEXT_PICTURE = (b"\xff\xd9\xff\xd8\xff", b"IEND\xaeB`\x82\x89PNG")
_SEVERAL_INSIDE = b"MPF\0"

# So many bytes of an ISO base media file (MP4, MOV) are searched for the index before the pictures.
_INDEX_WITHIN = 1 << 20


def is_stdin(name: str | os.PathLike[str]) -> bool:
    """Whether an input is the standard input: `-` or `/dev/stdin`."""
    return os.fspath(name) in ("-", os.fspath(STDIN))


def stdin_kind() -> Literal["picture", "animation", "video"]:
    """The standard input's kind; waits for the first bytes. Raises SourceError if none come."""
    return _stdin().kind


def open_stdin(*, view: View = AS_IT_IS, threads: int = 1, report: Report | None = None) -> Source:
    """Open the standard input, which can be done once. Raises SourceError if it cannot be read.

    A video is decoded while it comes. If it has its index at the end, as MP4 files of cameras do,
    it is first written to a temporary file.
    """
    given = _stdin()
    match given.kind:
        case "picture":
            return Still(os.fspath(STDIN), given.rest, view=view, report=report)
        case "animation":
            return Animation(STDIN, data=given.rest(), view=view, report=report)
        case "video":
            return _Streamed(given, view, threads, report)


@cache
def _stdin() -> _Piped:
    if sys.stdin is None or sys.stdin.isatty():
        raise SourceError("nothing is sent to the standard input: cat FILE | ... -")
    return _Piped(sys.stdin.fileno())


class _Streamed(Video):
    """A video that can be read once, and that may wait for its sender."""

    def __init__(self, given: _Piped, view: View, threads: int, report: Report | None) -> None:
        self._given = given
        super().__init__(STDIN, view=view, threads=threads, report=report, opened=given.opened)

    def stop(self) -> None:
        self._given.stop()

    def _seek(self) -> int | None:
        return None


class _Piped:
    """The standard input, with a look ahead at its beginning. Only one thread reads at a time."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._head = bytearray()
        self._waking = os.pipe()
        try:
            self._start: int | None = os.lseek(number, 0, os.SEEK_CUR)
        except OSError:  # a pipe
            self._start = None

    @cached_property
    def kind(self) -> Literal["picture", "animation", "video"]:
        """The kind, by the first bytes and by whether another picture follows."""
        self._look_to(16)
        if self._head and format_of(bytes(self._head[:16])) is None:
            return "video"
        at, more = 0, True
        while more:
            several = _SEVERAL_INSIDE in self._head[:_PIECE]
            if not several and any(mark in self._head[at:] for mark in _NEXT_PICTURE):
                return "video"
            at = max(0, len(self._head) - 16)
            more = self._look_to(len(self._head) + 1)
        return "animation" if is_animated(io.BytesIO(self._head)) else "picture"

    def rest(self) -> bytes:
        """All bytes that are left."""
        return b"".join(iter(self.read, b""))

    def read(self, size: int = _PIECE) -> bytes:
        """Up to `size` bytes, as many as have come; waits for the first. Empty at the end."""
        if not self._head:
            self._look_to(1)
        taken = bytes(self._head[:size])
        del self._head[:size]
        return taken

    def opened(self) -> IO[bytes]:
        """What the demuxer reads: this object, or a temporary file if it has to seek back."""
        if self._start is not None:
            os.lseek(self._number, self._start, os.SEEK_SET)
            return open(os.dup(self._number), "rb")
        if not self._has_index_first():
            file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
            while piece := self.read():
                file.write(piece)
            file.seek(0)
            return file
        return cast(IO[bytes], self)

    def stop(self) -> None:
        """End a wait for more bytes, from another thread; no more are read."""
        os.write(self._waking[1], b"\0")

    def _look_to(self, size: int) -> bool:
        """Wait for so many bytes; False if the input ends before."""
        while len(self._head) < size:
            try:
                ready, _, _ = select.select([self._number, self._waking[0]], [], [])
                piece = b"" if self._waking[0] in ready else os.read(self._number, _PIECE)
            except OSError as error:
                raise SourceError(f"{STDIN}: {error.strerror}") from error
            if not piece:
                return False
            self._head += piece
        return True

    def _has_index_first(self) -> bool:
        """Whether it can be decoded while it comes: not an ISO file with pictures before `moov`."""
        at = 0
        while self._look_to(at + 16) and at < _INDEX_WITHIN:
            size, kind = struct.unpack_from(">I4s", self._head, at)
            if not at and kind != b"ftyp":
                return True
            if kind in (b"moov", b"moof", b"mdat"):
                return bool(kind != b"mdat")
            at += max(size, 8)
        return self._head[4:8] != b"ftyp"
