"""Rendered video: H.264, with the times of the source's frames and its sound."""

from __future__ import annotations

import json
import math
import mmap
import os
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias, cast

import av
import cv2
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from openpose_ext.errors import OutputError, SourceError, SourceWarning
from openpose_ext.io.container import open_container, reason, told, video_stream
from openpose_ext.io.resize import fitted
from openpose_ext.outputs.draw import draw
from openpose_ext.outputs.writer import FrameWriter
from openpose_ext.types.arrays import Picture
from openpose_ext.types.frame import Frame
from openpose_ext.types.poses import Poses

__all__ = ["VIDEO_SUFFIXES", "VideoWriter"]

# A packet, and the second when it is heard.
_Timed: TypeAlias = "tuple[Fraction, Packet[AudioStream]]"

# What a file may end in, and libav's name of the container. Frames may last differently in all but
# AVI, which has one rate and shows a frame again where the next one is late.
VIDEO_SUFFIXES = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi",
}  # fmt: skip

# The encoders in the order they are taken: hardly to be told from the drawn picture by eye, and
# fast. PyAV's wheels have the first. A libav built by others may not, and all of them the second.
_ENCODERS = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "mpeg4": {"flags": "+qscale", "global_quality": str(3 * 118)},  # q is counted in 118ths
}

# Sound that goes into a container as it is. Other sound is encoded anew.
_COPIED = ("aac", "mp3", "ac3", "eac3", "alac", "opus")
_COPIED_TO_AVI = ("mp3", "ac3")

# How a file's comment begins that tells which sources it holds.
_TAG = "openpose_ext sources "

_DEFAULT_RATE = 30.0
_SLOWEST, _FASTEST = 0.001, 1000.0  # what files say beyond is no rate
_LEAST_TICKS = 10_000  # a second: times are kept to 0.1 ms
_FRAGMENT = 0.5  # seconds of a growing file that are written at once


