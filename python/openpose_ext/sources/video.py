"""Video files, through PyAV.

- A frame's time is its timestamp in the file, whatever the frame rate does in between.
- A frame's number counts the file's packets in the order of their timestamps, so it stays the same
  when frames before it cannot be decoded, and when decoding starts in the middle.
- Frames are upright, as the file's display matrix says.
- They stay in the video's own format until somebody asks for the picture.
"""

from __future__ import annotations

import heapq
import os
import re
import struct
import threading
from bisect import bisect_left
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple, cast

import av
import av.error
import cv2
import numpy as np
import numpy.typing as npt
from av.buffer import Buffer
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from openpose_ext.errors import SourceError
from openpose_ext.io.container import Opener, _bound, demuxed, open_container, reason, video_stream
from openpose_ext.io.resize import sampled
from openpose_ext.sources.source import AS_IT_IS, Report, Source, View
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame

__all__ = ["KeyFrame", "Video", "VideoPixels", "key_frames"]

# What cv2.flip is given to mirror left and right, and up and down.
_FLIPS = {(False, False): None, (True, False): 1, (False, True): 0, (True, True): -1}


# Packets are in the order of decoding. None precedes a frame shown before it by more than H.264's
# largest buffer of decoded frames, twice for fields.
_REORDERED = 32


class KeyFrame(NamedTuple):
    """Where decoding can begin: the frame's number, its timestamp, and how many packets before it
    no frame is shown for."""

    number: int
    time: int
    hidden: int


