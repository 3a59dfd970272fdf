"""Caffe's binary weights (.caffemodel), read without Caffe.

Such a file is a protobuf message without header or checksum: layers, each with a name and blobs of
numbers. Only these are read; everything else is skipped by its length, and every length is checked
against the message it belongs to. A blob is in memory twice while it is copied, otherwise once.
Source: the field numbers of BVLC/caffe's caffe.proto, the encoding of protobuf's documentation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import prod
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import ModelError

__all__ = ["read_caffemodel"]

Floats = npt.NDArray[np.float32]

# Wire types of protobuf. 3 and 4, groups, never occur.
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_WIDTHS = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}

# Fields of the layers in a network, today's and the old form, each with its own of name and blobs.
_LAYERS = {100: (1, 7), 2: (4, 6)}

# Fields of a blob; the old form has its shape as num, channels, height and width.
_OLD_SHAPE = (1, 2, 3, 4)
_DATA, _SHAPE, _DOUBLE_DATA = 5, 7, 8
_DIMENSION = 1  # of a shape

# What torch calls the blobs of a layer. A PReLU has its slopes alone.
_BLOBS = ("weight", "bias")

_LONGEST_NAME = 256  # bytes
_LONGEST_SHAPE = 512  # bytes; the 32 dimensions that Caffe allows take 352 at most

# Limit of all fields, skipped ones included, to bound the cost of a hostile file. The official
# files have a few thousand.
_MOST_FIELDS = 2**16

# The first bytes of files that are often mistaken for one.
_OTHERS = {
    b"\x89HDF": "an HDF5 snapshot",
    b"PK": "a zip archive, as torch writes; name it .pth",
    b"\x80": "a pickle, as torch writes; name it .pth",
    b"<": "a web page",
    b"version https://git-lfs": "Git LFS's pointer to one; fetch the file itself",
    b"name:": "a prototxt, which has no weights",
    b"input:": "a prototxt, which has no weights",
    b"layer": "a prototxt, which has no weights",
}


def read_caffemodel(path: str | os.PathLike[str]) -> dict[str, Floats]:
    """The weights of a file by layer and kind: "conv1_1.weight", "conv1_1.bias".

    Shapes are the file's: Caffe's and torch's convolutions agree (outputs, inputs, rows, columns),
    but biases of old files are (1, 1, 1, outputs). A PReLU's slopes are its weight. Layers without
    numbers are left out.

    Raises ModelError, naming the layer, if the file is truncated, damaged or not a Caffe model.
    """
    try:
        with open(path, "rb") as stream:
            head = stream.read(max(map(len, _OTHERS)))
            other = next((what for start, what in _OTHERS.items() if head.startswith(start)), None)
            if other is not None:
                raise ModelError(f"{path} is not a Caffe model but {other}")
            stream.seek(0)
            reader = _Reader(stream)
            try:
                return reader.network()
            except ValueError as error:
                raise ModelError(
                    f"{path} is damaged or not a Caffe model: {reader.where}, {error}"
                ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


class _Reader:
    """Reads the messages of a file, given their lengths. Raises ValueError for invalid ones.

    where  the layer that is being read, for errors
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.where = "before the first layer"
        self._stream = stream
        self._fields_left = _MOST_FIELDS

    def network(self) -> dict[str, Floats]:
        weights: dict[str, Floats] = {}
        for number, wire, length in self._fields(os.fstat(self._stream.fileno()).st_size):
            if number not in _LAYERS or wire != _BYTES:
                continue
            name, blobs = self._layer(length, *_LAYERS[number])
            for k, values in enumerate(blobs):
                key = f"{name}.{_BLOBS[k] if k < len(_BLOBS) else k}"
                if key in weights:
                    raise ValueError("another layer has this name")
                weights[key] = values
            self.where = f"after the layer {name!r}"
        if not weights:
            raise ValueError("it has no weights")
        return weights

    def _layer(self, length: int, name_field: int, blob_field: int) -> tuple[str, list[Floats]]:
        name, blobs = "", []
        for number, wire, size in self._fields(length):
            if number == name_field and wire == _BYTES:
                if size > _LONGEST_NAME:
                    raise ValueError(f"a name has {size} bytes")
                name = self._stream.read(size).decode(errors="replace")
                self.where = f"in the layer {name!r}"
            elif number == blob_field and wire == _BYTES:
                blobs.append(self._blob(size))
        return name, blobs

    def _blob(self, length: int) -> Floats:
        data, double_data = bytearray(), bytearray()  # repeated fields may come in pieces
        old_shape = dict.fromkeys(_OLD_SHAPE, 1)
        shape: list[int] | None = None
        for number, wire, value in self._fields(length):
            if number == _DATA and wire in (_BYTES, _FOUR_BYTES):
                data += self._stream.read(value)
            elif number == _DOUBLE_DATA and wire in (_BYTES, _EIGHT_BYTES):
                double_data += self._stream.read(value)
            elif number == _SHAPE and wire == _BYTES:
                shape = self._dimensions(value)
            elif number in old_shape and wire == _VARINT:
                old_shape[number] = value or 1  # 0 says as much as nothing
        raw, kind = (data, np.dtype("<f4")) if data else (double_data, np.dtype("<f8"))
        dimensions = list(old_shape.values()) if shape is None else shape
        if not raw or len(raw) != prod(dimensions) * kind.itemsize:
            needed = " x ".join(map(str, dimensions))
            raise ValueError(f"{len(raw) / kind.itemsize:g} numbers for a blob of {needed}")
        return np.frombuffer(raw, kind).astype(np.float32, copy=False).reshape(dimensions)

    def _dimensions(self, length: int) -> list[int]:
        if length > _LONGEST_SHAPE:
            raise ValueError(f"a shape has {length} bytes")
        found: list[int] = []
        for number, wire, value in self._fields(length):
            if number == _DIMENSION and wire == _VARINT:
                found.append(value)
            elif number == _DIMENSION and wire == _BYTES:
                end = self._stream.tell() + value
                while self._stream.tell() < end:
                    found.append(self._varint(end))
        return found

    def _fields(self, length: int) -> Iterator[tuple[int, int, int]]:
        """Number, wire type and value of each field in the next bytes.

        For a varint this is its value; for all others the number of bytes, which follow and need
        not be read.
        """
        end = self._stream.tell() + length
        while self._stream.tell() < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise ValueError(f"more than {_MOST_FIELDS} fields; no network has so many")
            key = self._varint(end)
            number, wire = key >> 3, key & 7
            if wire == _VARINT:
                yield number, wire, self._varint(end)
                continue
            if wire != _BYTES and wire not in _WIDTHS:
                raise ValueError(f"a field has the unknown type {wire}")
            size = self._varint(end) if wire == _BYTES else _WIDTHS[wire]
            begin = self._stream.tell()
            if size > end - begin:
                raise ValueError(f"a field has {size} bytes, but only {end - begin} are left")
            yield number, wire, size
            self._stream.seek(begin + size)

    def _varint(self, end: int) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._stream.read(1)
            if not byte or self._stream.tell() > end:
                raise ValueError("a number is truncated")
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return value
        raise ValueError("a number has more than 10 bytes")
