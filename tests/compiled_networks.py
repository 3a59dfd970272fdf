"""Networks as `vamc` leaves them, for the stand-in of Vastai's runtime: see `stand_in`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml


def params(width: int, height: int, **changes: Any) -> dict[str, Any]:
    """The preprocessing of the vendor's own OpenPose files, with some keys changed."""
    config = {
        "IimageFormat": "RGB_PLANAR",
        "IimageWidth": width,
        "IimageHeight": height,
        "IimageWidthPitch": width,
        "IimageHeightPitch": height,
        "OimageWidth": width,
        "OimageHeight": height,
        "Mean": [128, 128, 128],
        "Std": [256, 256, 256],
        "NormaType": "MINUSMEAN_DIVSTD",
        "ColorCvtCode": "RGB2BGR",
        "ResizeType": "BILINEAR_CV",
    }
    return {"OpType": "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR", "OpConfig": config | changes}


def write(
    prefix: Path,
    size: tuple[int, int] = (184, 184),
    *,
    params_file: Path | None = None,
    **spec: Any,
) -> Path:
    """Write `<prefix>.json`, and its preprocessing beside it or to a file of another name.

    size  (width, height)
    spec  see the stand-in; a body network of zeros by default

    Returns the prefix.
    """
    width, height = size
    prefix.parent.mkdir(parents=True, exist_ok=True)
    if "onnx" not in spec:
        cells = [height // 8, width // 8]
        spec = {"outputs": [[38, *cells], [19, *cells]]} | spec
    model = prefix.with_name(f"{prefix.name}.json")
    model.write_text(json.dumps({"input": [3, height, width]} | spec))
    file = params_file or params_beside(prefix)
    file.write_text(json.dumps(params(width, height)))
    return prefix


def params_beside(prefix: Path) -> Path:
    """Where the preprocessing is looked for if it is not named."""
    return prefix.with_name(f"{prefix.name}.vdsp_params.json")


def compile(configuration: Path) -> Path:
    """Do what `vamc compile` would, as far as the stand-in cares; returns the prefix."""
    config = yaml.safe_load(configuration.read_text(encoding="utf-8"))
    ((_, shape),) = config["frontend"]["shape"].items()
    prefix = Path(config["workspace"]["path"], config["name"], "mod")
    onnx = str(Path(config["frontend"]["checkpoint"]).resolve())
    write(prefix, (shape[3], shape[2]), onnx=onnx)
    params_beside(prefix).unlink()  # which vamc does not write
    return prefix