class VideoWriter(FrameWriter):
    """Writes frames with the people drawn on them as a video.

    path     ends in one of `VIDEO_SUFFIXES`
    rate     frames a second of the source: how long the last frame lasts, and frames that have no
             time. None takes 30.
    sound    the file to take the sound from, usually the source; None for silence
    sources  names of the sources, where several follow one another; a tag of the file tells them
    threads  of the encoder
    quick    the encoder keeps few frames back: a quarter of the memory, which counts where frames
             are large, and a larger file
    render   (picture, poses) -> picture: what is drawn
    grows    the file can be played while it is written, up to about the last second

    `write` draws and adds; `add` takes a picture that is drawn already. Pictures keep the times of
    their frames, counted from the first; after `next_clip` another source's follow. The sound from
    the first frame to the end of the last comes along. Colours are BT.709, 4:2:0; a side of an odd
    number of pixels gets one more. A picture of another size than the first is fitted into the
    first one's. Where no picture is added, no file appears.

    Raises ValueError for another suffix.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rate: float | None = None,
        sound: str | os.PathLike[str] | None = None,
        sources: Collection[str] = (),
        threads: int = 1,
        quick: bool = False,
        render: Callable[[Picture, Poses], Picture] = draw,
        grows: bool = False,
    ) -> None:
        suffix = Path(path).suffix.lower()
        if suffix not in VIDEO_SUFFIXES:
            raise ValueError(f"{path}: videos are written as {', '.join(VIDEO_SUFFIXES)}")
        super().__init__(path, grows=grows)
        self._rate = _as_fraction(rate)
        ticks = self._rate.numerator
        self._is_avi = suffix == ".avi"
        fine = Fraction(1, ticks * -(-_LEAST_TICKS // ticks))
        self._tick = 1 / self._rate if self._is_avi else fine
        self._duration = round(1 / self._rate / self._tick)
        self._tag = _tag(sources) if sources else ""
        self._held: set[str] = set()
        self._threads = threads
        self._quick = quick
        self._render = render
        self._sound_file = sound
        self._sound: _Sound | None = None
        self._stream: VideoStream | None = None
        self._start: float | None = None  # of the clip, seconds of its source
        self._begin_at = 0  # of the clip, ticks
        self._last = -self._duration  # ticks
        self._last_key = -math.inf  # ticks
        self._fits = False  # pictures of another size
        with self._file.failing(), _os_errors():
            self._container = av.open(
                self._file.part,
                "w",
                format=VIDEO_SUFFIXES[suffix],
                options=_options(suffix, grows=grows),
            )

    @property
    def codec(self) -> str | None:
        """The encoder's name, such as libx264; None before the first picture."""
        return None if self._stream is None else self._stream.codec_context.codec.name

    @property
    def sound_lost(self) -> str | None:
        """Why there is no sound, or not all of it; None if nothing went wrong."""
        return None if self._sound is None else self._sound.lost

    def next_clip(self, rate: float | None = None) -> None:
        """Let the frames of another source follow, from the end of the last frame on.

        rate  frames a second of that source
        """
        if self._stream is not None:
            self._begin_at = self._last + self._duration
        self._start = None
        self._duration = max(1, round(1 / _as_fraction(rate) / self._tick))

    def hold(self, source: str) -> None:
        """Say that all frames of a source are there; only those are in the file's tag."""
        self._held.add(source)

    def add(self, picture: Picture, time: float | None = None) -> None:
        """Add a picture, (H, W, 3) uint8 BGR, to be seen from `time` on, seconds of the source.

        Raises as the constructor and `write` do.
        """
        with self._file.failing(), _os_errors():
            self._add(picture, time)

    def close(self) -> None:
        if self._stream is None:
            self.discard()
        else:
            super().close()

    def _write(self, frame: Frame, poses: Poses) -> None:
        self.add(self._render(frame.image, poses), frame.time)

    def _add(self, picture: Picture, time: float | None) -> None:
        height, width = picture.shape[:2]
        if self._stream is None:
            self._size = width, height
            self._start = time or 0.0
            self._stream = self._begin()
        elif (width, height) != self._size:
            self._say_that_it_is_fitted(width, height)
            picture = fitted(picture, self._size)
        if self._start is None:
            self._start = time or 0.0
        after = max(self._last + self._duration, self._begin_at)
        elapsed = None if time is None else round((time - self._start) / self._tick)
        at = after if elapsed is None else self._begin_at + elapsed
        # Clocks of cameras may stand still or go back: that frame comes right after.
        self._last = max(at, self._last + 1)

        frame = av.VideoFrame.from_ndarray(_even(picture), format="bgr24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        frame.pts, frame.duration, frame.time_base = self._last, self._duration, self._tick
        if self._file.grows and (self._last - self._last_key) * self._tick >= _FRAGMENT:
            frame.pict_type = PictureType.I
            self._last_key = self._last
        self._container.mux(self._stream.encode(frame))
        self._add_sound(self._last)

    def _say_that_it_is_fitted(self, width: int, height: int) -> None:
        """Once for a file."""
        if self._fits:
            return
        self._fits = True
        warnings.warn(
            f"{self.path}: pictures of another size, such as {width} x {height}, are fitted into "
            f"the first one's {self._size[0]} x {self._size[1]}",
            SourceWarning,
            stacklevel=2,
        )

    def _begin(self) -> VideoStream:
        """Open all streams: they have to be there before the first packet."""
        # AVI has no times; of H.264 in it libav makes them up, and is a frame late.
        encoder = "mpeg4" if self._is_avi else _encoder()
        stream = cast(VideoStream, self._container.add_stream(encoder, rate=self._rate))
        width, height = self._size
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.options = _ENCODERS[context.codec.name]
        if self._quick and context.codec.name == "libx264":
            context.options = context.options | {"preset": "ultrafast", "tune": "zerolatency"}
        if self._file.grows and context.codec.name == "libx264":
            # No picture is kept back, and key frames are those that are asked for.
            context.options = context.options | {"tune": "zerolatency", "forced-idr": "1"}
        context.thread_count = self._threads
        context.time_base = self._tick
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        if self._tag:
            self._container.metadata["comment"] = self._tag
        if self._sound_file is not None:
            self._sound = _Sound(self._sound_file, self._container, self._start or 0.0)
        return stream

    def _add_sound(self, until: int) -> None:
        if self._sound is not None:
            self._sound.add(until * self._tick)

    def _finish(self) -> None:
        with _os_errors():
            assert self._stream is not None
            self._container.mux(self._stream.encode(None))
            self._add_sound(self._last + self._duration)
            self._release()
        if self._tag:
            _retag(self._file.part, self._tag, _tag(self._held))

    @staticmethod
    def sources_in(path: Path) -> set[str]:
        """The sources that its tag names; none where only one source was meant."""
        with open_container(os.fspath(path)) as container:
            comment = container.metadata.get("comment", "")
        return {*json.loads(comment.removeprefix(_TAG))} if comment.startswith(_TAG) else set()

    def _release(self) -> None:
        if self._sound is not None:
            self._sound.close()
        with _os_errors():
            self._container.close()


def _as_fraction(rate: float | None) -> Fraction:
    return Fraction(min(max(rate or _DEFAULT_RATE, _SLOWEST), _FASTEST)).limit_denominator(1001)


def _tag(sources: Collection[str]) -> str:
    """What a file's tag says of the sources it holds; ASCII."""
    return _TAG + json.dumps(sorted(sources))


def _retag(file: Path, written: str, true: str) -> None:
    """Put a shorter tag, filled up with spaces, in the place of the one that was written.

    A tag is written with the header, when nobody knows yet which sources will fail.
    """
    if written == true:
        return
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as content:
        at = content.find(written.encode())
        if at >= 0:
            content[at : at + len(written)] = true.ljust(len(written)).encode()


class _Sound:
    """The first sound track of a file, on its way into another.

    start  where it begins, seconds after the file's first frame
    lost   why there is no sound, or not all of it, although the file has some
    """

    def __init__(
        self, path: str | os.PathLike[str], container: OutputContainer, start: float
    ) -> None:
        self.lost: str | None = None
        self._container = container
        self._opened = ExitStack()
        self._packets: Iterator[_Timed] = iter(())
        with self._losing():
            source = self._opened.enter_context(open_container(os.fspath(path)))
            if source.streams.audio:
                self._packets = _packets(source, container, Fraction(start))
        self._next = self._read()

    def add(self, until: Fraction) -> None:
        """Hand on what begins before `until`, in seconds after `start`."""
        while self._next is not None and self._next[0] < until:
            self._container.mux(self._next[1])
            self._next = self._read()

    def close(self) -> None:
        self._opened.close()

    def _read(self) -> _Timed | None:
        with self._losing():
            return next(self._packets, None)
        return None

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Give the sound up, not the video."""
        try:
            yield
        except (av.FFmpegError, OSError, SourceError) as error:
            self.lost = reason(error) if isinstance(error, av.FFmpegError) else str(error)


def _packets(
    source: InputContainer, container: OutputContainer, start: Fraction
) -> Iterator[_Timed]:
    """The packets of the first sound track that are heard after `start`, which becomes 0.

    The new track is there when this returns, before the first packet is read.
    """
    track = source.streams.audio[0]
    codec = track.codec_context.codec.canonical_name
    zero = start + _first_time(source)
    if start > 1:
        with suppress(av.FFmpegError):  # what cannot be sought is read from its beginning
            source.seek(int(zero * av.time_base))
    is_avi = container.format.name == "avi"
    if codec in (_COPIED_TO_AVI if is_avi else _COPIED):
        return _copied(source, track, container.add_stream_from_template(track), zero)
    # Old files name no layout, only channels; more than two are mixed down.
    layout = "mono" if track.layout.nb_channels == 1 else "stereo"
    encoder = container.add_stream("ac3" if is_avi else "aac", rate=track.rate, layout=layout)
    return _encoded(source, track, encoder, zero)


def _copied(
    source: InputContainer, track: AudioStream, copy: AudioStream, zero: Fraction
) -> Iterator[_Timed]:
    last = None
    for packet in source.demux(track):
        pts, dts, tick = packet.pts, packet.dts, packet.time_base
        if pts is None or dts is None or (last is not None and dts <= last):
            continue  # the end, or a clock that goes back, which no container takes
        last = dts
        shift = round(zero / tick)
        if pts + 2 * (packet.duration or 0) <= shift:
            continue  # the one just before is kept: decoders begin with it, and leave it out
        packet.pts, packet.dts, packet.stream = pts - shift, dts - shift, copy
        yield packet.pts * tick, packet


def _encoded(
    source: InputContainer, track: AudioStream, encoder: AudioStream, zero: Fraction
) -> Iterator[_Timed]:
    def encode(frame: AudioFrame | None) -> Iterator[_Timed]:
        for packet in encoder.encode(frame):
            yield (packet.pts or 0) * packet.time_base, packet

    for frame in source.decode(track):
        if frame.pts is None or frame.time_base is None:
            continue
        begin = frame.pts * frame.time_base - zero
        if begin + Fraction(frame.samples, frame.sample_rate) > 0:
            frame.pts = round(begin / frame.time_base)
            yield from encode(frame)
    yield from encode(None)


def _first_time(source: InputContainer) -> Fraction:
    """When the first frame is seen, in seconds on the clock of the container."""
    stream = video_stream(source, told(source.name))
    if stream.start_time is None or stream.time_base is None:
        return Fraction(0)
    return stream.start_time * stream.time_base


@contextmanager
def _os_errors() -> Iterator[None]:
    """Turn libav's errors into OSError, as far as they are none."""
    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


def _options(suffix: str, *, grows: bool) -> dict[str, str]:
    """What the container is opened with."""
    if suffix == ".avi":
        return {}
    if suffix == ".mkv":
        cluster = f"{1000 * _FRAGMENT:.0f}"
        return {"cluster_time_limit": cluster, "flush_packets": "1"} if grows else {}
    if not grows:
        return {"movflags": "+faststart"}
    return {"movflags": "+frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}


def _encoder() -> str:
    for name in _ENCODERS:
        with suppress(av.codec.codec.UnknownCodecError):
            av.Codec(name, "w")
            return name
    raise OutputError("this build of libav has no encoder for video: pip install av")


def _even(picture: Picture) -> Picture:
    """The picture with sides of an even number of pixels; the last ones are repeated."""
    height, width = picture.shape[:2]
    if width % 2 or height % 2:
        edges = 0, height % 2, 0, width % 2
        return np.asarray(cv2.copyMakeBorder(picture, *edges, cv2.BORDER_REPLICATE), np.uint8)
    return np.ascontiguousarray(picture)