class Video(Source):
    """A video file, or one at an address.

    path     of the file, or the address
    view     which frames are taken, and how they are turned
    threads  bound on the threads that decode
    report   gets what goes wrong, see `Source`
    most_pixels  frames of more are not decoded; None for no bound but FFmpeg's own
    start    where the first frame taken is, as `key_frames` found it; else it is looked for
    opened   opens the file where its path alone does not, such as in an object store

    Decoding goes on in the thread that iterates. A frame that cannot be decoded is left out, a
    damaged one is yielded as the decoder mended it; both are reported, and so is a file that ends
    earlier than it says. Raises SourceError if the file cannot be opened or has no frame to yield.
    """

    ahead = 8

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
    ) -> None:
        super().__init__(os.fspath(path), report)
        self._view = view
        self._start = start
        self._opened = opened
        self._threads = threads
        self._most_pixels = most_pixels
        self._decoding = self._decoded_frames()
        self._open()
        try:
            rate = self._stream.average_rate or self._stream.guessed_rate
            self._frame_rate = float(rate) if rate else None
            self.rate = self._frame_rate and self._frame_rate / view.step
            self.count = view.count(self._total())
            self._first = next(self._decoding, None)
            if self._first is None:
                raise self._without_frames()
            self.size = self._first.size
        except BaseException:
            self.close()
            raise

    def _frames(self) -> Iterator[Frame]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._decoding

    def close(self) -> None:
        """Close the file; not while another thread iterates. Frames that were yielded stay."""
        self._decoding.close()
        self._first = None
        self._container.close()
        self.__dict__.pop("_stream", None)  # its threads end with the last reference

    def _open(self) -> None:
        self._container = open_container(
            self.name, most_pixels=self._most_pixels, opened=self._opened
        )
        try:
            self._stream = video_stream(self._container, self.name)
        except SourceError:
            self._container.close()
            raise
        self._stream.thread_type = "AUTO" if self._threads > 1 else "NONE"
        self._stream.thread_count = self._threads
        self._stream.codec_context.options = _bound(self._most_pixels)
        # AVI knows the order of decoding only.
        reordered = self._stream.codec_context.has_b_frames
        self._timed = self._container.format.name != "avi" or not reordered
        self._numbers = _Numbers()
        self._hidden = 0

    def _total(self) -> int | None:
        """How many frames the file says that it has, or that fit into its duration."""
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
                pixels = VideoPixels(picture, self._view)
                yield Frame(pixels, self.name, number, self._time(number, picture))

    def _time(self, number: int, picture: VideoFrame) -> float | None:
        pts, time_base = self._pts(picture), self._stream.time_base
        if pts is not None and time_base is not None:
            return float((pts - (self._stream.start_time or 0)) * time_base)
        return None if self._frame_rate is None else number / self._frame_rate

    def _numbered(self) -> Iterator[tuple[int, VideoFrame]]:
        """The frames from the first one taken on, or earlier, with their numbers."""
        last: float | None = None
        longest = 0.0
        start = self._seek()
        for picture in self._decoded():
            pts = self._pts(picture)
            if start is not None and pts is not None and pts < start:
                continue
            number, lost = self._numbers.of(pts)
            self._lost(range(number - lost, number))
            if picture.is_corrupt and self._view.takes(number):
                self._failed(f"frame {number} is damaged")
            time = self._time(number, picture) or 0.0
            longest = longest if last is None else max(longest, time - last)
            last = time
            yield number, picture
        lost = self._numbers.rest()
        self._lost(range(self._numbers.next - lost, self._numbers.next))
        self._compare(last or 0.0, longest)

    def _compare(self, last: float, longest: float) -> None:
        """Report an end that comes before the one that the file speaks of.

        last     seconds of the last frame
        longest  seconds from a frame to the next, at most
        """
        number, said = self._numbers.next, self._stream.frames
        if number and number + self._hidden < said:
            self._failed(f"it ends early, after {number} of {said} frames")
        # Matroska counts no frames, and the last one may be shown for long.
        spoken = re.fullmatch(r"(\d+):(\d+):([\d.]+)", self._stream.metadata.get("DURATION", ""))
        if spoken and not said:
            hours, minutes, seconds = map(float, spoken.groups())
            end = 3600 * hours + 60 * minutes + seconds
            if last + 2 * longest + 0.5 < end:
                self._failed(f"it ends early, after {last:.1f} of {end:.1f} seconds")

    def _lost(self, numbers: range) -> None:
        taken = [number for number in numbers if self._view.takes(number)]
        if len(taken) == 1:
            self._failed(f"frame {taken[0]} cannot be decoded")
        elif taken:
            self._failed(f"{len(taken)} frames, {taken[0]} to {taken[-1]}, cannot be decoded")

    def _decoded(self) -> Iterator[VideoFrame]:
        """The frames that can be decoded, in the order in which they are shown."""
        decoder = self._stream.codec_context
        for packet in self._packets():
            if _is_hidden(packet):
                self._hidden += 1
            else:
                self._numbers.expect(self._pts(packet))
            try:
                yield from decoder.decode(packet)
            except av.error.BlockingIOError:
                decoder.flush_buffers()  # it is stuck: begin anew at the next key frame
            except av.error.FFmpegError as error:
                if self._pts(packet) is None:  # else it will be missed
                    self._failed(f"a frame cannot be decoded: {reason(error)}")
                    self._numbers.next += 1
        with suppress(av.error.FFmpegError):
            yield from decoder.decode(None)

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """The stream's packets, as far as the file can be read."""
        try:
            yield from demuxed(self._container, self._stream)
        except av.error.FFmpegError as error:
            self._failed(f"it cannot be read to its end: {reason(error)}")

    def _pts(self, timed: Packet[VideoStream] | VideoFrame) -> int | None:
        """When a packet or frame is shown, if that is known."""
        return timed.pts if self._timed else None

    def _seek(self) -> int | None:
        """Go to the key frame before the first frame taken; that frame's timestamp.

        Packets up to there are read, to count them, but not decoded. Where a file cannot seek or
        lands elsewhere, decoding starts at its beginning: None.
        """
        if not self._view.first:
            return None
        try:
            start = self._start
            if start is not None and self._lands_before(start.time):
                self._numbers = _Numbers(start.number, start.time)
                self._hidden = start.hidden
                return start.time
            times = self._times(self._view.first)
            if times is not None and self._lands_before(times[-1]):
                self._numbers = _Numbers(self._view.first, times[-1])
                return times[-1]
        except av.error.FFmpegError:
            pass
        self._container.close()
        self._open()
        return None

    def _times(self, number: int) -> list[int] | None:
        """The timestamps of the frames 0 to `number`, None if not all have one."""
        times: list[int] = []
        for packet in demuxed(self._container, self._stream):
            pts = self._pts(packet)
            if pts is None:
                break
            if _is_hidden(packet):
                self._hidden += 1
            else:
                times.append(pts)
            if len(times) > number + _REORDERED:
                break
        return sorted(times)[: number + 1] if len(times) > number else None

    def _lands_before(self, time: int) -> bool:
        """Seek; whether that leads to a key frame from which the frame at `time` can be decoded."""
        self._container.seek(time, stream=self._stream)
        landed = next(demuxed(self._container, self._stream), None)
        self._container.seek(time, stream=self._stream)
        if landed is None or landed.pts is None:
            return False
        return landed.is_keyframe and landed.pts <= time


