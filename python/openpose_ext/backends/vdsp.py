"""The JSON file that tells a Vastai card how to preprocess pictures for a network.

It must agree with the network's manifest; if they differ, the maps get weak and nothing raises. So
this file is derived from the manifest, and other people's files are compared with it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openpose_ext.backends.protocol import InputFormat
from openpose_ext.errors import BackendError

__all__ = ["beside", "check_vdsp_params", "vdsp_params"]

_OPERATION = "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR"
_INPUT_SIZES = ("IimageWidth", "IimageHeight", "IimageWidthPitch", "IimageHeightPitch")
_OUTPUT_SIZES = ("OimageWidth", "OimageHeight")


def beside(prefix: Path) -> Path:
    """The default file of the parameters, beside a compiled network."""
    return prefix.with_name(f"{prefix.name}.vdsp_params.json")


def vdsp_params(input_format: InputFormat) -> dict[str, Any]:
    """The parameters of a network that gets pictures as RGB planes of its own size.

    Raises ValueError if the network takes any size, has another layout than NCHW, or has a mean or
    divisor for each channel: no documentation tells whether their order is that before or after the
    swap of channels.
    """
    if input_format.size is None:
        raise ValueError("a network for the card takes one size of pictures only")
    if input_format.layout != "NCHW":
        raise ValueError(f"a network for the card is NCHW, not {input_format.layout}")
    mean, divisor = input_format.mean, input_format.divisor
    if len({*mean}) > 1 or len({*divisor}) > 1:
        raise ValueError(
            f"mean {mean} and divisor {divisor} must be the same for all channels: their order on "
            "the card is not known"
        )
    width, height = input_format.size
    sizes = dict(zip((*_INPUT_SIZES, *_OUTPUT_SIZES), (width, height) * 3, strict=True))
    return {
        "OpType": _OPERATION,
        "OpConfig": {
            "IimageFormat": "RGB_PLANAR",
            **sizes,
            "Mean": list(map(_number, mean)),
            "Std": list(map(_number, divisor)),
            "NormaType": "MINUSMEAN_DIVSTD" if input_format.normalises else "EQUAL",
            "ColorCvtCode": {"BGR": "RGB2BGR", "RGB": "NO_CHANGE"}[input_format.channels],
            # Pictures already have the network's size, so rounding on the device does not matter.
            "ResizeType": "BILINEAR_CV",
        },
    }


def check_vdsp_params(file: Path, input_format: InputFormat) -> None:
    """Raise BackendError, naming the key, if a file contradicts `vdsp_params(input_format)`.

    The way of resizing does not matter if the sizes are equal, nor do an unused mean and divisor.
    The input size may be missing, as in many of these files.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BackendError(
            f"the card's preprocessing {file} cannot be read: {error.strerror}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BackendError(f"the card's preprocessing {file} is not JSON: {error}") from error
    try:
        expected = vdsp_params(input_format)
    except ValueError as error:
        raise BackendError(f"{file} cannot be checked: {error}") from error
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict) or not isinstance(found.get("OpConfig"), dict):
        raise BackendError(f"{file} must contain one operation with OpType and OpConfig")
    _compare(file, "OpType", found.get("OpType"), expected["OpType"])
    config = found["OpConfig"]
    for key, value in expected["OpConfig"].items():
        if key == "ResizeType" or (key in _INPUT_SIZES and key not in config):
            continue
        if key in ("Mean", "Std") and not input_format.normalises:
            continue
        _compare(file, key, config.get(key), value)


def _compare(file: Path, key: str, found: Any, expected: Any) -> None:
    if found != expected:
        is_ = "is missing" if found is None else f"is {json.dumps(found)}"
        raise BackendError(f"{key} {is_} in {file}; the network needs {json.dumps(expected)}")


def _number(value: float) -> float:
    """Write whole numbers without a decimal point, as the vendor's files do."""
    return int(value) if value.is_integer() else value
