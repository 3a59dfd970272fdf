"""Deinterlaces frames.

In an interlaced frame the even rows show one moment and the odd rows another (its two fields), so
moving things look like combs. FFmpeg's filter bwdif keeps the first field and interpolates the
other rows from the neighbouring rows and frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av.error
from av.filter import Graph
from av.video.frame import VideoFrame

__all__ = ["deinterlaced"]


def deinterlaced(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """The same frames with the same times, the interlaced ones deinterlaced.

    From the first interlaced frame on, frames come one frame late, because each needs the next one.
    """
    filtering: _Filter | None = None
    for frame in frames:
        if filtering is not None and not filtering.takes(frame):
            yield from filtering.rest()
            filtering = None
        if filtering is None:
            if not frame.interlaced_frame:
                yield frame
                continue
            filtering = _Filter(frame)
        yield from filtering.push(frame)
    if filtering is not None:
        yield from filtering.rest()


class _Filter:
    """bwdif for frames like the first one. Frames that are not interlaced stay unchanged."""

    def __init__(self, frame: VideoFrame) -> None:
        self._like = _kind(frame)
        self._graph = Graph()
        self._graph.threads = 1
        source = self._graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=Fraction(1, 1000),  # any value will do: each frame gets its own time back
        )
        bwdif = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        self._graph.link_nodes(source, bwdif, self._graph.add("buffersink"))
        self._graph.configure()
        self._waiting: deque[VideoFrame] = deque()

    def takes(self, frame: VideoFrame) -> bool:
        return _kind(frame) == self._like

    def push(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        self._waiting.append(frame)
        self._graph.vpush(frame)
        yield from self._ready()

    def rest(self) -> Iterator[VideoFrame]:
        self._graph.vpush(None)
        yield from self._ready()

    def _ready(self) -> Iterator[VideoFrame]:
        while self._waiting:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            before = self._waiting.popleft()
            frame.pts = before.pts
            if before.time_base is not None:
                frame.time_base = before.time_base
            yield frame


def _kind(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
