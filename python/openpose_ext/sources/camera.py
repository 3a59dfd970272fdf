"""Webcams and network streams: live sources, of which only the newest frame counts.

A separate thread reads each frame when it comes and keeps only the last one, so that a slow
consumer gets the newest frame rather than the oldest: it is at most one frame behind. A lost camera
is reported and tried again at growing intervals.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Protocol

import av
import av.error
import numpy as np
from av.codec.context import Flags
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from openpose_ext.errors import SourceError
from openpose_ext.io.container import demuxed, open_container, reason, told, video_stream
from openpose_ext.io.web import fetched
from openpose_ext.sources.animation import Animation
from openpose_ext.sources.deinterlace import deinterlaced
from openpose_ext.sources.fitting import Fitting
from openpose_ext.sources.listing import kind_at
from openpose_ext.sources.pixels import VideoPixels
from openpose_ext.sources.source import AS_IT_IS, Report, Source, View
from openpose_ext.sources.still import Still
from openpose_ext.sources.video import Video
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame, Pixels

__all__ = ["Camera", "Feed", "Shot", "open_address", "webcam"]

RESOLUTION = (1280, 720)  # of webcams, as in OpenPose

# Seconds between attempts to reach a lost camera: the first, doubled each time up to the last.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 8.0

# Seconds for which a lost camera is tried again: enough for it to restart.
_PATIENCE = 120.0

# Seconds without a frame after which a connection counts as lost.
_SILENCE = 5.0

_STREAM_OPTIONS = {
    "rtsp_flags": "prefer_tcp",  # UDP loses frames; it is only used if the camera has no TCP
    "fflags": "nobuffer",
}

# Webcams are numbered from 0; -1 looks for the first that opens among so many, as OpenPose does.
_WEBCAMS = 10


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame of a feed: the pixels, and when they were taken, in seconds of the feed's clock."""

    pixels: Picture | Pixels
    time: float | None = None


class Feed(Protocol):
    """An open connection to a camera, used by one thread."""

    rate: float | None

    def read(self) -> Shot:
        """Wait for the next frame. Raises SourceError if none will come."""

    def close(self) -> None:
        """Close the connection."""


class Camera(Source):
    """A live source.

    name      name for messages
    connect   opens the camera; raises SourceError if it cannot be reached
    view      which frames are taken, and how they are turned; the camera's frames are numbered
              before some are dropped
    patience  seconds for which a lost camera is tried again, None for ever
    report    called in the reading thread with each error that does not end the source, see
              `Source`

    A frame's time is in seconds since the first frame: by the camera's clock, or by this computer's
    if the camera has none or was lost in between. `close` may be called from any thread and ends
    the iteration. Raises SourceError if the camera cannot be reached at the start.
    """

    live = True

    def __init__(
        self,
        name: str,
        connect: Callable[[], Feed],
        *,
        view: View = AS_IT_IS,
        patience: float | None = _PATIENCE,
        report: Report | None = None,
    ) -> None:
        super().__init__(name, report)
        self._connect = connect
        self._view = view
        self._patience = patience
        self._newest: Frame | None = None
        self._fits = Fitting(name)
        self._ended = False
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._begun = time.monotonic()
        feed, first = self._connected()
        self.rate = feed.rate and feed.rate / view.step
        self.size = self._frame(first, 0, 0.0).size
        self._thread = threading.Thread(
            target=self._read, args=(feed, first), name=f"camera {name}", daemon=True
        )
        self._thread.start()
        atexit.register(self.close)  # see `stages.pipeline`: native threads end first

    def close(self) -> None:
        """End the iteration, wait for the reading thread and close the connection.

        That takes until the camera gives its next frame, or until its timeout.
        """
        self._closing.set()
        with self._changed:
            self._newest = None
            self._ended = True
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join()
        atexit.unregister(self.close)

    def stop(self) -> None:
        """The same as `close`."""
        self.close()

    def _frame(self, shot: Shot, number: int, taken: float) -> Frame:
        return Frame(self._fits(number, shot.pixels), self.name, number, taken)

    def _frames(self) -> Iterator[Frame]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._ended)
                frame, self._newest = self._newest, None
            if frame is None or self._closing.is_set():
                return
            yield frame

    def _read(self, feed: Feed, first: Shot) -> None:
        """The reading thread: connection after connection."""
        try:
            number = self._read_connection(feed, first, 0)
            while not self._closing.is_set() and not self._view.is_past(number):
                again = self._reconnected()
                if again is None:
                    return
                number = self._read_connection(*again, number)
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _read_connection(self, feed: Feed, shot: Shot, number: int) -> int:
        """Read frames, the first is `shot`, until the connection is lost; the next one's number."""
        connected = time.monotonic()
        if number == 0:
            self._begun = connected
        begun, camera_begun = connected - self._begun, shot.time
        taken = 0.0
        try:
            while True:
                now = time.monotonic() - self._begun
                if shot.time is None or camera_begun is None:
                    taken = now
                elif begun + shot.time - camera_begun >= taken:
                    taken = begun + shot.time - camera_begun
                else:  # the camera's clock was set back: go on with this computer's
                    taken = max(taken, now)
                    begun, camera_begun = taken, shot.time
                if self._view.takes(number):
                    with self._changed:
                        self._newest = self._frame(shot, number, taken)
                        self._changed.notify_all()
                number += 1
                if self._closing.is_set() or self._view.is_past(number):
                    break
                shot = feed.read()
        except SourceError as error:
            if not self._closing.is_set():
                self._failed(f"lost after frame {number - 1}: {error}")
        finally:
            feed.close()
        return number

    def _reconnected(self) -> tuple[Feed, Shot] | None:
        """A new connection and its first frame; None if no more attempts are made."""
        pause = _FIRST_PAUSE
        lost = time.monotonic()
        while not self._closing.wait(pause):
            with suppress(SourceError):
                return self._connected()
            away = time.monotonic() - lost
            if self._patience is not None and away >= self._patience:
                self._failed(f"given up: it could not be reached again in {away:.0f} seconds")
                return None
            pause = min(2 * pause, _LONGEST_PAUSE)
        return None

    def _connected(self) -> tuple[Feed, Shot]:
        """A connection and its first frame. Raises SourceError if there is none."""
        feed = self._connect()
        try:
            return feed, feed.read()
        except BaseException:
            feed.close()
            raise