class _Numbers:
    """Which of the file's frames a decoded one is.

    Frames come in the order of their timestamps; a packet whose time has passed without a frame
    is a lost frame. Without timestamps frames are counted as they come.

    first  the number of the first frame that counts
    start  its timestamp, where decoding may begin with others
    """

    def __init__(self, first: int = 0, start: int | None = None) -> None:
        self.next = first
        self._start = start
        self._waiting: list[int] = []

    def expect(self, time: int | None) -> None:
        """A packet of a frame to be shown at `time` goes into the decoder."""
        if time is not None and (self._start is None or time >= self._start):
            heapq.heappush(self._waiting, time)

    def of(self, time: int | None) -> tuple[int, int]:
        """The number of the frame that comes out, and how many before it were lost."""
        lost = 0
        if time in self._waiting:
            while heapq.heappop(self._waiting) != time:
                lost += 1
        elif time is not None and self._waiting and self._waiting[0] < time:
            heapq.heappop(self._waiting)  # the decoder has changed its time
        self.next += lost + 1
        return self.next - 1, lost

    def rest(self) -> int:
        """How many were lost at the end."""
        lost = len(self._waiting)
        self._waiting.clear()
        self.next += lost
        return lost


def _is_hidden(packet: Packet[VideoStream]) -> bool:
    """Whether no frame is shown for a packet: cut off by an edit list, or only referred to."""
    if packet.is_discard:
        return True
    # The other formats pack such frames together with one that is shown.
    return packet.stream.codec_context.name in ("vp8", "libvpx") and not bytes(packet)[0] & 0x10


