"""The input and output files of vamp, Vastai's measuring tool.

- an input is an npz with `input_0`: a picture as (3, H, W) uint8 RGB
- a datalist has the path of one input per line; the order counts
- outputs are `output_000000.npz`, ..., in the order of the datalist, with `output_0`, ...: the
network's outputs in its own order, each with a leading 1
"""

from __future__ import annotations

import io
import os
import struct
import tokenize
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from openpose_ext.errors import SourceError
from openpose_ext.io.whole import write_whole
from openpose_ext.types.arrays import Picture

__all__ = [
    "output_file",
    "read_datalist",
    "read_input",
    "read_outputs",
    "write_input",
    "write_outputs",
]


def read_datalist(path: str | os.PathLike[str]) -> list[Path]:
    """The inputs listed in a datalist. Raises ValueError if it cannot be read or is empty."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    inputs = [Path(os.fsdecode(line.strip())) for line in lines if line.strip()]
    if not inputs:
        raise ValueError(f"{path} lists no inputs")
    return inputs


def read_input(path: str | os.PathLike[str]) -> Picture:
    """The picture of an input, (H, W, 3) uint8 BGR.

    Raises SourceError, naming the file, if it cannot be read or holds anything else.
    """
    planes, *others = _arrays(path, "input_")
    if others:
        raise SourceError(f"{path} has {1 + len(others)} inputs; a pose network has one")
    if planes.dtype != np.uint8 or planes.ndim != 3 or planes.shape[0] != 3 or not planes.size:
        raise SourceError(
            f"input_0 of {path} is {planes.dtype} of {planes.shape}; a picture of (3, H, W) uint8, "
            "RGB, is needed"
        )
    return np.ascontiguousarray(planes.transpose(1, 2, 0)[..., ::-1])


def write_input(path: Path, picture: Picture) -> None:
    """Write a picture, (H, W, 3) uint8 BGR, as an input."""
    _write_arrays(path, "input_", [np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1))])


def output_file(folder: Path, index: int) -> Path:
    """The file for the outputs of the input with this number, counted from 0."""
    return folder / f"output_{index:06d}.npz"


def read_outputs(path: str | os.PathLike[str]) -> list[npt.NDArray[Any]]:
    """The outputs of a network for one input, in its order.

    Raises SourceError, naming the file, if it cannot be read or holds anything else.
    """
    arrays = _arrays(path, "output_")
    for k, array in enumerate(arrays):
        if not np.issubdtype(array.dtype, np.floating):
            raise SourceError(f"output_{k} of {path} is {array.dtype}; floats are needed")
    return arrays


def write_outputs(path: Path, outputs: Sequence[npt.NDArray[Any]]) -> None:
    """Write the outputs of a network for one input, each with its leading 1."""
    _write_arrays(path, "output_", outputs)


def _arrays(path: str | os.PathLike[str], prefix: str) -> list[npt.NDArray[Any]]:
    """The arrays <prefix>0, <prefix>1, ... of an npz; at least one."""
    try:
        # Opened here because NumPy leaves a file open that is not a zip archive.
        with open(path, "rb") as stream, np.load(stream) as archive:
            names = {*archive.files}
            count = next(k for k in range(len(names) + 1) if f"{prefix}{k}" not in names)
            if not count:
                raise ValueError(f"it holds {', '.join(sorted(names)) or 'nothing'}")
            arrays = [archive[f"{prefix}{k}"] for k in range(count)]
            if not all(isinstance(array, np.ndarray) for array in arrays):
                raise ValueError("they are not arrays")
            return arrays
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    # RuntimeError is what zipfile raises for unknown methods and for encrypted entries.
    except (
        *(ValueError, TypeError, KeyError, EOFError, MemoryError),
        *(RuntimeError, BadZipFile, zlib.error, struct.error, SyntaxError, tokenize.TokenError),
    ) as error:
        raise SourceError(f"{path} is not an npz with {prefix}0, ...: {error}") from error


def _write_arrays(path: Path, prefix: str, arrays: Sequence[npt.NDArray[Any]]) -> None:
    stream = io.BytesIO()
    named: dict[str, Any] = {f"{prefix}{k}": array for k, array in enumerate(arrays)}
    np.savez(stream, **named)
    write_whole(path, stream.getvalue())
