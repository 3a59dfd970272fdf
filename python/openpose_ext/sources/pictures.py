"""Reads picture files.

OpenCV decodes them. What it leaves open is decided here:

- Files are read whole and decoded from memory: OpenCV's file reader cannot open unicode paths on
  some platforms and fills the missing part of a truncated JPEG with grey, while its decoder of
  buffers reports the truncation.
- EXIF orientation is applied; for AVIF the file's own orientation instead.
- Transparent pictures are laid on white, because the colours under transparent pixels are
  arbitrary.
- Channels of 10, 12 and 16 bits keep their upper eight bits. If a 16-bit file uses only its lowest
  bits, as files of 12-bit sensors do, the upper eight of those are taken, with a warning. Grey
  pictures become three equal channels.
- A JPEG or PNG that only lacks its last bytes is read, with a warning.
- Animations give their first frame; `sources.animation` gives them all.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from warnings import warn

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import SourceError, SourceWarning
from openpose_ext.sources.picture_files import (
    avif_orientation,
    depth,
    exif_orientation,
    format_of,
    mended,
    unusual_tiff,
    whole_chunks,
)
from openpose_ext.types.arrays import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PictureLike", "as_picture", "decode_picture", "on_white", "read_picture"]

# cv2.imread returns None for a file that it cannot read; `as_picture` refuses it and says so.
PictureLike: TypeAlias = "npt.NDArray[Any] | str | PathLike[str] | Image | None"

_STRIP = 1 << 16  # pixels that are converted at a time

# By EXIF orientation: whether the stored picture is transposed, and then the code of cv2.flip.
_TURNS: dict[int, tuple[bool, int | None]] = {
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Read a picture file: (H, W, 3) uint8 BGR, upright.

    path  a path, or an address: https://host/picture.jpg or file:///path

    Warns (`SourceWarning`) if the file's last bytes are missing or if it uses few of its bits.
    Raises SourceError, naming the file and the reason, if it cannot be opened, is empty, truncated
    or damaged, or is no picture.
    """
    if "://" in os.fspath(path) and not os.path.lexists(path):
        from openpose_ext.io.web import fetched, is_web, local_path, without_secrets

        name = os.fspath(path)
        if is_web(name):
            return decode_picture(fetched(name), without_secrets(name))
        path = local_path(name)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            raise SourceError(f"{path}: it is no regular file")  # a pipe may never end
        data = Path(path).read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # a null character
        raise SourceError(f"{path}: {error}") from error
    return decode_picture(data, os.fspath(path))


def decode_picture(data: bytes, name: str) -> Picture:
    """Decode a picture file's bytes, as `read_picture` does; `name` is used in messages."""
    if not data:
        raise SourceError(f"{name}: the file is empty")
    try:
        return _decoded(data, name)
    except ValueError as error:
        raise SourceError(f"{name}: {error}") from error


def _decoded(data: bytes, name: str) -> Picture:
    """Decode bytes to (H, W, 3) uint8 BGR. Raises ValueError with the reason if they cannot be."""
    kind = format_of(data)
    if kind == "HEIC":
        raise ValueError("HEIC pictures cannot be decoded; convert it to JPEG or PNG")
    image, exif = _opened(data, kind)
    if image is None:
        image, exif = _without_end(data, kind)
        _odd(name, f"the end of the {kind} is missing, and no pixel of it")
    bits = depth(data, kind)
    if image.dtype == np.uint16:
        if bits in (None, 16):
            bits = _bits_used(image)
            if bits < 16:
                _odd(name, f"16 bits, of which {bits} are used: it is brightened")
        image = _upper_eight(image, bits)
        premultiplied = False
    else:
        premultiplied = kind == "TIFF"
    turn = avif_orientation(data) if kind == "AVIF" else exif_orientation(exif)
    return _upright(_bgr(image, premultiplied=premultiplied), turn)


def _upright(picture: Picture, turn: int) -> Picture:
    """The picture turned as its EXIF orientation says."""
    import cv2

    transposed, flip = _TURNS.get(turn, (False, None))
    if transposed:
        picture = np.asarray(cv2.transpose(picture), np.uint8)
    if flip is not None:
        picture = np.asarray(cv2.flip(picture, flip), np.uint8)
    return np.ascontiguousarray(picture)


def _odd(name: str, what: str) -> None:
    warn(f"{name}: {what}", SourceWarning, stacklevel=4)  # at the caller of `decode_picture`


