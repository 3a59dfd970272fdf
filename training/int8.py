"""A float32 network of `export.py` -> INT8, every convolution of it.

    python training/int8.py lite_body.onnx lite_body_int8.onnx --calibrate PEOPLE
    python training/int8.py lite_hand.onnx lite_hand_int8.onnx --calibrate HANDS
    python training/int8.py lite_face.onnx lite_face_int8.onnx --calibrate DATA

The package's own quantiser, told to leave no convolution in float: those it would leave cost more
time on processors without AMX than they gain, and no accuracy that can be measured. Of the face,
whose error would more than double, the three worst stay in float, their weights held as fp16. It is
calibrated on whole pictures of people, pictures of hands, or faces and feet as they are trained on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from export import halve

from openpose_ext.models.convert.quantise import quantise
from openpose_ext.models.manifest import Manifest, read_manifest, write_manifest
from openpose_ext.sources.pictures import read_picture
from openpose_ext.stages.preprocess import Preprocessing
from openpose_ext.stages.view import View

Batch = npt.NDArray[np.uint8]

PICTURES = {"body": 144, "hand": 144, "face": 288, "foot": 288}
IN_FLOAT = {"face": 3}  # convolutions
HEIGHT = 368  # of pictures of people
HAND_SQUARES = (1.1, 1.8)  # sides in those of a picture of a hand


def people(folder: Path, manifest: Manifest) -> list[Batch]:
    preprocess = Preprocessing(height=HEIGHT)
    return [preprocess(read_picture(file))[0][None] for file in spread(folder, "body")]


def hands(folder: Path, manifest: Manifest) -> list[Batch]:
    assert manifest.crop is not None
    rng = np.random.default_rng(0)
    batches = []
    for file in spread(folder, "hand"):
        picture = read_picture(file)
        height, width = picture.shape[:2]
        side = max(height, width) * float(rng.uniform(*HAND_SQUARES))
        centre = ((width - 1) / 2, (height - 1) / 2)
        batches.append(
            View(centre, side, manifest.crop, float(rng.normal(0, 30))).cut(picture)[None]
        )
    return batches


def regions(folder: Path, manifest: Manifest) -> list[Batch]:
    from datasets import RegionData

    assert manifest.input.size is not None
    data = RegionData(folder, manifest.kind, held_out=False)
    rng = np.random.default_rng(0)
    indices = data.order(rng)[: PICTURES[manifest.kind]]
    pictures, _ = data.batch(indices, rng, manifest.input.size[0])
    # Recoloured pixels may lie a little outside.
    drawn = pictures.round().clamp(0, 255).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    return [np.ascontiguousarray(picture[None]) for picture in drawn]


def spread(folder: Path, kind: str) -> Sequence[Path]:
    files = sorted(folder.glob("*.jpg"))
    return files[:: max(1, len(files) // PICTURES[kind])][: PICTURES[kind]]


CALIBRATION: dict[str, Callable[[Path, Manifest], list[Batch]]] = {
    "body": people,
    "hand": hands,
    "face": regions,
    "foot": regions,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--calibrate", type=Path, required=True, help="folder of pictures or data")
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.source)
    batches = CALIBRATION[manifest.kind](arguments.calibrate, manifest)
    in_float = IN_FLOAT.get(manifest.kind, 0)
    made = quantise(
        arguments.source,
        arguments.target,
        batches,
        manifest.input,
        float_layers=(in_float,) if in_float else (),
    )
    print(made)
    if in_float:
        halve(arguments.target, arguments.target)
    write_manifest(manifest, arguments.target)


if __name__ == "__main__":
    main()
