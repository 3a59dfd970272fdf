"""Video files, through PyAV.

- A frame's time is its timestamp in the file, so a variable frame rate is kept.
- A frame's number is its place among the file's packets in the order of their timestamps. It does
  not change if earlier frames cannot be decoded, or if decoding starts in the middle.
- Frames look as a player shows them: upright, with square pixels, deinterlaced; see `pixels` and
  `deinterlace`. A frame of another size than the first one is fitted into the first one's size.
- They stay in the video's own format until the picture is asked for.
"""

from __future__ import annotations

import heapq
import os
from bisect import bisect_left
from collections.abc import Generator, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import NamedTuple, cast

import av
import av.error
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from openpose_ext.errors import SourceError
from openpose_ext.io.container import (
    Opener,
    _bound,
    demuxed,
    open_container,
    reason,
    told,
    video_stream,
)
from openpose_ext.sources.clock import clock_of
from openpose_ext.sources.deinterlace import deinterlaced
from openpose_ext.sources.ending import Ending
from openpose_ext.sources.fitting import Fitting
from openpose_ext.sources.pixels import VideoPixels
from openpose_ext.sources.source import AS_IT_IS, Report, Source, View
from openpose_ext.types.frame import Frame

__all__ = ["KeyFrame", "Video", "key_frames"]

# Packets come in decoding order. A packet comes at most so many packets before one whose frame is
# shown earlier: H.264's largest buffer of decoded frames, twice for fields.
_REORDERED = 32


class KeyFrame(NamedTuple):
    """A frame at which decoding can begin: its number and its timestamp."""

    number: int
    time: int


