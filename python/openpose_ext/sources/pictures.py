"""Picture files: finding them and reading them.

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

import glob
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from openpose_ext.errors import SourceError

__all__ = ["SUFFIXES", "Found", "PictureFile", "find_pictures", "read_picture"]

Picture = npt.NDArray[np.uint8]

# What a folder is searched for. HEIC cannot be decoded, but a folder of a telephone's pictures
# had better be refused by name than found empty.
SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif",
        ".avif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif",
    )
)  # fmt: skip

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


@dataclass(frozen=True)
class PictureFile:
    """A picture's file, and the root it was found under.

    path  as it can be opened
    root  the folder that was searched, or the one that holds a file which was named itself
    """

    path: Path
    root: Path

    @property
    def relative(self) -> Path:
        """The path below the root."""
        return self.path.relative_to(self.root)


@dataclass(frozen=True)
class Found:
    """What the inputs amount to.

    pictures  in the order of the inputs, sorted within a folder or pattern, each once
    skipped   how many files were left out because they are outputs
    """

    pictures: tuple[PictureFile, ...]
    skipped: int = 0


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """The picture of a file as (H, W, 3) uint8 BGR, upright.

    Raises SourceError, naming the file and the reason, if it cannot be opened, is empty,
    truncated or damaged, or is no picture.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    if not data:
        raise SourceError(f"{path}: the file is empty")
    try:
        return _decoded(data)
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from error


def find_pictures(
    inputs: Sequence[str | os.PathLike[str]], *, exclude: Sequence[str | os.PathLike[str]] = ()
) -> Found:
    """The pictures that files, folders, glob patterns and lists stand for.

    inputs   A file is taken whatever its name, a folder with all below it, without hidden
             entries. A glob pattern (`**` included) gives the pictures and folders it matches. A
             file `.txt` is a list: one path a line, relative to the list.
    exclude  output folders. What lies below one inside a searched folder is skipped; where the
             output folder holds the searched folder, files `*_rendered.*` are.

    Raises ValueError if an input matches nothing or cannot be listed.
    """
    real_folder = cache(os.path.realpath)
    outputs = {os.path.realpath(folder) for folder in exclude}
    found: dict[str, PictureFile] = {}
    skipped: set[str] = set()
    for given in inputs:
        matched = False
        for picture, named in _expand(Path(given)):
            path = os.path.abspath(picture.path)
            root = real_folder(picture.root)
            if not named and any(_is_output(picture, root, folder) for folder in outputs):
                skipped.add(path)
            else:
                found.setdefault(path, picture)
                matched = True
        if not matched:
            hint = f" ({len(skipped)} files skipped as outputs)" if skipped else ""
            raise ValueError(f"nothing matches the input {os.fspath(given)!r}{hint}")
    return Found(tuple(found.values()), len(skipped - found.keys()))


def _expand(given: Path) -> Iterator[tuple[PictureFile, bool]]:
    """The pictures one input stands for, each with whether it was named itself."""
    if given.is_dir():
        yield from ((picture, False) for picture in _in_folder(given, given))
    elif given.suffix.lower() == ".txt" and given.is_file():
        yield from ((picture, True) for picture in _in_list(given))
    elif os.path.lexists(given):
        yield PictureFile(given, given.parent), True
    elif glob.has_magic(os.fspath(given)):
        yield from ((picture, False) for picture in _in_pattern(given))


def _in_folder(folder: Path, root: Path) -> list[PictureFile]:
    def refuse(error: OSError) -> None:
        raise ValueError(f"{error.filename}: {error.strerror}") from error

    paths: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(place, name) for name in names if _is_picture_name(name)]
    return [PictureFile(path, root) for path in sorted(paths)]


def _in_pattern(pattern: Path) -> Iterator[PictureFile]:
    fixed = list(pattern.parts)
    while any(glob.has_magic(part) for part in fixed):
        fixed.pop()
    root = Path(*fixed)
    for match in sorted(map(Path, glob.glob(os.fspath(pattern), recursive=True))):
        if match.is_dir():
            yield from _in_folder(match, root)
        elif _is_picture_name(match.name):
            yield PictureFile(match, root)


def _in_list(file: Path) -> Iterator[PictureFile]:
    try:
        text = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    for line in map(bytes.strip, text.splitlines()):
        if line:
            path = file.parent / os.fsdecode(line)
            below = path.is_relative_to(file.parent) and ".." not in path.parts
            yield PictureFile(path, file.parent if below else path.parent)


def _is_picture_name(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _is_output(picture: PictureFile, root: str, folder: str) -> bool:
    """Whether a picture is a result in an output folder; root, folder: without links."""
    if not _is_below(os.path.join(root, picture.relative), folder):
        return False
    inside = folder != root and _is_below(folder, root)
    return inside or picture.path.stem.endswith("_rendered")


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


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