def open_address(
    address: str,
    *,
    view: View = AS_IT_IS,
    threads: int = 1,
    report: Report | None = None,
    name: str | None = None,
    fps: float | None = None,
) -> Source:
    """Open what is at an address: a picture, a video with an end, or a live stream.

    name  name for messages and `Frame.source`; None takes the address without user, password and
          query
    fps   the true frame rate of a video, see `Video`; ignored for live streams

    Raises SourceError if it cannot be opened.
    """
    match kind_at(address):
        case "picture":
            return Still(name or told(address), partial(fetched, address), view=view, report=report)
        case "animation":
            data = fetched(address)
            return Animation(name or told(address), data=data, view=view, report=report)
    if address.lower().startswith(("http:", "https:")):
        with open_container(address) as container:
            ends = container.duration is not None
        if ends:
            return Video(address, view=view, threads=threads, report=report, name=name, fps=fps)
    connect = partial(_StreamFeed, address, view, threads)
    return Camera(name or told(address), connect, view=view, report=report)


def webcam(
    number: int | str,
    *,
    resolution: tuple[int, int] = RESOLUTION,
    view: View = AS_IT_IS,
    report: Report | None = None,
) -> Camera:
    """Open a camera of this machine.

    number      0 for the first; -1 for the first that opens; or a path such as /dev/video0
    resolution  (width, height) to ask the camera for; it may choose another

    Raises SourceError if there is none, or somebody else uses it.
    """
    if isinstance(number, int) and number < -1:
        raise ValueError(f"webcams are numbered from 0, -1 is the first that opens; not {number}")
    for candidate in range(_WEBCAMS) if number == -1 else (number,):
        with suppress(SourceError):
            return Camera(
                f"camera {candidate}",
                partial(_WebcamFeed, candidate, resolution, view),
                view=view,
                report=report,
            )
    which = "no camera can" if number == -1 else f"camera {number} cannot"
    raise SourceError(f"{which} be opened; is it plugged in, and does nobody else use it?")


class _StreamFeed:
    """A network stream, through PyAV."""

    def __init__(self, address: str, view: View, threads: int) -> None:
        self._view = view
        self._container = open_container(address, options=_STREAM_OPTIONS, patience=_SILENCE)
        try:
            stream = video_stream(self._container, told(address))
        except BaseException:
            self._container.close()
            raise
        # Threads share each frame. With one frame per thread, as many frames would be delayed.
        stream.thread_type = "SLICE"
        stream.thread_count = threads
        stream.codec_context.flags |= Flags.low_delay
        rate = stream.average_rate or stream.guessed_rate
        self.rate = float(rate) if rate else None
        self._aspect = stream.sample_aspect_ratio or Fraction(1)
        self._decoding = self._decoded(stream)
        self._frames = deinterlaced(self._decoding)

    def read(self) -> Shot:
        try:
            picture = next(self._frames)
        except StopIteration:
            raise SourceError("the stream has ended") from None
        except av.error.FFmpegError as error:
            raise SourceError(reason(error)) from error
        return Shot(VideoPixels(picture, self._view, self._aspect), picture.time)

    def close(self) -> None:
        self._decoding.close()
        self._container.close()

    def _decoded(self, stream: VideoStream) -> Generator[VideoFrame]:
        for packet in demuxed(self._container, stream):
            with suppress(av.error.InvalidDataError):  # later packets may be intact
                yield from packet.decode()


class _WebcamFeed:
    """A camera of this machine, through OpenCV, which knows those of every system."""

    def __init__(self, number: int | str, resolution: tuple[int, int], view: View) -> None:
        import cv2

        self._view = view
        self._camera = cv2.VideoCapture(number)
        if not self._camera.isOpened():
            raise SourceError(f"camera {number} cannot be opened")
        # MJPEG: uncompressed, most cameras give this size only a few times per second.
        self._camera.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._camera.set(cv2.CAP_PROP_FRAME_WIDTH, resolution[0])
        self._camera.set(cv2.CAP_PROP_FRAME_HEIGHT, resolution[1])
        self.rate = self._camera.get(cv2.CAP_PROP_FPS) or None

    def read(self) -> Shot:
        taken, picture = self._camera.read()
        if not taken:
            raise SourceError("it gives no more pictures")
        return Shot(self._view.turned(np.asarray(picture, np.uint8)))

    def close(self) -> None:
        self._camera.release()
