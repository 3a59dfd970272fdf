"""Picture files: reading them.

OpenCV decodes; what it leaves open is decided here:

- Files are read whole and decoded from memory. OpenCV's own file reader opens no unicode path on
  some platforms and hands out the lower part of a truncated JPEG as grey; its decoder of buffers
  reports truncation.
- EXIF orientation is applied.
- Transparent pictures are laid on white, as on a page. What lies hidden under transparent
  pixels is arbitrary and nobody's picture.
- 16-bit channels keep their upper eight bits. Gray becomes three equal channels.
- Of an animation the first frame is taken.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from openpose_ext.errors import SourceError
from openpose_ext.types.arrays import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PictureLike", "as_picture", "decode_picture", "read_picture"]

PictureLike: TypeAlias = "Picture | str | PathLike[str] | Image"

_SIGNATURES = (
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("WebP", 8, b"WEBP"),
    ("GIF", 0, b"GIF8"),
    ("TIFF", 0, b"II*\0"),
    ("TIFF", 0, b"MM\0*"),
    ("BMP", 0, b"BM"),
    ("AVIF", 4, b"ftypavif"),
    ("HEIC", 4, b"ftyphei"),
    ("HEIC", 4, b"ftypmif1"),
    ("JPEG 2000", 4, b"jP  "),
)

_ORIENTATION = 0x0112
_TURNS: dict[int, Callable[[Any], Any]] = {
    2: lambda picture: cv2.flip(picture, 1),
    3: lambda picture: cv2.rotate(picture, cv2.ROTATE_180),
    4: lambda picture: cv2.flip(picture, 0),
    5: cv2.transpose,
    6: lambda picture: cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE),
    7: lambda picture: cv2.rotate(cv2.transpose(picture), cv2.ROTATE_180),
    8: lambda picture: cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """The picture of a file as (H, W, 3) uint8 BGR, upright.

    Raises SourceError, naming the file and the reason, if it cannot be opened, is empty,
    truncated or damaged, or is no picture.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    return decode_picture(data, os.fspath(path))


def decode_picture(data: bytes, name: str) -> Picture:
    """The same of a file's bytes; `name` is what the error calls it."""
    if not data:
        raise SourceError(f"{name}: the file is empty")
    try:
        return _decoded(data)
    except ValueError as error:
        raise SourceError(f"{name}: {error}") from error


def _decoded(data: bytes) -> Picture:
    """Bytes of a picture file to (H, W, 3) uint8 BGR; ValueError with the reason if not."""
    kind = next((k for k, start, mark in _SIGNATURES if data.startswith(mark, start)), None)
    if kind == "HEIC":
        raise ValueError("HEIC pictures cannot be decoded; convert it to JPEG or PNG")
    try:
        # IMREAD_UNCHANGED alone keeps the alpha channel, and then leaves the picture unturned.
        image, kinds, blobs = cv2.imdecodeWithMetadata(
            np.frombuffer(data, np.uint8), flags=cv2.IMREAD_UNCHANGED
        )
    except cv2.error as error:
        raise ValueError(f"the {kind or 'picture'} cannot be decoded: {error.err}") from error
    if image is None:
        if kind is None:
            raise ValueError("not a picture, or of a format that OpenCV cannot read")
        raise ValueError(f"truncated or damaged {kind}")
    metadata = dict(zip(kinds, blobs, strict=True))
    exif = metadata.get(cv2.IMAGE_METADATA_EXIF)
    upright = _TURNS.get(1 if exif is None else _orientation(bytes(exif)), lambda picture: picture)
    return np.ascontiguousarray(upright(_bgr(image, premultiplied=kind == "TIFF")))


def _bgr(image: npt.NDArray[Any], *, premultiplied: bool) -> Picture:
    """Whatever OpenCV decodes to (H, W, 3) uint8, laid on white if it has an alpha channel.

    premultiplied: 8-bit colours are already multiplied by alpha, as libtiff hands them out.
    """
    straight = not premultiplied or image.dtype != np.uint8
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ValueError(f"pixels are {image.dtype}; pictures of 8 or 16 bits can be read")
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.shape[2] == 3:
        return image
    if image.shape[2] != 4:
        raise ValueError(f"pixels have {image.shape[2]} channels; 1, 3 or 4 can be read")
    colour, alpha = image[..., :3], image[..., 3:]
    if alpha.min() == 255:
        return colour
    shown = colour.astype(np.float32)
    if straight:
        shown *= alpha * np.float32(1 / 255)
    on_white: Picture = np.minimum(shown + (255 - alpha) + 0.5, 255).astype(np.uint8)
    return on_white


def _orientation(exif: bytes) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none or the block is damaged."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = "<" if exif.startswith(b"II") else ">"
    try:
        (first,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, first)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", exif, first + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return int(value)
    except struct.error:
        pass
    return 1


def as_picture(source: PictureLike) -> Picture:
    """A picture in the package's own form, (H, W, 3) uint8 BGR.

    source   such an array (returned as it is), a path, or a PIL image (converted; its EXIF
             orientation is applied, transparent ones are laid on white)
    Raises   TypeError for another type or dtype, ValueError for another shape or an empty
             picture, SourceError for a file that cannot be read
    """
    if isinstance(source, np.ndarray):
        return _checked_array(source)
    if isinstance(source, (str, PathLike)):
        return read_picture(source)
    if _is_pil(source):
        return _from_pil(source)
    raise TypeError(
        "a picture is an (H, W, 3) uint8 BGR array, a path or a PIL image, "
        f"not {type(source).__module__}.{type(source).__qualname__}"
    )


def _checked_array(array: npt.NDArray[np.generic]) -> Picture:
    if array.dtype != np.uint8:
        raise TypeError(
            f"a picture must be uint8 with values 0 to 255, not {array.dtype}; for floats in "
            "0 to 1: (picture * 255).round().astype(numpy.uint8)"
        )
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(
            f"a picture must be (height, width, 3) in BGR order, not {array.shape}; "
            "cv2.cvtColor makes it from grey or with an alpha channel"
        )
    if array.size == 0:
        raise ValueError(f"the picture is empty: {array.shape}")
    return np.asarray(array, np.uint8)


def _is_pil(source: object) -> bool:
    # Whoever has a PIL image has imported PIL; nobody else shall need it.
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(source, pil.Image)


def _from_pil(image: Image) -> Picture:
    from PIL import ImageOps
    from PIL.Image import alpha_composite, new

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        raise TypeError(
            f"a PIL picture of mode {image.mode} has more than 8 bits; scale it to 0..255 and "
            'convert it to "RGB" first'
        )
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        page = new("RGBA", upright.size, "white")
        upright = alpha_composite(page, upright.convert("RGBA"))
    rgb = np.asarray(upright.convert("RGB"))
    return _checked_array(np.ascontiguousarray(rgb[:, :, ::-1]))
