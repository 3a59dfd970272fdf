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

# A packet of sound, and the second at which it is heard.
_Timed: TypeAlias = "tuple[Fraction, Packet[AudioStream]]"

# Suffixes, and libav's names of the containers. AVI has a single frame rate and repeats a frame if
# the next one is late; all others store the time of each frame.
VIDEO_SUFFIXES = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi",
}  # fmt: skip

# The encoders in order of preference, with settings that are fast and lose nothing visible. PyAV's
# wheels have the first one. Other builds of libav may lack it, but all have the second.
_ENCODERS = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "mpeg4": {"flags": "+qscale", "global_quality": str(3 * 118)},  # q is counted in 118ths
}

# Sound formats that are copied into a container. Other sound is encoded again.
_COPIED = ("aac", "mp3", "ac3", "eac3", "alac", "opus")
_COPIED_TO_AVI = ("mp3", "ac3")

# Beginning of the comment that says which sources a file holds.
_TAG = "openpose_ext sources "

_DEFAULT_RATE = 30.0
_SLOWEST, _FASTEST = 0.001, 1000.0  # frame rates outside are ignored
_LEAST_TICKS = 10_000  # per second: times are exact to 0.1 ms
_FRAGMENT = 0.5  # seconds of a growing file that are written at a time


class VideoWriter(FrameWriter):
    """Writes frames with the people drawn on them as a video.

    path     path with one of `VIDEO_SUFFIXES`
    rate     frames per second of the source, for the duration of the last frame and of frames
             without times; None takes 30
    sound    the file to take the sound from, usually the source; None for silence
    sources  names of the sources if several follow one another; they are stored in a metadata tag
    threads  threads of the encoder
    quick    let the encoder delay few frames: it needs a quarter of the memory, which matters for
             large frames, and makes a larger file
    render   (picture, poses) -> picture: draws the people
    grows    whether the file can be played while it is written, up to about the last second

    `write` draws a frame and adds it; `add` adds a picture that is drawn already. Pictures keep the
    times of their frames, counted from the first; after `next_clip`, another source's follow. The
    source's sound is added from the first frame to the end of the last one. Colours are BT.709,
    4:2:0; sides with an odd number of pixels get one more. Pictures of another size than the first
    are fitted into its size. If no picture is added, no file appears.

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
        self._start: float | None = None  # start of the clip in seconds of its source
        self._begin_at = 0  # start of the clip in ticks
        self._last = -self._duration  # time of the last picture in ticks
        self._last_key = -math.inf  # time of the last key frame in ticks
        self._fits = False  # whether a picture of another size has come
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

        rate  frames per second of that source
        """
        if self._stream is not None:
            self._begin_at = self._last + self._duration
        self._start = None
        self._duration = max(1, round(1 / _as_fraction(rate) / self._tick))

    def hold(self, source: str) -> None:
        """Say that all frames of a source have been added; only such sources get into the tag."""
        self._held.add(source)

    def add(self, picture: Picture, time: float | None = None) -> None:
        """Add a picture (H, W, 3) uint8 BGR that is shown from `time` on, in seconds of the source.

        Raises the errors of the constructor and of `write`.
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
        # If a camera's clock stands still or goes back, the frame comes right after the last one.
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
        """Warn once per file."""
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
        """Open all streams, which must exist before the first packet."""
        # AVI stores no times; for H.264 in it libav invents some, one frame late.
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
            # Delay no pictures, and make key frames only where they are asked for.
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
        """The sources in its tag; none if the file was made for a single source."""
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
    """The tag that names the sources of a file; ASCII."""
    return _TAG + json.dumps(sorted(sources))


def _retag(file: Path, written: str, true: str) -> None:
    """Replace the tag of a file by a shorter one, padded with spaces.

    The tag is written with the header, when it is not known yet which sources will fail.
    """
    if written == true:
        return
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as content:
        at = content.find(written.encode())
        if at >= 0:
            content[at : at + len(written)] = true.ljust(len(written)).encode()


class _Sound:
    """The first sound track of a file, on its way into another.

    start  where to begin, in seconds after the file's first frame
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
        """Add the sound that begins before `until`, in seconds after `start`."""
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
        """Let errors end the sound, but not the video."""
        try:
            yield
        except (av.FFmpegError, OSError, SourceError) as error:
            self.lost = reason(error) if isinstance(error, av.FFmpegError) else str(error)


def _packets(
    source: InputContainer, container: OutputContainer, start: Fraction
) -> Iterator[_Timed]:
    """The packets of the first sound track that are heard after `start`, which becomes time 0.

    When this returns, the new track has been added, but no packet has been read.
    """
    track = source.streams.audio[0]
    codec = track.codec_context.codec.canonical_name
    zero = start + _first_time(source)
    if start > 1:
        with suppress(av.FFmpegError):  # files that cannot seek are read from the beginning
            source.seek(int(zero * av.time_base))
    is_avi = container.format.name == "avi"
    if codec in (_COPIED_TO_AVI if is_avi else _COPIED):
        return _copied(source, track, container.add_stream_from_template(track), zero)
    # Old files state only the number of channels, not the layout; more than two are mixed down.
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
            continue  # the end, or a time that goes back, which containers refuse
        last = dts
        shift = round(zero / tick)
        if pts + 2 * (packet.duration or 0) <= shift:
            continue  # keep the packet just before the start: decoders need it and do not play it
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
    """The time of the first frame, in seconds on the container's clock."""
    stream = video_stream(source, told(source.name))
    if stream.start_time is None or stream.time_base is None:
        return Fraction(0)
    return stream.start_time * stream.time_base


@contextmanager
def _os_errors() -> Iterator[None]:
    """Turn libav's errors into OSError, if they are not that already."""
    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


def _options(suffix: str, *, grows: bool) -> dict[str, str]:
    """The options for opening the container."""
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
    import cv2

    height, width = picture.shape[:2]
    if width % 2 or height % 2:
        edges = 0, height % 2, 0, width % 2
        return np.asarray(cv2.copyMakeBorder(picture, *edges, cv2.BORDER_REPLICATE), np.uint8)
    return np.ascontiguousarray(picture)