class VideoPixels:
    """A decoded frame in the video's own format, and how it is to be turned; see `Pixels`."""

    def __init__(self, frame: VideoFrame, view: View) -> None:
        self._frame = frame
        self._view = view
        self._transposed, self._flip = _display_turn(frame)
        # PyAV writes marks on a frame while it converts it.
        self._lock = threading.Lock()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture."""
        return self._swapped(self._frame.width, self._frame.height)

    def picture(self) -> Picture:
        """The picture: (H, W, 3) uint8 BGR."""
        with self._lock:
            return self._turned(self._frame)

    def at_size(self, width: int, height: int) -> Picture:
        """The picture at another size, averaged where it shrinks: (height, width, 3) uint8 BGR."""
        width, height = self._swapped(width, height)
        shrinks = width * height < self._frame.width * self._frame.height
        how = Interpolation.AREA if shrinks else Interpolation.BICUBIC
        with self._lock:
            # Resized first, then converted: a third of the time of both at once, and no farther
            # from the mean of the full-size picture's pixels.
            resized = self._frame.reformat(width, height, interpolation=how, threads=1)
            return self._turned(resized)

    def part(self, x: int, y: int, width: int, height: int) -> Picture:
        """A part of the picture: (height, width, 3) uint8 BGR, without the rest."""
        turned = self._transposed or self._flip is not None or self._view.rotate or self._view.flip
        if turned or self._frame.format.name not in _PLANAR:
            return np.ascontiguousarray(self.picture()[y : y + height, x : x + width])
        # Colours are known of squares of two by two pixels.
        left, top = x - x % 2, y - y % 2
        columns, rows = x + width - left, y + height - top
        with self._lock:
            cut = VideoFrame(columns + columns % 2, rows + rows % 2, self._frame.format.name)
            for index, (source, target) in enumerate(
                zip(self._frame.planes, cut.planes, strict=True)
            ):
                half = 1 if index == 0 else 2
                whole, kept = _samples(source), _samples(target)
                piece = whole[top // half :, left // half :][: len(kept), : kept.shape[1]]
                # A picture of an odd size ends within a square.
                kept[: piece.shape[0], : piece.shape[1]] = piece
            cut.color_range, cut.colorspace = self._frame.color_range, self._frame.colorspace
            (plane,) = cut.reformat(format="bgr24", threads=1).planes
        shown = np.frombuffer(memoryview(plane), np.uint8).reshape(cut.height, plane.line_size)
        pixels = shown[:, : 3 * cut.width].reshape(cut.height, cut.width, 3)
        return np.ascontiguousarray(pixels[y - top :, x - left :][:height, :width])

    def glance(self) -> npt.NDArray[np.uint8]:
        """Some samples of the first plane, as they lie in the file."""
        return sampled(_samples(self._frame.planes[0]))

    def _swapped(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) before the turns to those after, or back."""
        return self._view.size((width, height) if not self._transposed else (height, width))

    def _turned(self, frame: VideoFrame) -> Picture:
        (plane,) = frame.reformat(format="bgr24", threads=1).planes
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)
        picture = np.ascontiguousarray(rows[:, : 3 * frame.width])
        picture = picture.reshape(frame.height, frame.width, 3)
        if self._transposed:
            picture = np.asarray(cv2.transpose(picture), np.uint8)
        if self._flip is not None:
            picture = np.asarray(cv2.flip(picture, self._flip), np.uint8)
        return self._view.turned(picture)


# Formats of which a part is cut out of the planes: brightness, and two of colours of half the size.
_PLANAR = ("yuv420p", "yuvj420p")


def _samples(plane: VideoPlane) -> npt.NDArray[np.uint8]:
    """A plane's samples, (height, width): a view."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _display_turn(frame: VideoFrame) -> tuple[bool, int | None]:
    """What makes a frame upright: whether it is transposed, and how it is flipped then.

    The matrix shows pixel x, y at x' = a x + c y, y' = b x + d y. A slanted one is not followed.
    """
    # Not `frame.side_data`, which frame and container keep alive between them: megabytes a frame,
    # until Python's collector happens to come.
    container = SideDataContainer(frame)  # type: ignore[call-arg]  # its stub has no __init__
    data = cast(Mapping[str, Buffer], container).get("DISPLAYMATRIX")
    if data is None:
        return False, None
    a, b, _, c, d = struct.unpack_from("=5i", bytes(data))
    if bool(a) == bool(b) or bool(a) != bool(d) or bool(b) != bool(c):
        return False, None
    return a == 0, _FLIPS[a + c < 0, b + d < 0]


def key_frames(name: str, apart: int, opened: Opener | None = None) -> list[KeyFrame]:
    """The key frames of a file, each at least so many frames behind the last, or the beginning.

    The whole file is read for it, and nothing decoded. Empty where a file does not tell when its
    frames are shown: it cannot be entered but at its beginning. Raises SourceError if it cannot be
    opened.
    """
    keys: list[tuple[int, int]] = []
    times: list[int] = []
    with open_container(name, opened=opened) as container:
        stream = video_stream(container, name)
        if container.format.name == "avi" and stream.codec_context.has_b_frames:
            return []
        hidden = 0
        with suppress(av.error.FFmpegError):  # whoever decodes it tells how far it can be read
            for packet in demuxed(container, stream):
                if packet.pts is None:
                    return []
                if _is_hidden(packet):
                    hidden += 1
                    continue
                times.append(packet.pts)
                if packet.is_keyframe:
                    keys.append((packet.pts, hidden))
    times.sort()
    chosen: list[KeyFrame] = []
    for time, hidden in keys:
        number = bisect_left(times, time)
        if number - (chosen[-1].number if chosen else 0) >= apart:
            chosen.append(KeyFrame(number, time, hidden))
    return chosen
