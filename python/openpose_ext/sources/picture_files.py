"""Reads from picture files what OpenCV does not return: bit depth, orientation, missing ends.

Sources: ISO/IEC 14496-12 and 23008-12 (boxes, `irot`, `imir`, `pixi`), AV1-ISOBMFF (`av1C`),
ITU-T T.800 annex A (the SIZ segment of JPEG 2000), Exif 2.3, TIFF 6.0, PNG 1.2.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "avif_orientation",
    "depth",
    "exif_orientation",
    "format_of",
    "mended",
    "told_size",
    "unusual_tiff",
    "whole_chunks",
]

_SIGNATURES = (
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("WebP", 8, b"WEBP"),
    ("GIF", 0, b"GIF8"),
    ("TIFF", 0, b"II*\0"),
    ("TIFF", 0, b"MM\0*"),
    ("BMP", 0, b"BM"),
    ("AVIF", 4, b"ftypavif"),
    ("AVIF", 4, b"ftypavis"),
    ("HEIC", 4, b"ftyphei"),
    ("HEIC", 4, b"ftypmif1"),
    ("JPEG 2000", 4, b"jP  "),
    ("JPEG 2000", 0, b"\xff\x4f\xff\x51"),
)

_ORIENTATION = 0x0112
_FORMATS = {1: "B", 3: "H", 4: "I"}  # TIFF's types of whole numbers

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
# Appended in place of missing data: a decoder reads it if data is missing and ignores it otherwise.
_JPEG_FILL = b"\x55" * 64
_PIECE = 1 << 20  # bytes inflated at a time

# EXIF's orientation for a picture that is turned by `irot` (quarter turns counter-clockwise) and
# then mirrored by `imir` (None, 0: top and bottom, 1: left and right).
_ORIENTATIONS = {
    (0, None): 1, (0, 0): 4, (0, 1): 2,
    (1, None): 8, (1, 0): 5, (1, 1): 7,
    (2, None): 3, (2, 0): 2, (2, 1): 4,
    (3, None): 6, (3, 0): 7, (3, 1): 5,
}  # fmt: skip


def format_of(data: bytes) -> str | None:
    """The format's name by the file's first bytes, None if it is unknown."""
    return next((k for k, start, mark in _SIGNATURES if data.startswith(mark, start)), None)


def depth(data: bytes, kind: str | None) -> int | None:
    """The number of bits used in OpenCV's 16-bit values; None if all are.

    OpenCV returns 10- and 12-bit values of AVIF and JPEG 2000 in the low bits of 16.
    """
    if kind == "JPEG 2000":
        at = data.find(b"\xff\x4f\xff\x51")  # SOC, SIZ; the first channel's depth is 40 bytes on
        return (data[at + 42] & 0x7F) + 1 if 0 <= at < len(data) - 42 else None
    if kind == "AVIF":
        at = data.find(b"av1C\x81")
        flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
        return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    return None


def exif_orientation(exif: bytes) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) if there is none or the block is damaged."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = "<" if exif.startswith(b"II") else ">"
    try:
        (first,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, first)
        for entry in range(count):
            at = first + 2 + 12 * entry
            tag, kind = struct.unpack_from(order + "HH", exif, at)
            if tag == _ORIENTATION:
                (value,) = struct.unpack_from(order + _FORMATS[kind], exif, at + 8)
                return int(value)
    except (struct.error, KeyError):
        pass
    return 1


def avif_orientation(data: bytes) -> int:
    """The orientation of an AVIF picture as an EXIF number, 1 to 8.

    It comes from the boxes `irot` and `imir`; EXIF in the file is ignored, as the standard says and
    browsers do.
    """
    try:
        return _ORIENTATIONS[_avif_turns(data)]
    except (struct.error, IndexError, KeyError, StopIteration):
        return 1


def told_size(path: Path, kind: str | None) -> tuple[int, int] | None:
    """(width, height) by the header of an AVIF or WebP file; None for others and damaged ones.

    For the other formats FFmpeg tells the size. For AVIF it only knows that of a tile, which it has
    to decode, and for animated WebP none.
    """
    if kind not in ("AVIF", "WebP"):
        return None
    data = path.read_bytes()
    try:
        if kind == "WebP" and data[12:16] == b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(
                data[27:30], "little"
            ) + 1
        if kind == "AVIF":
            meta = next(body for name, body in _boxes(data) if name == b"meta")[4:]
            shared = dict(_boxes(dict(_boxes(meta))[b"iprp"]))
            sizes = [
                struct.unpack_from(">II", body, 4)
                for name, body in _boxes(shared[b"ipco"])
                if name == b"ispe"
            ]
            return max(sizes, key=math.prod)  # the sizes of a tile and of the whole picture
    except (struct.error, IndexError, KeyError, StopIteration, ValueError):
        pass
    return None


def _avif_turns(data: bytes) -> tuple[int, int | None]:
    """(quarter turns counter-clockwise, axis of the mirror or None) of the primary item."""
    meta = next(body for kind, body in _boxes(data) if kind == b"meta")[4:]
    parts = dict(_boxes(meta))
    item = int.from_bytes(parts[b"pitm"][4 : 8 if parts[b"pitm"][0] else 6])
    shared = list(_boxes(parts[b"iprp"]))
    known = list(_boxes(next(body for kind, body in shared if kind == b"ipco")))
    turns, mirror = 0, None
    for kind, body in shared:
        if kind == b"ipma":
            for index in _properties(body, item):
                name, content = known[index - 1] if index else (b"", b"")
                if name == b"irot":
                    turns = content[0] & 3
                elif name == b"imir":
                    mirror = content[0] & 1
    return turns, mirror


def _properties(body: bytes, wanted: int) -> Iterator[int]:
    """The numbers of an item's properties, counted from 1, in an `ipma` box."""
    version, wide = body[0], body[3] & 1
    (entries,) = struct.unpack_from(">I", body, 4)
    at = 8
    for _ in range(entries):
        (item,) = struct.unpack_from(">I" if version else ">H", body, at)
        at += 4 if version else 2
        count = body[at]
        at += 1
        for _ in range(count):
            if item == wanted:
                (index,) = struct.unpack_from(">H" if wide else ">B", body, at)
                yield index & (0x7FFF if wide else 0x7F)
            at += 2 if wide else 1


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of ISO's base media format, one after the other: kind and content."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        end = at + size if size else len(data)
        if end < at + head:
            return
        yield kind, data[at + head : end]
        at = end