class Video(Source):
    """A video file, or one at an address.

    path     path of the file, or the address
    view     which frames are taken, and how they are turned
    threads  most threads that decode
    report   called with each error that does not end the source, see `Source`
    most_pixels  frames with more pixels are not decoded; None for FFmpeg's own limit
    start    the key frame of the first frame to take, from `key_frames`; None searches for it
    opened   opens the file, if it is not on a disk but in an object store, for example
    name     name for messages and `Frame.source`; None takes the path, or the address without user,
             password and query
    fps      the true frame rate, such as a slow-motion recording's: a frame's time is its number
             divided by this, and `played` is the time in the file. None takes the file's times

    Decoding runs in the thread that iterates. Frames that cannot be decoded are left out, damaged
    ones are yielded as the decoder repaired them; both are reported, and so is a file that ends
    earlier than its header says. Raises SourceError if the file cannot be opened or no frame can be
    yielded.
    """

    ahead = 4

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        view: View = AS_IT_IS,
        threads: int = 1,
        report: Report | None = None,
        most_pixels: int | None = None,
        start: KeyFrame | None = None,
        opened: Opener | None = None,
        name: str | None = None,
        fps: float | None = None,
    ) -> None:
        self._place = os.fspath(path)
        super().__init__(name or (told(self._place) if opened is None else self._place), report)
        self._view = view
        self._fps = fps
        self._latest = 0.0  # seconds: the latest time of the yielded frames
        self._fits = Fitting(self.name)
        self._start = start
        self._opened = opened
        self._threads = threads
        self._most_pixels = most_pixels
        self._decoding = self._decoded_frames()
        self._open()
        try:
            rate = self._stream.average_rate or self._stream.guessed_rate
            self._frame_rate = float(rate) if rate else None
            true_rate = fps or self._frame_rate
            self.rate = true_rate and true_rate / view.step
            self.count = view.count(self._total())
            self._first = next(self._decoding, None)
            if self._first is None:
                raise self._without_frames()
            self.size = self._first.size
        except BaseException:
            self.close()
            raise

    @property
    def played_rate(self) -> float | None:
        return self._frame_rate and self._frame_rate / self._view.step

    def _frames(self) -> Iterator[Frame]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._decoding

    def close(self) -> None:
        """Close the file; not while another thread iterates. Yielded frames stay valid."""
        self._decoding.close()
        self._first = None
        self._container.close()
        for holder in ("_ending", "_stream"):  # the decoder's threads end with the last reference
            self.__dict__.pop(holder, None)

    def _open(self) -> None:
        self._container = open_container(
            self._place, most_pixels=self._most_pixels, opened=self._opened
        )
        try:
            self._stream = video_stream(self._container, self.name)
        except SourceError:
            self._container.close()
            raise
        self._stream.thread_type = "AUTO" if self._threads > 1 else "NONE"
        self._stream.thread_count = self._threads
        self._stream.codec_context.options = _bound(self._most_pixels)
        self._aspect = self._stream.sample_aspect_ratio
        self._first_aspect = self._stream.codec_context.sample_aspect_ratio
        # AVI has timestamps for the decoding order only.
        reordered = self._stream.codec_context.has_b_frames
        self._timed = self._container.format.name != "avi" or not reordered
        self._numbers = _Numbers()
        self._whole = True
        self._restart()

    def _restart(self) -> None:
        """Prepare for reading packets from another place in the file."""
        self._ending = Ending(self._container, self._stream)
        self._clock = clock_of(self._container, self._stream)

    def _total(self) -> int | None:
        """The number of frames by the file's header, or by its duration and frame rate."""
        if self._stream.frames:
            return self._stream.frames
        if self._container.duration is None or self._frame_rate is None:
            return None
        return round(self._container.duration / av.time_base * self._frame_rate)

    def _without_frames(self) -> SourceError:
        if self._view.first and self._numbers.next:
            return SourceError(
                f"{self.name}: the first frame asked for is {self._view.first}, and the last of "
                f"the file is {self._numbers.next - 1}"
            )
        return SourceError(f"{self.name}: it has no frame that can be decoded")

    def _decoded_frames(self) -> Generator[Frame]:
        for number, picture in self._numbered():
            if self._view.is_past(number):
                return
            if self._view.takes(number):
                yield self._frame(number, picture)

    def _frame(self, number: int, picture: VideoFrame) -> Frame:
        pixels = VideoPixels(picture, self._view, self._pixel_aspect())
        shown = self._fits(number, pixels)
        played = self._time(number, picture)
        if self._fps is None:
            return Frame(shown, self.name, number, played)
        return Frame(shown, self.name, number, number / self._fps, played=played)

    def _pixel_aspect(self) -> Fraction:
        """Width of a pixel divided by its height: the container's, until the stream changes it."""
        now = self._stream.codec_context.sample_aspect_ratio
        aspect = self._aspect if now == self._first_aspect else now
        return aspect or Fraction(1)

    def _time(self, number: int, picture: VideoFrame) -> float | None:
        """Seconds since the first frame; they never decrease."""
        pts, time_base = self._pts(picture), self._stream.time_base
        if pts is not None and time_base is not None:
            time = float((pts - (self._stream.start_time or 0)) * time_base)
            self._latest = max(self._latest, time)
            return self._latest
        return None if self._frame_rate is None else number / self._frame_rate

    def _numbered(self) -> Iterator[tuple[int, VideoFrame]]:
        """The frames with their numbers, from the first one taken or from an earlier one."""
        start = self._seek()
        for picture in deinterlaced(self._decoded()):
            pts = self._pts(picture)
            if start is not None and pts is not None and pts < start:
                continue
            number, lost = self._numbers.of(pts)
            self._lost(range(number - lost, number))
            if picture.is_corrupt and self._view.takes(number):
                self._failed(f"frame {number} is damaged")
            yield number, picture
        lost = self._numbers.rest()
        self._lost(range(self._numbers.next - lost, self._numbers.next))
        early = self._ending.early() if self._whole else None
        if early is not None:
            self._failed(early)

    def _lost(self, numbers: range) -> None:
        taken = [number for number in numbers if self._view.takes(number)]
        if len(taken) == 1:
            self._failed(f"frame {taken[0]} cannot be decoded")
        elif taken:
            self._failed(f"{len(taken)} frames, {taken[0]} to {taken[-1]}, cannot be decoded")

    def _decoded(self) -> Iterator[VideoFrame]:
        """The frames that can be decoded, in display order."""
        decoder = self._stream.codec_context
        for packet in self._packets():
            if not _is_hidden(packet):
                self._numbers.expect(self._pts(packet))
            try:
                yield from decoder.decode(packet)
            except av.error.BlockingIOError:
                decoder.flush_buffers()  # it is stuck: restart at the next key frame
            except av.error.FFmpegError as error:
                if self._pts(packet) is None:  # with a timestamp it is noticed as lost later
                    self._failed(f"a frame cannot be decoded: {reason(error)}")
                    self._numbers.next += 1
        with suppress(av.error.FFmpegError):
            yield from decoder.decode(None)

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """The stream's packets, as far as the file can be read, with timestamps that only rise."""
        try:
            for packet in demuxed(self._container):
                self._ending.saw(packet)
                if packet.stream.index == self._stream.index:
                    ours = cast("Packet[VideoStream]", packet)
                    self._clock.mend(ours)
                    yield ours
        except av.error.FFmpegError as error:
            self._whole = False
            self._failed(f"it cannot be read to its end: {reason(error)}")

    def _pts(self, timed: Packet[VideoStream] | VideoFrame) -> int | None:
        """The display timestamp of a packet or frame, None if it is unknown."""
        return timed.pts if self._timed else None

    def _seek(self) -> int | None:
        """Seek to the key frame before the first frame to take; return that frame's timestamp.

        Packets before it are read to count them, but not decoded. If the file cannot seek or seeks
        to another place, decoding starts at the beginning, and None is returned.
        """
        if not self._view.first:
            return None
        try:
            start = self._start
            if start is not None and self._lands_before(start.time):
                self._numbers = _Numbers(start.number, start.time)
                return start.time
            time = self._time_of(self._view.first)
            if time is not None and self._lands_before(time):
                self._numbers = _Numbers(self._view.first, time)
                return time
        except av.error.FFmpegError:
            pass
        self._container.close()
        self._open()
        return None

    def _time_of(self, number: int) -> int | None:
        """The timestamp of a frame; None if an earlier one has none, or if timestamps jump."""
        times: list[int] = []
        for packet in demuxed(self._container, self._stream):
            self._clock.mend(packet)
            pts = self._pts(packet)
            if pts is None or self._clock.jumps:
                return None
            if not _is_hidden(packet):
                times.append(pts)
            if len(times) > number + _REORDERED:
                break
        return sorted(times)[number] if len(times) > number else None

    def _lands_before(self, time: int) -> bool:
        """Seek; return whether the frame at `time` can be decoded from the key frame found."""
        self._container.seek(time, stream=self._stream)
        landed = next(demuxed(self._container, self._stream), None)
        self._container.seek(time, stream=self._stream)
        self._restart()
        if landed is None or landed.pts is None:
            return False
        return landed.is_keyframe and landed.pts <= time


