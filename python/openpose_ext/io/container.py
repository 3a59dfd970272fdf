"""Media containers, opened safely."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import IO, Any, overload

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from openpose_ext.errors import SourceError
from openpose_ext.io.web import without_secrets

__all__ = ["Opener", "demuxed", "is_address", "open_container", "reason", "told", "video_stream"]

# Demuxers that open further files and addresses that a file names, and one that takes any text for
# a picture. A file may come from a stranger and must not decide what else is read.
_REFUSED_FORMATS = frozenset(
    ("concat", "concatf", "dash", "hls", "image2", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp",
     "tty")
)  # fmt: skip


# FFmpeg's messages for an index that is cut off, and for a refused format.
_DAMAGED = (errno.EIO, errno.EINVAL)


# Seconds that an address may take for each answer.
_PATIENCE = 10.0


Opener = Callable[[], IO[bytes]]


def is_address(name: str) -> bool:
    """Whether a name is an address, such as rtsp://..., and no path; file:///... is one."""
    has_scheme = "://" in name and not name.lower().startswith("file://")
    return has_scheme and not os.path.lexists(name)


def told(name: str) -> str:
    """An address without user, password and query; other names unchanged."""
    if not is_address(name):
        return name
    return without_secrets(name)


def open_container(
    name: str,
    *,
    options: Mapping[str, str] | None = None,
    patience: float = _PATIENCE,
    most_pixels: int | None = None,
    opened: Opener | None = None,
) -> InputContainer:
    """Open a file or an address, which may take `patience` seconds for each answer.

    most_pixels  streams with larger frames are not examined; they may be without a size
    opened       opens the file instead of libav

    Raises SourceError, with the reason, if it cannot be opened.
    """
    try:
        if opened is not None:
            return _open(
                opened(), options={"format_whitelist": _allowed_formats(), **_bound(most_pixels)}
            )
        if is_address(name):
            return _open(name, options=dict(options or {}), timeout=patience)
        # No protocol but `file`: a path may look like an address of one.
        return _open(
            f"file:{name}",
            options={
                "format_whitelist": _allowed_formats(),
                "protocol_whitelist": "file",
                **_bound(most_pixels),
            },
        )
    except av.error.FFmpegError as error:
        unreached = is_address(name) and error.errno == errno.EIO  # also of names that nobody has
        why = "cannot be reached: unknown host, or no network" if unreached else reason(error)
        shown = told(name) if opened is None else name
        raise SourceError(f"{shown}: {why}") from error


def _open(file: str | IO[bytes], **options: Any) -> InputContainer:
    if int(av.__version__.split(".")[0]) < 19:
        options["metadata_errors"] = "replace"  # titles in any encoding; PyAV 19 has them so
    container: InputContainer = av.open(file, "r", **options)
    return container


def _bound(most_pixels: int | None) -> dict[str, str]:
    """Options with which a decoder refuses frames of more pixels."""
    return {} if most_pixels is None else {"max_pixels": str(most_pixels)}


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The default stream of pictures that is no cover, or the first of them.

    Raises SourceError if there is none.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise SourceError(f"{name}: it has no video, only sound or data")
    chosen = next((s for s in streams if s.disposition & Disposition.default), streams[0])
    if chosen.codec_context is None:
        raise SourceError(f"{name}: there is no decoder for its pictures")
    return chosen


@overload
def demuxed(container: InputContainer) -> Iterator[Packet[Stream]]: ...


@overload
def demuxed(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]: ...


def demuxed(container: InputContainer, stream: VideoStream | None = None) -> Iterator[Packet[Any]]:
    """The packets of a stream, or of all streams. Raises FFmpegError where reading fails."""
    # At the end PyAV yields an empty packet, or fails for a stream that began in the middle.
    with suppress(IndexError):
        for packet in container.demux() if stream is None else container.demux(stream):
            if packet.dts is not None or packet.pts is not None or packet.size:
                yield packet


def reason(error: av.error.FFmpegError) -> str:
    """FFmpeg's reason for an error, in a few words."""
    if isinstance(error, av.error.InvalidDataError) or error.errno in _DAMAGED:
        return "damaged, or of a format that cannot be read"
    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return error.strerror or str(error)


@cache
def _allowed_formats() -> str:
    return ",".join(sorted(av.formats_available - _REFUSED_FORMATS))
