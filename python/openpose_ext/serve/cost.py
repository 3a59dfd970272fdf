"""Estimates the memory that an upload needs, by its header, before anything is decoded.

The figures are bytes per pixel: the growth of the process's peak with pictures and videos of 16 and
49 megapixels, and a margin. They are maxima, not averages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import cv2

from openpose_ext.io.container import open_container, video_stream
from openpose_ext.models.lookup import NETWORKS, find_model
from openpose_ext.serve.options import Networks
from openpose_ext.sources.animation import frames_at_once, is_animated
from openpose_ext.sources.picture_files import format_of, told_size
from openpose_ext.stages.preprocess import LONGEST

__all__ = [
    "PLAIN_SIDE",
    "Header",
    "Plan",
    "first_frame",
    "headers_need",
    "network_bytes",
    "plan",
    "read_header",
]

Kind = Literal["picture", "animation", "video"]

# Bytes per pixel for decoding a picture, by format, the picture itself included.
_DECODED = {"JPEG": 13, "PNG": 18, "WebP": 12, "GIF": 12, "BMP": 10, "AVIF": 34, "JPEG 2000": 30}
_DECODED_ELSE = 26  # TIFF may have pixels of 64 bits, all in one strip
_ANIMATED, _ANIMATED_FRAME = 14, 8  # the decoder's own canvases, and each frame that it returns
_FIRST_LOOK = 64  # for opening a video: FFmpeg decodes some frames to find out their order
_FIRST_LOOK_AT_PICTURE = 16

_PICTURE = 3  # (H, W, 3) uint8
_WRITTEN = 16  # a picture, its drawing on black, and the buffers while it becomes a PNG
_ENCODER, _QUICK_ENCODER = 108, 23  # x264's look-ahead, with the converted frame
PLAIN_SIDE = 1920  # longest side of a picture or video without skeletons, in pixels
_RATE = 30.0  # frames per second, if nothing tells

# An estimator: for each network, a multiple of its file, and bytes per pixel of its input for each
# picture that is processed at once. The original networks need far more.
_NETWORK, _WEIGHTS, _NETWORK_PIXEL, _HEAVY_PIXEL = 40_000_000, 2, 75, 2100
_HEAVY = 50_000_000  # bytes of a file

# Frames that a decoder keeps: references, and frames that are shown later.
_REFERENCES, _ALONE = 34, 2
_STEPS = (2_200_000, 9_000_000)  # pixels: most videos are smaller, and examining them is cheap


@dataclass(frozen=True)
class Header:
    """What the header of a file states.

    size       (width, height) of its pictures
    kind       "picture", "animation" or "video"
    form       for a picture: its format, see `format_of`
    pixel      for a video: bytes per decoded pixel
    held       for a video: number of frames that its decoder keeps
    rate       for a video: frames per second
    """

    size: tuple[int, int]
    kind: Kind
    form: str | None = None
    pixel: float = 3.0
    held: int = 0
    rate: float = 0.0

    @property
    def pixels(self) -> int:
        """Number of pixels of a picture."""
        return math.prod(self.size)


@dataclass(frozen=True)
class Plan:
    """How an upload is processed.

    bytes   most memory that it needs
    frames  number of frames that are processed at once
    quick   whether the encoder of its video delays few frames
    """

    bytes: int
    frames: int
    quick: bool = False


def headers_need(path: Path, most_pixels: int) -> list[tuple[int, int]]:
    """The ways to read a file's header, cheapest first: most pixels of a frame, and bytes needed.

    The next way is for files that were too large for the one before.
    """
    each = _FIRST_LOOK_AT_PICTURE if cv2.haveImageReader(str(path)) else _FIRST_LOOK
    steps = [*(step for step in _STEPS if step < most_pixels), most_pixels]
    return [(step, step * each) for step in steps]


def read_header(path: Path, most_pixels: int) -> Header | None:
    """Read a file's header; None if its frames have more pixels, or if it states no size.

    Raises SourceError if it is no picture or video.
    """
    is_picture = cv2.haveImageReader(str(path))
    with path.open("rb") as file:
        animated = is_animated(file)
        file.seek(0)
        form = format_of(file.read(16))
    kind: Kind = "video" if not is_picture else "animation" if animated else "picture"
    size = told_size(path, form) if is_picture else None
    if size is not None:
        return Header(size, kind, form)
    with open_container(str(path), most_pixels=most_pixels) as container:
        stream = video_stream(container, str(path))
        decoder = stream.codec_context
        size = decoder.width, decoder.height
        if not math.prod(size):
            return None
        if is_picture:
            return Header(size, kind, form)
        held = _ALONE if decoder.codec.intra_only else _REFERENCES
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        return Header(size, kind, None, _bytes_of(decoder.format), held, rate)


def _bytes_of(layout: av.VideoFormat | None) -> float:
    """Bytes per pixel of a decoded frame."""
    return 6.0 if layout is None else layout.padded_bits_per_pixel / 8


def plan(
    header: Header,
    most: int,
    workers: int,
    *,
    plain: bool,
    ahead: float = 0.0,
    closer: bool = False,
) -> Plan:
    """Choose how to process an upload: the fastest way that fits into the memory.

    most     bytes of memory
    workers  most frames that may be processed at once
    plain    whether pictures without skeletons are kept, too
    ahead    seconds of frames that wait for later ones, because of ids and smoothing
    closer   whether hands, faces or feet are looked for, which needs the whole picture

    If no way fits, the result is the one that needs the least.
    """
    if header.kind == "picture":
        return Plan(header.pixels * max(int(_source(header)), _WRITTEN), 1)
    waits = header.pixel + (_PICTURE if closer else 0)
    waiting = math.ceil(ahead * (header.rate or _RATE)) * waits
    small = min(header.pixels, PLAIN_SIDE**2) * (_ENCODER + _PICTURE) if plain else 0

    def way(frames: int, *, quick: bool) -> Plan:
        in_hand = (3 * frames if frames > 1 else 1) * (header.pixel + 2 * _PICTURE)
        encoder = _QUICK_ENCODER if quick else _ENCODER
        pixel = _source(header) + waiting + in_hand + _PICTURE + encoder
        return Plan(math.ceil(header.pixels * pixel) + small, frames, quick)

    counts = sorted({workers, max(1, workers // 2), 1}, reverse=True)
    ways = [way(frames, quick=quick) for quick in (False, True) for frames in counts]
    return next((one for one in ways if one.bytes <= most), ways[-1])


def first_frame(header: Header) -> int:
    """Bytes needed until the first picture of a file is decoded."""
    return math.ceil(header.pixels * _source(header))


def _source(header: Header) -> float:
    """Bytes per pixel while a file is decoded."""
    if header.kind == "video":
        return header.held * header.pixel
    if header.kind == "animation":
        return _ANIMATED + _ANIMATED_FRAME * frames_at_once(header.size)
    return _DECODED.get(header.form or "", _DECODED_ELSE)


def network_bytes(networks: Networks, streams: int, looks: float = 1.0) -> int:
    """Bytes that an estimator with these networks needs.

    streams  pictures that it processes at once
    looks    factor of its input's size, by scales and mirroring
    """
    names = (networks.body, networks.hand, networks.face, networks.foot)
    sizes = [
        find_model(name, NETWORKS[kind]).stat().st_size
        for kind, name in zip(("body", "hand", "face", "foot"), names, strict=True)
        if name != "none"
    ]
    heavy = max(sizes, default=0) > _HEAVY
    pixels = networks.height**2 * LONGEST * looks
    a_stream = pixels * (_HEAVY_PIXEL if heavy else _NETWORK_PIXEL)
    return math.ceil(_NETWORK * len(sizes) + _WEIGHTS * sum(sizes) + streams * a_stream)
