"""Reader of the safetensors format: a length, a JSON header of names and positions, and numbers.

Source: the format's description, https://github.com/huggingface/safetensors. Reading it takes no
other package.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["is_safetensors", "read_safetensors"]

_LONGEST_HEAD = 100 << 20  # bytes, the format's own bound
_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def is_safetensors(head: bytes) -> bool:
    """Whether a file that begins with these bytes has this format, regardless of its name."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _LONGEST_HEAD


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file by their names, of any type that the format shares with torch.

    Raises ValueError with the reason if the file is damaged, OSError if it cannot be read.
    """
    data = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    if start > len(data):
        raise ValueError("it ends within its header")
    try:
        head = json.loads(data[8:start])
    except RecursionError as error:
        raise ValueError("its header is nested too deeply") from error
    if not isinstance(head, dict):
        raise ValueError("its header is not a table of tensors")
    head.pop("__metadata__", None)
    return {name: _tensor(data, start, name, entry) for name, entry in head.items()}


def _tensor(data: bytearray, start: int, name: str, entry: object) -> Tensor:
    try:
        assert isinstance(entry, dict)
        kind, shape, (first, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        assert all(isinstance(value, int) and value >= 0 for value in (*shape, first, end))
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the position of {name} is missing") from error
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError(f"{name} is of type {kind}; {', '.join(_TYPES)} can be read")
    count = math.prod(shape)
    if end - first != count * _TYPES[kind].itemsize or start + end > len(data):
        raise ValueError(f"{name} with shape {shape} does not fit its position")
    if not count:
        return torch.zeros(shape, dtype=_TYPES[kind])
    flat = torch.frombuffer(data, dtype=_TYPES[kind], count=count, offset=start + first)
    return flat.reshape(shape)