def mended(data: bytes, kind: str | None) -> bytes | None:
    """Complete a JPEG or PNG that lacks only its last bytes; None if pixels are missing."""
    if kind == "JPEG" and not data.endswith(_JPEG_END):
        cut = data.removesuffix(_JPEG_END[:1])
        # If the coded data is complete, bytes after it do not change the pixels.
        one, other = (_jpeg_planes(cut + fill + _JPEG_END) for fill in (b"", _JPEG_FILL))
        return cut + _JPEG_END if one and one == other else None
    if kind == "PNG":
        return _png_without_end(data)
    return None


def _jpeg_planes(data: bytes) -> list[bytes]:
    """The planes of a JPEG; empty if it cannot be decoded. FFmpeg decodes it, because libjpeg would
    print warnings."""
    import av  # rarely needed, and slow to import
    import av.error

    try:
        frames = av.CodecContext.create("mjpeg", "r").decode(av.Packet(data))
    except av.error.FFmpegError:
        return []
    return [bytes(plane) for frame in frames for plane in frame.planes]


def whole_chunks(data: bytes) -> bytes:
    """A PNG up to the first chunk that is longer than the rest of the file.

    OpenCV would make room for all that such a chunk says it has: gigabytes, if it is damaged.
    """
    end = len(_SIGNATURES[1][2])
    for _, at, size in _png_chunks(data):
        end = at + 12 + size
    return data[:end]


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each whole chunk of a PNG, where it begins, and how long its content is."""
    at = len(_SIGNATURES[1][2])
    kind = b""
    while kind != b"IEND" and at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            return
        yield kind, at, size
        at += 12 + size


def _png_without_end(data: bytes) -> bytes | None:
    """Complete a PNG that breaks off in its last chunk; None if pixels are missing."""
    end = len(_SIGNATURES[1][2])
    pixels = zlib.decompressobj()
    for kind, at, size in _png_chunks(data):
        if kind == b"IEND":
            break
        if kind == b"IDAT":
            piece = data[at + 8 : at + 8 + size]
            try:
                while piece and not pixels.eof:
                    pixels.decompress(piece, _PIECE)
                    piece = pixels.unconsumed_tail
            except zlib.error:
                return None
        end = at + 12 + size
    return data[:end] + _PNG_END if pixels.eof and _PNG_END.startswith(data[end:]) else None


def unusual_tiff(data: bytes) -> str | None:
    """Why a TIFF's pixels cannot be read, by its first directory; None if they can.

    Never raises: for a damaged directory it returns None.
    """
    order = "<" if data.startswith(b"II") else ">"
    values: dict[int, int] = {}
    try:
        (first,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, first)
        for entry in range(count):
            at = first + 2 + 12 * entry
            tag, kind, length = struct.unpack_from(order + "HHI", data, at)
            if tag in (258, 277, 339) and kind in _FORMATS:
                form = order + _FORMATS[kind]
                inline = length * struct.calcsize(form) <= 4
                where = at + 8 if inline else struct.unpack_from(order + "I", data, at + 8)[0]
                (values[tag],) = struct.unpack_from(form, data, where)
    except struct.error:
        return None
    bits, channels, sample = (values.get(tag, 1) for tag in (258, 277, 339))
    if channels > 4:
        return f"pixels have {channels} channels; 1, 3 or 4 can be read"
    if sample in (2, 3) or bits not in (1, 2, 4, 8, 10, 12, 14, 16):
        name = {2: "int", 3: "float"}.get(sample, "uint")
        return f"pixels are {name}{bits}; pictures of 8 or 16 bits can be read"
    return None