class _Numbers:
    """Tells which of the file's frames a decoded one is.

    Frames come in the order of their timestamps; a packet whose time has passed without a frame is
    a lost frame. Without timestamps, frames are counted as they come.

    first  number of the first frame that counts
    start  its timestamp, if decoding may begin with earlier frames
    """

    def __init__(self, first: int = 0, start: int | None = None) -> None:
        self.next = first
        self._start = start
        self._waiting: list[int] = []

    def expect(self, time: int | None) -> None:
        """Take note of a packet for the decoder whose frame has the timestamp `time`."""
        if time is not None and (self._start is None or time >= self._start):
            heapq.heappush(self._waiting, time)

    def of(self, time: int | None) -> tuple[int, int]:
        """The number of a decoded frame, and how many frames before it were lost."""
        lost = 0
        if time in self._waiting:
            while heapq.heappop(self._waiting) != time:
                lost += 1
        elif time is not None and self._waiting and self._waiting[0] < time:
            heapq.heappop(self._waiting)  # the decoder has changed the frame's timestamp
        self.next += lost + 1
        return self.next - 1, lost

    def rest(self) -> int:
        """How many frames were lost at the end."""
        lost = len(self._waiting)
        self._waiting.clear()
        self.next += lost
        return lost


def _is_hidden(packet: Packet[VideoStream]) -> bool:
    """Whether a packet's frame is not shown: cut off by an edit list, or only a reference."""
    if packet.is_discard:
        return True
    # Other formats pack reference frames together with one that is shown.
    return packet.stream.codec_context.name in ("vp8", "libvpx") and not bytes(packet)[0] & 0x10


def key_frames(name: str, apart: int, opened: Opener | None = None) -> list[KeyFrame]:
    """Key frames of a file that are at least so many frames apart, and after the beginning.

    Reads the whole file, but decodes nothing. Empty if the file has no display timestamps, so that
    decoding can only begin at its start. Raises SourceError if it cannot be opened.
    """
    keys: list[int] = []
    times: list[int] = []
    with open_container(name, opened=opened) as container:
        stream = video_stream(container, name)
        if container.format.name == "avi" and stream.codec_context.has_b_frames:
            return []
        clock = clock_of(container, stream)
        with suppress(av.error.FFmpegError):  # decoding it later reports the error
            for packet in demuxed(container, stream):
                clock.mend(packet)
                if packet.pts is None or clock.jumps:
                    return []
                if not _is_hidden(packet):
                    times.append(packet.pts)
                    if packet.is_keyframe:
                        keys.append(packet.pts)
    times.sort()
    chosen: list[KeyFrame] = []
    for time in keys:
        number = bisect_left(times, time)
        if number - (chosen[-1].number if chosen else 0) >= apart:
            chosen.append(KeyFrame(number, time))
    return chosen
