"""Videos for the tests; each frame shows its number in black and white bars."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 25
BITS = 8
SIZE = (128, 48)


def barred(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture that shows a number: white bars for ones, the lowest bit on the left."""
    bits = [255 * (number >> k & 1) for k in range(BITS)]
    gray = np.repeat(np.array(bits, np.uint8), -(-size[0] // BITS))[: size[0]]
    return np.broadcast_to(gray[None, :, None], (size[1], size[0], 3)).copy()


def shown(picture: np.ndarray) -> int:
    """The number that a picture shows."""
    bars = np.array_split(picture.mean(axis=(0, 2)), BITS)
    return sum(
        (bar[len(bar) // 4 : -len(bar) // 4].mean() > 127) << k for k, bar in enumerate(bars)
    )


def write(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, RATE),
    rotation: int | None = None,
    sound: bool = False,
    container: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Encode pictures; `times` are their timestamps in units of `time_base`."""
    with av.open(os.fspath(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = time_base
        if rotation is not None:
            stream.set_display_rotation(rotation)
        voice = file.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame.pts = number if times is None else times[number]
            frame.time_base = time_base
            file.mux(stream.encode(frame))
            if voice is not None:
                samples = np.zeros((1, 8000 // RATE), np.float32)
                heard = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
                heard.rate = 8000
                file.mux(voice.encode(heard))
        file.mux(stream.encode())
        if voice is not None:
            file.mux(voice.encode())
    return path


def numbered(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    return [barred(number, size) for number in range(count)]