def _opened(data: bytes, kind: str | None) -> tuple[npt.NDArray[Any] | None, bytes]:
    """The stored pixels (None if they cannot be decoded) and the EXIF block."""
    import cv2

    if kind == "PNG" and whole_chunks(data)[-8:-4] != b"IEND":
        return None, b""  # OpenCV would say so on stderr, too
    try:
        # Only IMREAD_UNCHANGED keeps the alpha channel; it does not apply the orientation.
        image, kinds, blobs = cv2.imdecodeWithMetadata(
            np.frombuffer(data, np.uint8), flags=cv2.IMREAD_UNCHANGED
        )
    except cv2.error as error:
        raise ValueError(f"the {kind or 'picture'} cannot be decoded: {error.err}") from error
    exif = dict(zip(kinds, blobs, strict=True)).get(cv2.IMAGE_METADATA_EXIF)
    return image, b"" if exif is None else bytes(exif)


def _without_end(data: bytes, kind: str | None) -> tuple[npt.NDArray[Any], bytes]:
    """Decode a file that only lacks its last bytes. Raises ValueError with the reason if pixels are
    missing."""
    if kind is None:
        raise ValueError("not a picture, or of a format that OpenCV cannot read")
    unusual = unusual_tiff(data) if kind == "TIFF" else None
    if unusual is not None:
        raise ValueError(unusual)
    whole = mended(data, kind)
    image, exif = (None, b"") if whole is None else _opened(whole, kind)
    if image is not None:
        return image, exif
    raise ValueError(f"truncated or damaged {kind}")


def _bits_used(image: npt.NDArray[np.uint16]) -> int:
    """How many of 16 bits are used: 8, 10, 12, 14 (as from sensors) or 16."""
    brightest = int(image.max()) or 0xFFFF  # a black picture stays black
    return next(bits for bits in (8, 10, 12, 14, 16) if brightest < 1 << bits)


def on_white(image: npt.NDArray[Any]) -> Picture:
    """Convert a picture decoded by OpenCV to (H, W, 3) uint8 BGR, transparent parts on white."""
    if image.dtype == np.uint16:
        image = _upper_eight(image, 16)
    return np.ascontiguousarray(_bgr(image, premultiplied=False))


def _bgr(image: npt.NDArray[Any], *, premultiplied: bool) -> Picture:
    """Convert a picture decoded by OpenCV to (H, W, 3) uint8, transparent parts on white.

    premultiplied  whether colours are multiplied by alpha already, as libtiff returns 8-bit ones
    """
    import cv2

    if image.dtype != np.uint8:
        raise ValueError(f"pixels are {image.dtype}; pictures of 8 or 16 bits can be read")
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.shape[2] == 3:
        return image
    if image.shape[2] != 4:
        raise ValueError(f"pixels have {image.shape[2]} channels; 1, 3 or 4 can be read")
    if image[..., 3].min() == 255:
        return np.asarray(image[..., :3], np.uint8)
    on_white: Picture = np.empty((*image.shape[:2], 3), np.uint8)
    for rows in _strips(image):
        colour, alpha = image[rows, :, :3], image[rows, :, 3:]
        shown = colour.astype(np.float32)
        if not premultiplied:
            shown *= alpha * np.float32(1 / 255)
        on_white[rows] = np.minimum(shown + (255 - alpha) + 0.5, 255)
    return on_white


def _upper_eight(image: npt.NDArray[np.uint16], bits: int) -> npt.NDArray[np.uint8]:
    """The upper eight of `bits` bits."""
    upper = np.empty(image.shape, np.uint8)
    for rows in _strips(image):
        upper[rows] = image[rows] >> (bits - 8)
    return upper


def _strips(image: npt.NDArray[Any]) -> Iterator[slice]:
    """Rows to convert at a time, so that intermediate arrays stay small."""
    step = max(1, _STRIP // image.shape[1])
    return (slice(row, row + step) for row in range(0, len(image), step))


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
    if source is None:
        raise TypeError("there is no picture: cv2.imread gives None for a file it cannot read")
    if _is_pil(source):
        return _from_pil(source)
    if isinstance(source, (list, tuple)):
        raise TypeError(
            f"one picture is expected, not a {type(source).__name__}: batch(pictures) of an "
            "estimator takes several"
        )
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
    if array.ndim == 4 and array.shape[3] == 3:
        raise ValueError(
            f"one picture is expected, not several in one array of {array.shape}: "
            "batch(pictures) of an estimator takes several"
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
    # A caller with a PIL image has imported PIL already; others need not have it.
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
